//! Reads blobs through their digests.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::error::ImageError;

/// A reader that hashes and counts what passes, and ends after `size` bytes at the latest.
pub(super) struct Hashed<R> {
    source: R,
    hash: Sha256,
    size: u64,
    left: u64,
    over: bool,
}

impl<R: Read> Hashed<R> {
    pub(super) fn new(source: R, size: u64) -> Hashed<R> {
        Hashed {
            source,
            hash: Sha256::new(),
            size,
            left: size,
            over: false,
        }
    }

    /// How many bytes have passed.
    pub(super) fn passed(&self) -> u64 {
        self.size - self.left
    }

    /// Reads the rest and compares digest and size with what was said of the blob.
    pub(super) fn verify(mut self, digest: &str) -> Result<(), ImageError> {
        let damaged = |problem: String| ImageError::Damaged {
            digest: digest.to_owned(),
            problem,
        };
        io::copy(&mut self, &mut io::sink()).map_err(|e| damaged(e.to_string()))?;
        self.over |= self
            .source
            .read(&mut [0])
            .map_err(|e| damaged(e.to_string()))?
            > 0;
        if self.over || self.left > 0 {
            return Err(damaged(format!("its size is not {} bytes", self.size)));
        }
        compare(self.hash, digest, digest)
    }

    /// Reads the rest and compares the digest of what came out of the blob `blob`.
    pub(super) fn verify_content(mut self, expected: &str, blob: &str) -> Result<(), ImageError> {
        io::copy(&mut self, &mut io::sink()).map_err(|e| ImageError::Damaged {
            digest: blob.to_owned(),
            problem: e.to_string(),
        })?;
        compare(self.hash, expected, blob)
    }
}

fn compare(hash: Sha256, expected: &str, blob: &str) -> Result<(), ImageError> {
    let found = format!("sha256:{}", hex::encode(hash.finalize()));
    if found == expected {
        return Ok(());
    }
    let problem = format!("it holds {found}, expected {expected}");
    Err(ImageError::Damaged {
        digest: blob.to_owned(),
        problem,
    })
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..room])?;
        self.hash.update(&buffer[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}
