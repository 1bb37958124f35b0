//! The keys of the index, byte for byte.
//!
//! Numbers are big endian, so that keys of one id stand in the order of their places. The form is
//! described in `docs/formats/pack.md`; the index is never exchanged, and is made anew when its
//! version is another.

use gdo_core::id::Digest;

use crate::hash::ManifestId;
use crate::record::Kind;

/// Where a chunk or node lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Location {
    /// The pack.
    pub(crate) pack: u32,
    /// Where in the pack the record begins.
    pub(crate) record: u32,
    /// Where in the plain bytes of the record it begins.
    pub(crate) at: u32,
    /// How many bytes it has.
    pub(crate) bytes: u32,
}

/// What is known of an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ObjectKey {
    pub(crate) oid: Digest,
    pub(crate) size: u64,
    pub(crate) manifest: ManifestId,
    pub(crate) came_unix_seconds: i64,
    /// The pack and the offset of its record.
    pub(crate) place: (u32, u32),
}

/// One key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    /// A chunk lies somewhere.
    Chunk([u8; 32], Location),
    /// A node of a manifest lies somewhere.
    Node([u8; 32], Location),
    /// There is an object.
    Object(ObjectKey),
    /// An object's name was taken away, by the record at this place.
    Gone(Digest, (u32, u32)),
    /// A pack is indexed up to a length; nothing is added to a sealed one.
    Pack {
        pack: u32,
        bytes: u64,
        is_sealed: bool,
    },
    /// Records of a pack that begin within this range cannot be read.
    Bad { pack: u32, start: u32, end: u32 },
    /// Nothing in the pack has been of use since the garbage collection of this number.
    Dead { pack: u32, generation: u64 },
    /// The pack is being deleted.
    Doomed { pack: u32 },
    /// The number of the last garbage collection.
    Generation(u64),
    /// The version of these keys.
    Version(u32),
}

/// The first byte of the keys of a kind.
pub(crate) mod prefix {
    pub(crate) const CHUNK: u8 = b'c';
    pub(crate) const NODE: u8 = b'm';
    pub(crate) const OBJECT: u8 = b'o';
    pub(crate) const GONE: u8 = b't';
    pub(crate) const PACK: u8 = b'p';
    pub(crate) const BAD: u8 = b'x';
    pub(crate) const DEAD: u8 = b'd';
    pub(crate) const DOOMED: u8 = b'q';
    pub(crate) const GENERATION: u8 = b'g';
    pub(crate) const VERSION: u8 = b'v';
}

/// What the keys of a chunk or node begin with.
pub(crate) fn id_prefix(kind: Kind, id: &[u8; 32]) -> [u8; super::PREFIX_BYTES] {
    let first = match kind {
        Kind::Nodes => prefix::NODE,
        _ => prefix::CHUNK,
    };
    with_id(first, id)
}

/// What the keys of an object begin with.
pub(crate) fn oid_prefix(first: u8, oid: &Digest) -> [u8; super::PREFIX_BYTES] {
    with_id(first, oid.as_bytes())
}

fn with_id(first: u8, id: &[u8; 32]) -> [u8; super::PREFIX_BYTES] {
    let mut out = [first; super::PREFIX_BYTES];
    out[1..].copy_from_slice(id);
    out
}

impl Key {
    /// The key of a chunk or node.
    pub(crate) fn of_entry(kind: Kind, id: [u8; 32], location: Location) -> Self {
        match kind {
            Kind::Nodes => Self::Node(id, location),
            _ => Self::Chunk(id, location),
        }
    }

    /// Where the record is that says whether there is an object.
    pub(crate) fn place(&self) -> Option<(u32, u32)> {
        match self {
            Self::Object(object) => Some(object.place),
            Self::Gone(_, place) => Some(*place),
            _ => None,
        }
    }

