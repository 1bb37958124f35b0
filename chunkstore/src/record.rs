//! Records: what a pack is made of.
//!
//! A record says what it is, how long it is, which pack it belongs to and which chunks it holds, and
//! has a checksum over each of its parts. So the index can be made anew from packs alone, and a torn
//! write is told from a record. The form is described in `docs/formats/pack.md`.
//!
//! **Invariants**: a [`Head`] that was parsed keeps every bound of the format, so that nothing larger
//! than those bounds is ever allocated because of what a file says.

use crc32c::{crc32c, crc32c_append};
use gdo_core::id::Digest;

use crate::cut::CHUNK_BYTES_MAX;
use crate::hash::ManifestId;

/// How long the fixed part of a record is.
pub(crate) const HEAD_BYTES: usize = 32;
/// How long the header of a pack is.
pub(crate) const PACK_HEADER_BYTES: u64 = 32;
/// What is behind this in a pack is no record: offsets have 32 bits.
pub(crate) const PACK_BYTES_MAX: u64 = u32::MAX as u64;
/// How long an entry of a record's table is.
pub(crate) const ENTRY_BYTES: usize = 36;
/// No frame holds more bytes, before compression and after.
pub(crate) const FRAME_BYTES_MAX: u32 = 8 << 20;
/// No frame holds more chunks.
pub(crate) const FRAME_CHUNKS_MAX: u32 = 1 << 14;
/// What every record begins with.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"gdoR";

const PACK_MAGIC: [u8; 8] = *b"gdo pack";
const PACK_VERSION: u32 = 1;
const OBJECT_BYTES: usize = 80;

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Kind {
    /// A frame of chunks.
    Chunks = 1,
    /// A frame of nodes of manifests.
    Nodes = 2,
    /// The name of an object.
    Object = 3,
    /// An object's name was taken away.
    Gone = 4,
    /// The end of a pack that nothing is added to any more.
    Seal = 5,
}

/// How the body of a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Codec {
    /// As it is.
    Raw = 0,
    /// As one frame of zstd.
    Zstd = 1,
}

/// One chunk, or node, of a record's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// The id of the chunk or node.
    pub(crate) id: [u8; 32],
    /// How many bytes it has.
    pub(crate) bytes: u32,
}

/// The fixed part of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) codec: Codec,
    /// How many entries the table has.
    pub(crate) count: u32,
    /// How many bytes the body has as it is stored.
    pub(crate) stored: u32,
    /// How many bytes it has after decompression.
    pub(crate) plain: u32,
    /// The checksum of the body as it is stored.
    pub(crate) body_crc: u32,
    /// The checksum of the fixed part and the table.
    head_crc: u32,
}

impl Head {
    /// Reads the fixed part of a record of pack `pack`.
    ///
    /// # Errors
    /// Says which field is out of its bounds. The checksum needs the table: [`Head::table`].
    pub(crate) fn parse(raw: &[u8; HEAD_BYTES], pack: u32) -> Result<Self, String> {
        let word = |at: usize| {
            u32::from_le_bytes(raw[at..at + 4].try_into().expect("four bytes make a word"))
        };
        if raw[..4] != RECORD_MAGIC {
            return Err(format!(
                "expected a record, found the bytes {:02x?}",
                &raw[..4]
            ));
        }
        let kind = match raw[4] {
            1 => Kind::Chunks,
            2 => Kind::Nodes,
            3 => Kind::Object,
            4 => Kind::Gone,
            5 => Kind::Seal,
            other => {
                return Err(format!(
                    "expected a kind of record from 1 to 5, found {other}"
                ));
            }
        };
        let codec = match raw[5] {
            0 => Codec::Raw,
            1 => Codec::Zstd,
            other => return Err(format!("expected codec 0 or 1, found {other}")),
        };
        let head = Self {
            kind,
            codec,
            count: word(8),
            stored: word(12),
            plain: word(16),
            body_crc: word(20),
            head_crc: word(28),
        };
        if raw[6..8] != [0, 0] || word(24) != pack {
            return Err(format!(
                "expected a record of pack {pack}, found one of {}",
                word(24)
            ));
        }
        head.check_bounds().map(|()| head)
    }

    fn check_bounds(&self) -> Result<(), String> {
        let is_frame = matches!(self.kind, Kind::Chunks | Kind::Nodes);
        let fits = match self.kind {
            Kind::Chunks | Kind::Nodes => {
                (1..=FRAME_CHUNKS_MAX).contains(&self.count)
                    && (1..=FRAME_BYTES_MAX).contains(&self.plain)
            }
            Kind::Object => self.plain as usize == OBJECT_BYTES,
            Kind::Gone => self.plain == 32,
            Kind::Seal => self.plain == 8,
        };
        let raw_is_plain = match self.codec {
            Codec::Raw => self.stored == self.plain,
            Codec::Zstd => is_frame && self.stored < self.plain,
        };
        if !fits || !raw_is_plain || (!is_frame && self.count != 0) {
            return Err(format!(
                "a record of kind {} with {} chunks and {} bytes stored as {} is out of bounds",
                self.kind as u8, self.count, self.plain, self.stored
            ));
        }
        Ok(())
    }

    /// How many bytes the table has.
    pub(crate) fn table_bytes(&self) -> usize {
        self.count as usize * ENTRY_BYTES
    }

