//! Cuts a stream of bytes into chunks at places that its content chooses.
//!
//! Equal content is then cut equally wherever it stands, so that it is stored once. Where chunks end
//! is a format: another version of the same object finds the chunks of the first only if both are
//! cut by the same rules, which is why the [`Limits`] are recorded in every manifest and the cut
//! points are held by fixtures.
//!
//! **Invariants**: the concatenation of the chunks is the input, for every input; no chunk is empty
//! or longer than `limits.max`; the chunks do not depend on how the input was split into calls of
//! [`Cutter::push`]; the memory of a cutter does not depend on the input.

mod flat;

use gdo_core::error::FormatError;

use flat::Gear;

/// No chunk of any format is longer.
pub const CHUNK_BYTES_MAX: u32 = 256 * 1024;

/// The sizes that chunks are cut by, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// No chunk that is cut by content is shorter, but the last of what is cut.
    pub min: u32,
    /// What the length of chunks cut by content is drawn to; a power of two.
    pub avg: u32,
    /// No chunk is longer.
    pub max: u32,
    /// Headers, padding and small members of a tar archive are gathered up to this.
    pub run: u32,
    /// A tar archive's members of this size or more begin a chunk; zero if no stream is to be read
    /// as tar.
    pub member: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            min: 16 * 1024,
            avg: 64 * 1024,
            max: CHUNK_BYTES_MAX,
            run: 64 * 1024,
            member: 4096,
        }
    }
}

impl Limits {
    /// Whether a cutter can work with these sizes.
    ///
    /// # Errors
    /// Names the size that is out of its range.
    pub fn check(&self) -> Result<(), FormatError> {
        let in_range = |name: &str, value: u32, low: u32, high: u32, even: bool| {
            if (low..=high).contains(&value) && (!even || value.is_multiple_of(2)) {
                return Ok(());
            }
            let kind = if even { "an even number" } else { "a number" };
            let expected = format!("{kind} of bytes from {low} to {high}");
            Err(FormatError::new(
                format!("limit {name} of chunks"),
                expected,
                value,
            ))
        };
        in_range("max", self.max, 1024, CHUNK_BYTES_MAX, true)?;
        in_range("avg", self.avg, 256, self.max, true)?;
        in_range("min", self.min, 64, self.avg, true)?;
        in_range("run", self.run, 512, self.max, true)?;
        in_range("member", self.member, 0, CHUNK_BYTES_MAX, false)?;
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
    /// What was taken and belongs to no finished chunk yet.
    pending: Vec<u8>,
}

impl Cutter {
    /// A cutter at the beginning of a stream.
    ///
    /// # Errors
    /// The limits are none that a cutter can work with.
    pub fn new(limits: &Limits) -> Result<Self, FormatError> {
        limits.check()?;
        Ok(Self {
            gear: Gear::new(limits),
            max: limits.max as usize,
            pending: Vec::new(),
        })
    }

    /// Takes the next bytes of the stream and calls `chunk` with each chunk that they complete.
    ///
    /// # Errors
    /// Those of `chunk`; the cutter is of no use after one.
    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        chunk: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let room = 4 * self.max - self.pending.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            bytes = later;
            self.pending.extend_from_slice(now);
            let mut start = 0;
            while self.pending.len() - start >= self.max {
                let end = start + self.gear.cut(&self.pending[start..]);
                chunk(&self.pending[start..end])?;
                start = end;
            }
            self.pending.drain(..start);
        }
        Ok(())
    }

    /// Ends the stream and calls `chunk` with what is left of it.
    ///
    /// # Errors
    /// Those of `chunk`.
    pub fn finish<E>(self, chunk: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut rest = &self.pending[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.gear.cut(rest));
            chunk(now)?;
            rest = later;
        }
        Ok(())
    }
}
