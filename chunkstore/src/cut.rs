//! Cuts a stream of bytes into chunks at places that its content chooses.
//!
//! Equal content is then cut equally wherever it stands, so that it is stored once. A stream is seen
//! as a row of **stretches**, each of which is cut by itself. A tar archive has a stretch for each of
//! its larger members, so that a file is found again in any archive; what lies between them (headers,
//! padding, small members) makes stretches too. Any other stream is one stretch. Where chunks end is
//! a format: another version of an object finds the chunks of the first only if both are cut by the
//! same rules, which is why the [`Limits`] are recorded in every manifest and the cut points are held
//! by fixtures.
//!
//! **Invariants**: the concatenation of the chunks is the input, for every input; no chunk is empty
//! or longer than `limits.max`; the chunks do not depend on how the input was split into calls of
//! [`Cutter::push`]; the memory of a cutter does not depend on the input.

mod flat;
mod tar;

use gdo_core::error::FormatError;

use flat::Gear;
use tar::{Step, Tar};

/// No chunk of any format is longer.
pub const CHUNK_BYTES_MAX: u32 = 256 * 1024;

/// How far beyond the longest chunk a cutter must see at most to say where the next one ends.
const AHEAD: usize = tar::AHEAD;
/// What is copied when chunks begin in one piece of the input and end in the next.
const BUFFER_BYTES: usize = 4 * (CHUNK_BYTES_MAX as usize + AHEAD);

/// The sizes that chunks are cut by, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// No chunk is shorter but the last of a stretch.
    pub min: u32,
    /// What the length of chunks is drawn to; a power of two.
    pub avg: u32,
    /// No chunk is longer.
    pub max: u32,
    /// A tar archive's members of this size or more are stretches of their own; zero if no stream is
    /// to be read as tar.
    pub member: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            min: 16 * 1024,
            avg: 32 * 1024,
            max: CHUNK_BYTES_MAX,
            member: 1024,
        }
    }
}

impl Limits {
    /// Whether a cutter can work with these sizes.
    ///
    /// # Errors
    /// Names the size that is out of its range.
    pub fn check(&self) -> Result<(), FormatError> {
        let in_range = |name: &str, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) && value.is_multiple_of(2) {
                return Ok(());
            }
            let expected = format!("an even number of bytes from {low} to {high}");
            let what = format!("limit {name} of chunks");
            Err(FormatError::new(what, expected, value))
        };
        in_range("max", self.max, 1024, CHUNK_BYTES_MAX)?;
        in_range("avg", self.avg, 256, self.max)?;
        in_range("min", self.min, 64, self.avg)?;
        if self.member > CHUNK_BYTES_MAX {
            let expected = format!("0 to {CHUNK_BYTES_MAX} bytes");
            return Err(FormatError::new(
                "limit member of chunks",
                expected,
                self.member,
            ));
        }
        if !self.avg.is_power_of_two() {
            let what = "limit avg of chunks";
            return Err(FormatError::new(what, "a power of two", self.avg));
        }
        Ok(())
    }
}

/// Cuts one stream.
#[derive(Debug)]
pub struct Cutter {
    gear: Gear,
    max: usize,
    stretch: Stretch,
    /// What was taken, from `start` on without a chunk yet; what is before that is dropped late.
    pending: Vec<u8>,
    start: usize,
}

/// What the next chunk is cut from.
#[derive(Debug)]
enum Stretch {
    /// Everything to the end of the stream.
    Rest,
    /// A member of an archive, of which `left` bytes are not cut yet.
    Member { tar: Tar, left: u64 },
    /// What lies between members: `known` bytes of it are not cut yet, and perhaps there is more.
    Between { tar: Tar, known: usize },
    /// The same when its end was found, and what comes behind it.
    Ending { known: usize, then: After },
}

/// What comes behind what lies between members.
#[derive(Debug)]
enum After {
    Member { tar: Tar, size: u64 },
    Rest,
}

impl Cutter {
    /// A cutter at the beginning of a stream.
    ///
    /// # Errors
    /// The limits are none that a cutter can work with.
    pub fn new(limits: &Limits) -> Result<Self, FormatError> {
        limits.check()?;
        let stretch = match limits.member {
            0 => Stretch::Rest,
            member => Stretch::Between {
                tar: Tar::new(member),
                known: 0,
            },
        };
        Ok(Self {
            gear: Gear::new(limits),
            max: limits.max as usize,
            stretch,
            pending: Vec::new(),
            start: 0,
        })
    }

