//! One header block of a tar archive.

use super::BLOCK;

/// What a header block says.
pub(super) struct Header<'a> {
    block: &'a [u8; BLOCK],
    pub(super) flag: u8,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime: u64,
}

impl<'a> Header<'a> {
    /// Reads a block that is not all zeros.
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Header<'a>, String> {
        let sum = number("checksum", &block[148..156])?;
        if sum != checksum(block) {
            return Err("the checksum of a header is wrong".to_owned());
        }
        let mode = number("mode", &block[100..108])?;
        Ok(Header {
            block,
            flag: block[156],
            mode: u32::try_from(mode).map_err(|_| format!("a mode is {mode}"))?,
            size: number("size", &block[124..136])?,
            mtime: number("time", &block[136..148])?,
        })
    }

    /// The path that fits into a header.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let is_posix = &self.block[257..263] == b"ustar\0";
        let prefix = text(&self.block[345..500]);
        if is_posix && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    /// The target of a link.
    pub(super) fn target(&self) -> Vec<u8> {
        text(&self.block[157..257]).to_vec()
    }
}

/// Sets the mode of a header and its checksum.
pub(in crate::image) fn set_mode(block: &mut [u8], mode: u32) {
    block[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    let sum = checksum(block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// The sum of a header's bytes, with its own field as spaces.
fn checksum(block: &[u8]) -> u64 {
    let own = 148..156;
    let byte = |(at, byte): (usize, &u8)| {
        if own.contains(&at) {
            u64::from(b' ')
        } else {
            u64::from(*byte)
        }
    };
    block.iter().enumerate().map(byte).sum()
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    &field[..end.unwrap_or(field.len())]
}

/// A number: octal digits, or base 256 where the first bit is set.
fn number(what: &str, field: &[u8]) -> Result<u64, String> {
    if field[0] & 0x80 != 0 {
        return binary(what, field);
    }
    let digits = field.trim_ascii_start();
    let end = digits
        .iter()
        .position(|byte| matches!(byte, 0 | b' '))
        .unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let plain = digits.iter().all(|byte| matches!(byte, b'0'..=b'7'));
    let quiet = rest.iter().all(|byte| matches!(byte, 0 | b' '));
    if !plain || !quiet {
        let found = field.escape_ascii();
        return Err(format!("a {what} is not an octal number: '{found}'"));
    }
    digits
        .iter()
        .try_fold(0u64, |value, digit| {
            value.checked_mul(8)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or_else(|| format!("a {what} is too large"))
}

fn binary(what: &str, field: &[u8]) -> Result<u64, String> {
    if field[0] & 0x40 != 0 {
        return Err(format!("a {what} is negative"));
    }
    let (high, low) = field.split_at(field.len() - field.len().min(8));
    let first = high.first().map_or(0, |byte| byte & 0x7f);
    let over = first != 0 || high.iter().skip(1).any(|byte| *byte != 0);
    let mut value = low
        .iter()
        .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    if high.is_empty() {
        // A field of eight bytes carries the mark in the number's own highest bit.
        value &= u64::MAX >> 1;
    }
    if over || value > i64::MAX as u64 {
        return Err(format!("a {what} is too large"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_octal_or_base_256_and_nothing_else() {
        let twelve = |text: &str| {
            let mut field = [0; 12];
            field[..text.len()].copy_from_slice(text.as_bytes());
            number("size", &field)
        };
        assert_eq!(twelve("0000000017"), Ok(15));
        assert_eq!(twelve("  17 "), Ok(15));
        assert_eq!(twelve(""), Ok(0));
        assert_eq!(twelve("777777777777"), Ok((1 << 36) - 1));
        for wrong in ["-17", "+17", "0x17", "18", "17 1", "1\u{0}1"] {
            assert!(twelve(wrong).is_err(), "{wrong}");
        }
        let mut large = [0; 12];
        (large[0], large[4]) = (0x80, 0x10);
        assert_eq!(number("size", &large), Ok(0x10 << 56));
        large[4] = 0x80;
        assert!(number("size", &large).is_err(), "over 63 bits");
        (large[4], large[3]) = (0, 1);
        assert!(number("size", &large).is_err(), "over 64 bits");
        assert!(number("size", &[0xff; 12]).is_err(), "minus one");
        assert!(number("size", &[0xff; 8]).is_err(), "minus one");
        assert_eq!(number("mode", &[0x80, 0, 0, 0, 0, 0, 1, 1]), Ok(257));
    }
}
