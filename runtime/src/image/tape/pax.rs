//! Extended headers of tar: long names of GNU, records of POSIX.

/// What the records of an entry say that matters here; owners and attributes are not kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// The name in a long-name header of GNU.
pub(super) fn long_name(text: &[u8]) -> Vec<u8> {
    text.strip_suffix(b"\0").unwrap_or(text).to_vec()
}

/// Reads the records `LENGTH KEY=VALUE\n` of one entry.
pub(super) fn records(text: &[u8]) -> Result<Records, String> {
    let mut records = Records::default();
    each(text, &mut |key, value| {
        let once = |place: &mut Option<Vec<u8>>| match place.replace(value.to_vec()) {
            None => Ok(()),
            Some(_) => Err("the headers of an entry name it twice".to_owned()),
        };
        match key {
            b"path" => once(&mut records.path),
            b"linkpath" => once(&mut records.target),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(decimal);
                records.size = Some(size.ok_or("a size is not a number")?);
                Ok(())
            }
            _ if key.starts_with(b"GNU.sparse.") => {
                Err("sparse files are not allowed: make the archive without".to_owned())
            }
            _ => Ok(()),
        }
    })?;
    Ok(records)
}

/// Reads records that hold for all entries: readers differ in what they make of names there.
pub(super) fn check_global(text: &[u8]) -> Result<(), String> {
    let found = records(text)?;
    if found == Records::default() {
        Ok(())
    } else {
        Err("a global header names path, linkpath or size".to_owned())
    }
}

/// Takes the key and the value of a record.
type Take<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), String> + 'a;

fn each(mut text: &[u8], take: &mut Take<'_>) -> Result<(), String> {
    let wrong = || "an extended header is not of the form 'LENGTH KEY=VALUE'".to_owned();
    while !text.is_empty() {
        let space = text.iter().take(20).position(|byte| *byte == b' ');
        let space = space.ok_or_else(wrong)?;
        let length = std::str::from_utf8(&text[..space]).ok().and_then(decimal);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length > space + 1 && *length <= text.len());
        let (record, rest) = text.split_at(length.ok_or_else(wrong)?);
        let record = record[space + 1..].strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=');
        let (key, value) = record.split_at(equals.ok_or_else(wrong)?);
        take(key, &value[1..])?;
        text = rest;
    }
    Ok(())
}

/// Digits alone: no sign, no spaces; at most 63 bits.
fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let value: u64 = plain.then(|| text.parse().ok()).flatten()?;
    (value <= i64::MAX as u64).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{Records, check_global, records};

    #[test]
    fn records_are_read_and_what_is_not_of_their_form_is_refused() {
        let found = records(b"12 path=a/b\n12 size=512\n16 linkpath=c/d\n13 mtime=1.5\n");
        let expected = Records {
            path: Some(b"a/b".to_vec()),
            target: Some(b"c/d".to_vec()),
            size: Some(512),
        };
        let found = found.map_err(|problem| assert_eq!(problem, ""));
        assert_eq!(found, Ok(expected));
        for wrong in [
            &b"12 path=a/b"[..],
            b"99 path=a/b\n",
            b"2 path=a/b\n",
            b"-12 path=a/b\n",
            b" 12 path=a/b\n",
            b"10 nothing\n",
            b"12 size=-12\n",
            b"28 size=9223372036854775808\n",
            b"12 path=a/b\n12 path=a/c\n",
            b"24 GNU.sparse.major=1.0\n",
            b"11111111111111111111111 path=a\n",
        ] {
            assert!(records(wrong).is_err(), "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn a_global_header_may_comment_and_not_name() {
        assert_eq!(check_global(b"18 comment=abcdef\n"), Ok(()));
        assert!(check_global(b"10 path=a\n").is_err());
        assert!(check_global(b"12 size=512\n").is_err());
    }
}