    /// How many bytes the whole record has.
    pub(crate) fn record_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + self.table_bytes() as u64 + u64::from(self.stored)
    }

    /// Checks the fixed part and the table against their checksum, and reads the table.
    ///
    /// # Errors
    /// The checksum is another, or the lengths do not sum up.
    pub(crate) fn table(&self, raw: &[u8; HEAD_BYTES], table: &[u8]) -> Result<Vec<Entry>, String> {
        let found = crc32c_append(crc32c(&raw[..28]), table);
        if found != self.head_crc {
            let expected = self.head_crc;
            return Err(format!(
                "expected checksum {expected:08x} of the head, found {found:08x}"
            ));
        }
        let (rows, _) = table.as_chunks::<ENTRY_BYTES>();
        let entry = |row: &[u8; ENTRY_BYTES]| Entry {
            id: row[..32].try_into().expect("the row is longer"),
            bytes: u32::from_le_bytes(row[32..].try_into().expect("four bytes are left")),
        };
        let entries: Vec<Entry> = rows.iter().map(entry).collect();
        let sum: u64 = entries.iter().map(|entry| u64::from(entry.bytes)).sum();
        let is_sound = entries
            .iter()
            .all(|entry| (1..=CHUNK_BYTES_MAX).contains(&entry.bytes));
        if self.count != 0 && (!is_sound || sum != u64::from(self.plain)) {
            return Err(format!(
                "expected chunks of {} bytes in all, found {sum}",
                self.plain
            ));
        }
        Ok(entries)
    }

    /// Checks the body as it is stored against its checksum.
    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), String> {
        let found = crc32c(body);
        if found == self.body_crc {
            return Ok(());
        }
        let expected = self.body_crc;
        Err(format!(
            "expected checksum {expected:08x} of the body, found {found:08x}"
        ))
    }
}

/// A record that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) codec: Codec,
    pub(crate) entries: Vec<Entry>,
    pub(crate) plain: u32,
    pub(crate) body: Vec<u8>,
}

impl Record {
    /// How many bytes it takes in a pack.
    pub(crate) fn bytes(&self) -> u64 {
        (HEAD_BYTES + self.entries.len() * ENTRY_BYTES + self.body.len()) as u64
    }

    /// The bytes before the body, for pack `pack`.
    pub(crate) fn encode_head(&self, pack: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.entries.len() * ENTRY_BYTES);
        out.extend(RECORD_MAGIC);
        out.extend([self.kind as u8, self.codec as u8, 0, 0]);
        for word in [
            self.entries.len() as u32,
            self.body.len() as u32,
            self.plain,
            crc32c(&self.body),
            pack,
        ] {
            out.extend(word.to_le_bytes());
        }
        let mut table = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for entry in &self.entries {
            table.extend(entry.id);
            table.extend(entry.bytes.to_le_bytes());
        }
        let crc = crc32c_append(crc32c(&out), &table);
        out.extend(crc.to_le_bytes());
        out.extend(table);
        out
    }

    fn plain(kind: Kind, body: Vec<u8>) -> Self {
        Self {
            kind,
            codec: Codec::Raw,
            entries: Vec::new(),
            plain: body.len() as u32,
            body,
        }
    }

    /// The last record of a pack, before which it has so many bytes.
    pub(crate) fn seal(bytes: u64) -> Self {
        Self::plain(Kind::Seal, bytes.to_le_bytes().to_vec())
    }

    /// An object's name is taken away.
    pub(crate) fn gone(oid: &Digest) -> Self {
        Self::plain(Kind::Gone, oid.as_bytes().to_vec())
    }
}

/// What a record of an object says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ObjectRecord {
    pub(crate) oid: Digest,
    pub(crate) size: u64,
    pub(crate) manifest: ManifestId,
    pub(crate) came_unix_seconds: i64,
}

impl ObjectRecord {
    pub(crate) fn to_record(self) -> Record {
        let mut body = self.oid.as_bytes().to_vec();
        body.extend(self.size.to_le_bytes());
        body.extend(self.manifest.as_bytes());
        body.extend(self.came_unix_seconds.to_le_bytes());
        Record::plain(Kind::Object, body)
    }

    /// Reads the body of a record of kind [`Kind::Object`], whose length was checked.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let body: &[u8; OBJECT_BYTES] = body.try_into().ok()?;
        let id = |at: usize| body[at..at + 32].try_into().expect("32 bytes make an id");
        let word = |at: usize| {
            body[at..at + 8]
                .try_into()
                .expect("eight bytes make a word")
        };
        Some(Self {
            oid: Digest::from_bytes(id(0)),
            size: u64::from_le_bytes(word(32)),
            manifest: ManifestId::from_bytes(id(40)),
            came_unix_seconds: i64::from_le_bytes(word(72)),
        })
    }
}

/// The first bytes of pack `pack`.
pub(crate) fn encode_pack_header(pack: u32) -> [u8; PACK_HEADER_BYTES as usize] {
    let mut out = [0; PACK_HEADER_BYTES as usize];
    out[..8].copy_from_slice(&PACK_MAGIC);
    out[8..12].copy_from_slice(&PACK_VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&pack.to_le_bytes());
    let crc = crc32c(&out[..28]);
    out[28..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Whether these are the first bytes of pack `pack`.
pub(crate) fn check_pack_header(raw: &[u8], pack: u32) -> Result<(), String> {
    if raw == encode_pack_header(pack) {
        return Ok(());
    }
    Err(format!(
        "expected the header of pack {pack} of version {PACK_VERSION}, found {raw:02x?}"
    ))
}
