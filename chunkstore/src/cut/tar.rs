//! Reads a stream as a tar archive, only as far as it takes to know where members begin and end.
//!
//! Nothing here judges an archive: the old forms, ustar, pax and GNU's are followed by one set of
//! lenient rules, and whatever these cannot follow is [`Step::Malformed`]. A wrong guess costs
//! deduplication and nothing else.
//!
//! **Invariants**: a step depends on the bytes from where it is taken on, not on how many of them are
//! there already; it never needs more than [`AHEAD`] bytes; no number of an archive is added to
//! another, so none wraps.

/// Headers, and the padding of members, are of this size.
const BLOCK: usize = 512;
/// Longer pax headers are not looked into.
const PAX_BYTES_MAX: u64 = 64 * 1024;
/// No step needs more bytes than this.
pub(super) const AHEAD: usize = PAX_BYTES_MAX as usize;

/// Where in an archive the next byte stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tar {
    /// Members of this size or more are stretches of their own.
    member: u64,
    place: Place,
    /// The size that a pax header gives to the next member.
    pax_size: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// Before the first header, where zeroes are no sign of an archive.
    First,
    /// At a header, or at the zeroes that end an archive.
    Header,
    /// At a block that goes on with the map of a sparse member of this size.
    Map { size: u64 },
    /// At a pax header's text.
    Pax { size: u64 },
    /// At the bytes of a member.
    Body { size: u64 },
    /// Within what is skipped: padding, with a small member before it.
    Skip { left: u64 },
}

/// What comes next in an archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There are not enough bytes to say.
    More,
    /// So many bytes, more than zero, that do not belong to a large member.
    Between(usize),
    /// The bytes of a large member: so many, then padding.
    Member(u64),
    /// Nothing that this module can follow.
    Malformed,
}

impl Tar {
    pub(super) fn new(member: u32) -> Self {
        Self {
            member: u64::from(member),
            place: Place::First,
            pax_size: None,
        }
    }

    /// Looks at what begins with `bytes` and goes behind it; `last` says that these are all.
    pub(super) fn step(&mut self, bytes: &[u8], last: bool) -> Step {
        match self.place {
            Place::Skip { left: 0 } => {
                self.place = Place::Header;
                self.step(bytes, last)
            }
            Place::Skip { left } => {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                if len == 0 {
                    return Step::More;
                }
                let left = left - len as u64;
                self.place = Place::Skip { left };
                Step::Between(len)
            }
            Place::Pax { size } => {
                let Some(text) = bytes.get(..size as usize) else {
                    return self.short(bytes, last, Place::Skip { left: size });
                };
                self.pax_size = size_in_pax(text).or(self.pax_size);
                self.place = Place::Body { size };
                self.step(bytes, last)
            }
            Place::Body { size } => {
                let padding = size.wrapping_neg() % BLOCK as u64;
                if size >= self.member {
                    self.place = Place::Skip { left: padding };
                    return Step::Member(size);
                }
                let left = size + padding;
                self.place = Place::Skip { left };
                self.step(bytes, last)
            }
            Place::First | Place::Header | Place::Map { .. } => match bytes.first_chunk() {
                Some(block) => self.block(block),
                None if bytes.is_empty() => Step::More,
                None if last => Step::Malformed,
                None => Step::More,
            },
        }
    }

    /// What to do when the stream may end before what it announces.
    fn short(&mut self, bytes: &[u8], last: bool, place: Place) -> Step {
        if !last {
            return Step::More;
        }
        self.place = place;
        self.step(bytes, last)
    }

    fn block(&mut self, block: &[u8; BLOCK]) -> Step {
        self.place = match self.place {
            // The map of a sparse member says at its end whether another block goes on with it.
            Place::Map { size } if block[504] == 0 => Place::Body { size },
            Place::Map { size } => Place::Map { size },
            Place::Header if block == &[0; BLOCK] => Place::Header,
            _ => match self.header(block) {
                Some(place) => place,
                None => return Step::Malformed,
            },
        };
        Step::Between(BLOCK)
    }

    /// What comes behind a header; `None` if it is none.
    fn header(&mut self, block: &[u8; BLOCK]) -> Option<Place> {
        if !sums_up(block) {
            return None;
        }
        let stated = number(&block[124..136])?;
        let kind = block[156];
        if matches!(kind, b'x' | b'X') && stated <= PAX_BYTES_MAX {
            return Some(Place::Pax { size: stated });
        }
        // Names too long for a header, and what holds for all members: more headers of the same.
        if matches!(kind, b'L' | b'K' | b'g' | b'x' | b'X') {
            return Some(Place::Body { size: stated });
        }
        let size = self.pax_size.take().unwrap_or(stated);
        Some(match kind {
            // Links, devices, directories and pipes have no bytes, whatever size they state.
            b'1'..=b'6' => Place::Body { size: 0 },
            b'S' if block[482] != 0 => Place::Map { size },
            _ => Place::Body { size },
        })
    }
}

/// Whether the header's checksum is that of its bytes, taken with or without sign.
fn sums_up(block: &[u8; BLOCK]) -> bool {
    let field = &block[148..156];
    let Some(stated) = number(field) else {
        return false;
    };
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let negative = |bytes: &[u8]| bytes.iter().filter(|byte| **byte >= 0x80).count() as u64;
    // The field itself counts as if it held spaces.
    let unsigned = sum(block) - sum(field) + field.len() as u64 * u64::from(b' ');
    let less = 256 * (negative(block) - negative(field));
    stated == unsigned || stated.checked_add(less) == Some(unsigned)
}

/// A number of a header: octal digits between spaces and zero bytes, or base 256 with its highest bit
/// set. `None` if it is neither, negative, or more than 64 bits.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The next bit is the sign.
        let start = match first & 0x7f {
            high @ 0..0x40 => u64::from(high),
            _ => return None,
        };
        return rest.iter().try_fold(start, |value, byte| {
            Some(value.checked_mul(256)? | u64::from(*byte))
        });
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let begin = field.iter().position(|byte| !blank(byte));
    let digits = &field[begin.unwrap_or(field.len())..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let (digits, after) = digits.split_at(end);
    if !after.iter().all(blank) {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'7' => Some(value.checked_mul(8)? | u64::from(byte - b'0')),
        _ => None,
    })
}

/// The last size that the records of a pax header give: "LENGTH KEY=VALUE\n", where the length counts
/// the whole record.
fn size_in_pax(mut text: &[u8]) -> Option<u64> {
    let decimal = |digits: &[u8]| -> Option<u64> {
        let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(digits)
            .ok()
            .filter(|_| all)?
            .parse()
            .ok()
    };
    let mut size = None;
    while !text.is_empty() {
        let Some(space) = text.iter().take(20).position(|byte| *byte == b' ') else {
            break;
        };
        let len = decimal(&text[..space]).and_then(|len| usize::try_from(len).ok());
        let Some(record) = len.and_then(|len| text.get(space + 1..len)) else {
            break;
        };
        if let Some(value) = record.strip_prefix(b"size=") {
            size = value.strip_suffix(b"\n").and_then(decimal);
        }
        text = &text[space + 1 + record.len()..];
    }
    size
}
