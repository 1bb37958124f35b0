//! The canonical order L (section 7, step 4).
//!
//! **Invariants**: keys are unique; an ancestor's key is smaller than its descendants'.

use gdo_core::id::{Digest, MemberName, ObjectId, Seq};

/// The place of a block in the canonical order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    /// 1 more than the highest generation among the unfinished ancestors.
    pub(crate) generation: u64,
    /// The author's turn under this K: nobody is always first.
    pub(crate) turn: Digest,
    pub(crate) seq: Seq,
    pub(crate) id: ObjectId,
}

impl Key {
    /// The place of a block before it is computed.
    pub(crate) fn unset(id: ObjectId) -> Self {
        Self {
            generation: 0,
            turn: Digest::from_bytes([0; 32]),
            seq: Seq(0),
            id,
        }
    }
}

/// The author's turn under K: sha256("rot" || K || author), over the raw id and the name.
pub(crate) fn turn(base: ObjectId, author: &MemberName) -> Digest {
    let mut text = b"rot".to_vec();
    text.extend_from_slice(base.as_bytes());
    text.extend_from_slice(author.as_str().as_bytes());
    Digest::of(&text)
}
