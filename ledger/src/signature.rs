//! Signatures of commits, judged by the roster in force (P-3, P-9, P-15).

use gdo_core::commit::{Identity, SignedText};
use gdo_core::id::{MemberName, ObjectId};
use gdo_core::key::{NAMESPACE_GIT, PublicKey, SignatureError};
use gdo_core::roster::Roster;

/// Why the signature of a commit does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// There is no signature.
    #[error("is not signed")]
    Unsigned,
    /// The signature stands in the header of the other hash, where git does not look for it.
    #[error("carries its signature in the header of another hash, expected '{expected}'")]
    Header {
        /// The header of this ledger's hash.
        expected: &'static str,
    },
    /// The signature is no SSH signature, or not a valid one.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// The armor has another spelling than its own (P-15).
    #[error("carries a signature that was wrapped by hand; sign it again")]
    Spelling,
    /// No member has the key.
    #[error("is signed by {fingerprint}, which is no member's key")]
    Unknown {
        /// The key's fingerprint.
        fingerprint: String,
    },
    /// The member or the key is not in force.
    #[error("is signed by {member}, {reason}")]
    NotInForce {
        /// The member.
        member: MemberName,
        /// Why.
        reason: String,
    },
}

/// The key that signed a commit, after the signature was verified; whose it is comes after.
///
/// # Errors
/// There is no valid signature in the form that this ledger demands.
pub(crate) fn verify(
    id: &ObjectId,
    raw: &[u8],
    text: &SignedText,
) -> Result<PublicKey, SignerError> {
    let armor = text.armor.as_deref().ok_or(SignerError::Unsigned)?;
    let expected = if id.as_bytes().len() == 20 {
        "gpgsig"
    } else {
        "gpgsig-sha256"
    };
    let header = format!("{expected} ");
    let mut headers = raw
        .split(|&byte| byte == b'\n')
        .take_while(|line| !line.is_empty());
    if !headers.any(|line| line.starts_with(header.as_bytes())) {
        return Err(SignerError::Header { expected });
    }
    let signature = text.signature()?;
    if !signature.is_spelled(armor) {
        return Err(SignerError::Spelling);
    }
    signature.verify(NAMESPACE_GIT, &text.payload)?;
    Ok(signature.key().clone())
}

/// The active member that holds `key` in force.
pub(crate) fn member_in_force(roster: &Roster, key: &PublicKey) -> Result<MemberName, SignerError> {
    if let Some((name, _)) = roster.active_owner_of(key) {
        return Ok(name.clone());
    }
    let Some((name, member)) = roster.owner_of(key) else {
        return Err(SignerError::Unknown {
            fingerprint: key.fingerprint(),
        });
    };
    let reason = if member.is_active() {
        format!("with {}, a retired key", key.fingerprint())
    } else {
        format!("whose status is {:?}, expected active", member.status).to_lowercase()
    };
    Err(SignerError::NotInForce {
        member: name.clone(),
        reason,
    })
}

/// Whether an author or committer is a member's handle: `<member> <member@…>` (P-9).
pub(crate) fn is_handle(roster: &Roster, who: &Identity) -> bool {
    let member = who.name.parse::<MemberName>();
    let known = member.is_ok_and(|name| roster.get(&name).is_some());
    let domain = who.email.strip_prefix(who.name.as_str());
    known && domain.is_some_and(|rest| rest.starts_with('@') && rest.len() > 1)
}