    /// Whether what it is about lies in `pack`.
    pub(crate) fn is_in(&self, pack: u32) -> bool {
        match self {
            Self::Chunk(_, place) | Self::Node(_, place) => place.pack == pack,
            Self::Object(object) => object.place.0 == pack,
            Self::Gone(_, place) => place.0 == pack,
            Self::Pack { pack: of, .. }
            | Self::Bad { pack: of, .. }
            | Self::Dead { pack: of, .. }
            | Self::Doomed { pack: of } => *of == pack,
            Self::Generation(_) | Self::Version(_) => false,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        let mut words = |first: u8, id: &[u8], words: &[u32]| {
            out.push(first);
            out.extend(id);
            out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        };
        match self {
            Self::Chunk(id, l) => words(prefix::CHUNK, id, &[l.pack, l.record, l.at, l.bytes]),
            Self::Node(id, l) => words(prefix::NODE, id, &[l.pack, l.record, l.at, l.bytes]),
            Self::Object(object) => {
                words(prefix::OBJECT, object.oid.as_bytes(), &[]);
                out.extend(object.size.to_be_bytes());
                out.extend(object.manifest.as_bytes());
                out.extend(object.came_unix_seconds.to_be_bytes());
                out.extend(object.place.0.to_be_bytes());
                out.extend(object.place.1.to_be_bytes());
            }
            Self::Gone(oid, place) => words(prefix::GONE, oid.as_bytes(), &[place.0, place.1]),
            Self::Pack {
                pack,
                bytes,
                is_sealed,
            } => {
                words(prefix::PACK, &[], &[*pack]);
                out.extend(bytes.to_be_bytes());
                out.push(u8::from(*is_sealed));
            }
            Self::Bad { pack, start, end } => words(prefix::BAD, &[], &[*pack, *start, *end]),
            Self::Dead { pack, generation } => {
                words(prefix::DEAD, &[], &[*pack]);
                out.extend(generation.to_be_bytes());
            }
            Self::Doomed { pack } => words(prefix::DOOMED, &[], &[*pack]),
            Self::Generation(number) => words(prefix::GENERATION, &number.to_be_bytes(), &[]),
            Self::Version(number) => words(prefix::VERSION, &[], &[*number]),
        }
        out
    }

    pub(crate) fn decode(raw: &[u8]) -> Option<Self> {
        let (first, mut rest) = raw.split_first()?;
        let rest = &mut rest;
        let key = match *first {
            prefix::CHUNK => Self::Chunk(*take(rest)?, take_location(rest)?),
            prefix::NODE => Self::Node(*take(rest)?, take_location(rest)?),
            prefix::OBJECT => Self::Object(ObjectKey {
                oid: Digest::from_bytes(*take(rest)?),
                size: u64::from_be_bytes(*take(rest)?),
                manifest: ManifestId::from_bytes(*take(rest)?),
                came_unix_seconds: i64::from_be_bytes(*take(rest)?),
                place: (take_u32(rest)?, take_u32(rest)?),
            }),
            prefix::GONE => Self::Gone(
                Digest::from_bytes(*take(rest)?),
                (take_u32(rest)?, take_u32(rest)?),
            ),
            prefix::PACK => Self::Pack {
                pack: take_u32(rest)?,
                bytes: u64::from_be_bytes(*take(rest)?),
                is_sealed: take::<1>(rest)?[0] == 1,
            },
            prefix::BAD => Self::Bad {
                pack: take_u32(rest)?,
                start: take_u32(rest)?,
                end: take_u32(rest)?,
            },
            prefix::DEAD => Self::Dead {
                pack: take_u32(rest)?,
                generation: u64::from_be_bytes(*take(rest)?),
            },
            prefix::DOOMED => Self::Doomed {
                pack: take_u32(rest)?,
            },
            prefix::GENERATION => Self::Generation(u64::from_be_bytes(*take(rest)?)),
            prefix::VERSION => Self::Version(take_u32(rest)?),
            _ => return None,
        };
        rest.is_empty().then_some(key)
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(head)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(|word| u32::from_be_bytes(*word))
}

fn take_location(rest: &mut &[u8]) -> Option<Location> {
    Some(Location {
        pack: take_u32(rest)?,
        record: take_u32(rest)?,
        at: take_u32(rest)?,
        bytes: take_u32(rest)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_as_it_was_written_and_cut_ones_are_not() {
        let location = Location {
            pack: 1,
            record: 2,
            at: 3,
            bytes: 4,
        };
        let object = ObjectKey {
            oid: Digest::of(b"abc"),
            size: 3,
            manifest: ManifestId::of(b"m"),
            came_unix_seconds: -5,
            place: (6, 7),
        };
        let pack = 8;
        let keys = [
            Key::Chunk([1; 32], location),
            Key::Node([2; 32], location),
            Key::Object(object),
            Key::Gone(object.oid, (1, 2)),
            Key::Pack {
                pack,
                bytes: 1 << 33,
                is_sealed: true,
            },
            Key::Bad {
                pack,
                start: 9,
                end: 10,
            },
            Key::Dead {
                pack,
                generation: 10,
            },
            Key::Doomed { pack },
            Key::Generation(11),
            Key::Version(1),
        ];
        for key in keys {
            let raw = key.encode();
            assert_eq!(Key::decode(&raw), Some(key));
            assert_eq!(Key::decode(&raw[..raw.len() - 1]), None, "{key:?}");
        }
    }
}
