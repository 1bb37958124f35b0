//! Ids between core's form and gix's.

use gdo_core::id::ObjectId;

/// gix's form of an id.
pub(crate) fn to_gix(id: &ObjectId) -> gix::ObjectId {
    gix::ObjectId::from_bytes_or_panic(id.as_bytes())
}

/// An id of gix in core's form.
pub(crate) fn from_gix(id: &gix::oid) -> ObjectId {
    ObjectId::from_bytes(id.as_bytes()).expect("git ids have 20 or 32 bytes")
}
