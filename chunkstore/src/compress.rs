//! How objects are compressed: profiles, and the compressors of a store, shared by all that is taken
//! at once.
//!
//! A compressor is a megabyte or more, and works for a moment at a time. Objects that come slowly, or
//! rest half way, need none; so there are as many as there are processors, made when they are needed.
//!
//! **Invariants**: never more than that many exist; one that failed is not used again.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// How an object is stored: for a small computer, as usual, or as small as can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// The least work: zstd-1.
    Fast,
    /// zstd-3 in frames of 256 KiB.
    #[default]
    Standard,
    /// The least space: large frames with matches over long distances. Reading a small part of an
    /// object reads more.
    Archive,
}

impl Profile {
    fn level(self) -> i32 {
        match self {
            Self::Fast => 1,
            Self::Standard => 3,
            Self::Archive => 9,
        }
    }

    /// How many bytes of chunks are compressed as one.
    pub(crate) fn frame_bytes(self) -> usize {
        match self {
            Self::Fast | Self::Standard => 256 << 10,
            Self::Archive => 4 << 20,
        }
    }
}

/// The compressors of a store.
pub(crate) struct Compressors {
    max: usize,
    pool: Mutex<Pool>,
    given_back: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<(Profile, Compressor<'static>)>,
    /// How many there are, idle or at work.
    count: usize,
}

impl Compressors {
    pub(crate) fn new() -> Self {
        Self {
            max: available_parallelism().map_or(1, usize::from),
            pool: Mutex::default(),
            given_back: Condvar::new(),
        }
    }

    /// Compresses `plain` as a profile says; waits while all compressors are at work.
    ///
    /// # Errors
    /// The system has no memory for it.
    pub(crate) fn compress(&self, profile: Profile, plain: &[u8]) -> io::Result<Vec<u8>> {
        let found = self.take(profile);
        let mut held = Held {
            compressors: self,
            compressor: None,
            profile,
        };
        let compressor = match found {
            Some(compressor) => compressor,
            None => make(profile)?,
        };
        let packed = held.compressor.insert(compressor).compress(plain);
        if packed.is_err() {
            held.compressor = None;
        }
        packed
    }

    /// Waits for a turn; gives a compressor that is idle, if one of this profile is.
    fn take(&self, profile: Profile) -> Option<Compressor<'static>> {
        let mut pool = self.pool();
        loop {
            if let Some(at) = pool.idle.iter().position(|(of, _)| *of == profile) {
                return Some(pool.idle.swap_remove(at).1);
            }
            // One of another profile makes room.
            if pool.count == self.max && pool.idle.pop().is_some() {
                return None;
            }
            if pool.count < self.max {
                pool.count += 1;
                return None;
            }
            let waited = self.given_back.wait(pool);
            pool = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn at compressing; its end lets the next one in.
struct Held<'a> {
    compressors: &'a Compressors,
    compressor: Option<Compressor<'static>>,
    profile: Profile,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut pool = self.compressors.pool();
        match self.compressor.take() {
            Some(compressor) => pool.idle.push((self.profile, compressor)),
            None => pool.count -= 1,
        }
        drop(pool);
        self.compressors.given_back.notify_one();
    }
}

fn make(profile: Profile) -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(profile.level())?;
    if profile == Profile::Archive {
        compressor.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        compressor.set_parameter(CParameter::WindowLog(22))?;
    }
    Ok(compressor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_threads_and_profiles_share_a_few() {
        let compressors = Compressors {
            max: 2,
            ..Compressors::new()
        };
        let plain = b"the same and the same and the same and the same".repeat(100);
        let profiles = [Profile::Fast, Profile::Standard, Profile::Archive];
        std::thread::scope(|scope| {
            for turn in 0..12 {
                let (compressors, plain) = (&compressors, &plain);
                scope.spawn(move || {
                    for profile in profiles.iter().cycle().skip(turn).take(9) {
                        let packed = compressors.compress(*profile, plain).expect("memory");
                        let back = zstd::bulk::decompress(&packed, plain.len());
                        assert_eq!(back.expect("it is zstd"), *plain);
                        assert!(compressors.pool().count <= 2);
                    }
                });
            }
        });
        let pool = compressors.pool();
        assert_eq!((pool.idle.len(), pool.count), (pool.count, pool.count));
        assert!(pool.count >= 1);
    }
}
