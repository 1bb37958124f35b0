//! The write-ahead log: what the node is about to sign, on disk before it signs (P-32, P-39).
//!
//! One record a line: the first 16 hex digits of the SHA-256 of the rest, a space, canonical JSON
//! (`docs/formats/wal.md`). A crash can tear the last record only; a torn tail was never acted upon
//! and is cut off when the log is opened. Damage before the tail stops the node, because the log is
//! what keeps a key from signing twice.
//!
//! **Invariants**: `append` returns only once the record is durable; a log has one writer (the lock
//! of the node directory).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use gdo_core::canonical;
use gdo_core::id::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::NodeError;

/// Hex digits of the checksum in front of a record.
const CHECK_DIGITS: usize = 16;

/// An append-only log of records of one type.
#[derive(Debug)]
pub struct Wal {
    path: PathBuf,
    file: File,
}

impl Wal {
    /// Opens a log, making it if there is none; gives its records in the order of writing.
    ///
    /// # Errors
    /// It cannot be read, or is damaged before its last record.
    pub fn open<T: Serialize + DeserializeOwned>(path: &Path) -> Result<(Self, Vec<T>), NodeError> {
        let fail = |source| NodeError::io("open", path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(fail)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(fail)?;
        let (records, whole) = read_records(path, &text)?;
        if whole < text.len() {
            tracing::warn!(log = %path.display(), bytes = text.len() - whole, "cut off a torn record");
            file.set_len(whole as u64)
                .and_then(|()| file.sync_all())
                .map_err(fail)?;
        }
        if let Some(parent) = path.parent() {
            File::open(parent)
                .and_then(|dir| dir.sync_all())
                .map_err(fail)?;
        }
        file.seek(SeekFrom::End(0)).map_err(fail)?;
        Ok((
            Self {
                path: path.to_owned(),
                file,
            },
            records,
        ))
    }

    /// Appends records and waits until the disk has them.
    ///
    /// # Errors
    /// The disk is full or fails; nothing may be signed then.
    pub fn append<T: Serialize>(&mut self, records: &[T]) -> Result<(), NodeError> {
        let mut text = String::new();
        for record in records {
            let body = canonical::to_string(record);
            text.push_str(&format!(
                "{} {body}\n",
                Digest::of(body.as_bytes()).short(CHECK_DIGITS)
            ));
        }
        let fail = |source| NodeError::io("write", &self.path, source);
        let before = self.file.metadata().map_err(fail)?.len();
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_data());
        written.map_err(|source| {
            // Half a record must not stand in front of the next one.
            let undone = self
                .file
                .set_len(before)
                .and_then(|()| self.file.sync_all());
            if let Err(error) = undone {
                tracing::error!(log = %self.path.display(), %error, "cannot undo a failed write");
            }
            fail(source)
        })
    }
}

/// The records of a log's text, and the length of the part that is whole.
fn read_records<T: Serialize + DeserializeOwned>(
    path: &Path,
    text: &[u8],
) -> Result<(Vec<T>, usize), NodeError> {
    let mut records = Vec::new();
    let mut whole = 0;
    for (number, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match read_record(line) {
            Ok(record) => records.push(record),
            // A record that was torn off lacks its line end; a whole line that is wrong is damage.
            Err(_) if !line.ends_with(b"\n") => return Ok((records, whole)),
            Err(message) => {
                let message = format!(
                    "line {}: {message}; the log is damaged: restore the node from another one \
                     (the key must not sign again what this log would have told)",
                    number + 1
                );
                return Err(NodeError::File {
                    file: path.to_owned(),
                    message,
                });
            }
        }
        whole += line.len();
    }
    Ok((records, whole))
}

fn read_record<T: Serialize + DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let line = std::str::from_utf8(line).map_err(|_| "expected text")?;
    let line = line.strip_suffix('\n').ok_or("expected a line end")?;
    let (check, body) = line
        .split_once(' ')
        .ok_or("expected a checksum and a record")?;
    if Digest::of(body.as_bytes()).short(CHECK_DIGITS) != check {
        return Err("the checksum does not fit".to_owned());
    }
    canonical::from_str("log record", body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<(Wal, Vec<Vec<u64>>), NodeError> {
        Wal::open(path)
    }

    fn written(path: &Path) -> Vec<u8> {
        let (mut wal, before) = open(path).expect("new");
        assert!(before.is_empty());
        wal.append(&[vec![1_u64], vec![2]]).expect("appended");
        wal.append(&[vec![3_u64]]).expect("appended");
        std::fs::read(path).expect("readable")
    }

    #[test]
    fn every_torn_tail_is_cut_and_nothing_before_it_is_lost() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("log");
        let text = written(&path);
        for length in 0..=text.len() {
            std::fs::write(&path, &text[..length]).expect("torn");
            let whole = text[..length].iter().filter(|&&byte| byte == b'\n').count();
            let (mut wal, records) = open(&path).expect("opens");
            assert_eq!(records.len(), whole, "torn at {length}");
            wal.append(&[vec![9_u64]]).expect("appended");
            assert_eq!(
                open(&path).expect("opens").1.len(),
                whole + 1,
                "torn at {length}"
            );
        }
    }

    #[test]
    fn a_flipped_bit_before_the_tail_stops_the_node() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("log");
        let text = written(&path);
        let last = text.len()
            - text
                .split(|&b| b == b'\n')
                .nth(2)
                .expect("third line")
                .len()
            - 1;
        for at in 0..last {
            let mut bad = text.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).expect("written");
            assert!(open(&path).is_err(), "a flip at {at} was not noticed");
        }
    }
}