    /// Takes the next bytes of the stream and calls `chunk` with each chunk that they complete.
    ///
    /// Bytes that come in large pieces are cut where they are and hardly copied.
    ///
    /// # Errors
    /// Those of `chunk`; the cutter is of no use after one.
    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        chunk: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.start < self.pending.len() {
            // With as much as this behind them, all old bytes are cut.
            let enough = self.max + AHEAD;
            let old = self.pending.len() - self.start;
            let taken = bytes.len().min(enough);
            if self.pending.len() + taken > BUFFER_BYTES {
                self.pending.drain(..self.start);
                self.start = 0;
            }
            self.pending.extend_from_slice(&bytes[..taken]);
            let pending = std::mem::take(&mut self.pending);
            let cut = self.work(&pending[self.start..], false, chunk);
            self.pending = pending;
            let cut = cut?;
            if cut >= old {
                bytes = &bytes[cut - old..];
                break;
            }
            self.start += cut;
            if taken == bytes.len() {
                return Ok(());
            }
            bytes = &bytes[taken..];
        }
        self.pending.clear();
        self.start = 0;
        let cut = self.work(bytes, false, chunk)?;
        self.pending.extend_from_slice(&bytes[cut..]);
        Ok(())
    }

    /// Ends the stream and calls `chunk` with what is left of it.
    ///
    /// # Errors
    /// Those of `chunk`.
    pub fn finish<E>(mut self, chunk: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let pending = std::mem::take(&mut self.pending);
        let cut = self.work(&pending[self.start..], true, chunk)?;
        assert_eq!(
            cut,
            pending.len() - self.start,
            "the last byte is in a chunk"
        );
        Ok(())
    }

    /// Cuts what can be cut of `bytes`, which begin where the last chunk ended; `last` says that
    /// nothing comes behind them. Returns how many bytes are cut.
    fn work<E>(
        &mut self,
        bytes: &[u8],
        last: bool,
        chunk: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut cut = 0;
        loop {
            let rest = &bytes[cut..];
            let (known, ended) = self.stretch.look(rest, last, self.max);
            if known >= self.max || (ended && known > 0) {
                let len = self.gear.cut(&rest[..known]);
                chunk(&rest[..len])?;
                self.stretch.take(len);
                cut += len;
            } else if !ended || (last && rest.is_empty()) {
                return Ok(cut);
            } else {
                self.stretch.end();
            }
        }
    }
}

impl Stretch {
    /// How many of `bytes`, up to `enough` of them, are known to belong to the stretch, and whether
    /// it ends with them.
    fn look(&mut self, bytes: &[u8], last: bool, enough: usize) -> (usize, bool) {
        match self {
            Self::Rest => (bytes.len(), last),
            Self::Member { left, .. } => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX);
                let known = here.min(bytes.len());
                (known, known == here || last)
            }
            Self::Ending { known, .. } => (*known, true),
            Self::Between { tar, known } => {
                while *known < enough {
                    match tar.step(&bytes[*known..], last) {
                        Step::More => return (*known, last),
                        Step::Between(len) => *known += len,
                        Step::Member(size) => {
                            let then = After::Member { tar: *tar, size };
                            return self.ending(then);
                        }
                        Step::Malformed => return self.ending(After::Rest),
                    }
                }
                (*known, false)
            }
        }
    }

    fn ending(&mut self, then: After) -> (usize, bool) {
        let Self::Between { known, .. } = *self else {
            unreachable!("only what lies between members ends so");
        };
        *self = Self::Ending { known, then };
        (known, true)
    }

    /// A chunk of `len` bytes was cut off.
    fn take(&mut self, len: usize) {
        match self {
            Self::Rest => {}
            Self::Member { left, .. } => *left -= len as u64,
            Self::Between { known, .. } | Self::Ending { known, .. } => *known -= len,
        }
    }

    /// Goes on to the next stretch.
    fn end(&mut self) {
        *self = match std::mem::replace(self, Self::Rest) {
            Self::Member { tar, .. } => Self::Between { tar, known: 0 },
            Self::Ending {
                then: After::Member { tar, size },
                ..
            } => Self::Member { tar, left: size },
            Self::Rest | Self::Between { .. } | Self::Ending { .. } => Self::Rest,
        };
    }
}
