//! Parts of an object: the `Range` of a request and the `Content-Range` of its answer.
//!
//! One range is served, which is what a download that goes on asks for. Several at once, other units
//! and what does not parse count as no range: the whole object is a good answer to all of these.
//!
//! Source: RFC 9110, section 14.

use axum::http::{HeaderMap, header};

/// What of an object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// So many bytes from an offset; at least one.
    Bytes {
        /// The first byte.
        from: u64,
        /// How many.
        bytes: u64,
    },
    /// Nothing that the object has.
    Outside,
}

impl Part {
    /// What the headers of a request ask for of an object of `size` bytes.
    pub(super) fn of(headers: &HeaderMap, size: u64) -> Self {
        let mut values = headers.get_all(header::RANGE).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value
                .to_str()
                .ok()
                .and_then(|text| parse(text, size))
                .unwrap_or(Self::Whole),
            _ => Self::Whole,
        }
    }
}

fn parse(text: &str, size: u64) -> Option<Part> {
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        // A number that is too large is as good as the largest one.
        plain.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (from, end) = if first.is_empty() {
        let bytes = number(last)?;
        (
            size.saturating_sub(bytes),
            if bytes == 0 { 0 } else { size },
        )
    } else if last.is_empty() {
        (number(first)?, size)
    } else {
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return None;
        }
        (first, last.saturating_add(1).min(size))
    };
    Some(if from < end {
        Part::Bytes {
            from,
            bytes: end - from,
        }
    } else {
        Part::Outside
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn one_range_is_understood_and_everything_else_is_the_whole() {
        let bytes = |from, bytes| Part::Bytes { from, bytes };
        for (text, expected) in [
            ("bytes=0-9", bytes(0, 10)),
            ("bytes=3-", bytes(3, 7)),
            ("bytes=9-9", bytes(9, 1)),
            ("bytes=5-99999999999999999999999", bytes(5, 5)),
            ("bytes=-3", bytes(7, 3)),
            ("bytes=-30", bytes(0, 10)),
            ("bytes=10-", Part::Outside),
            ("bytes=99999999999999999999999-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=5-4", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::RANGE,
                HeaderValue::from_str(text).expect("it is plain text"),
            );
            assert_eq!(Part::of(&headers, 10), expected, "{text}");
        }
        assert_eq!(Part::of(&HeaderMap::new(), 10), Part::Whole);
    }

    #[test]
    fn of_nothing_no_part_can_be_had() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-"));
        assert_eq!(Part::of(&headers, 0), Part::Outside);
    }
}
