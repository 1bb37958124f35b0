//! Keys of members and their signatures, in the formats of OpenSSH.
//!
//! Persons sign with `ssh-ed25519` or with `sk-ssh-ed25519@openssh.com` (a FIDO token), nodes and
//! services with `ssh-ed25519` (P-2). Signatures are SSHSIG armor, as `git commit -S` and
//! `ssh-keygen -Y sign` write it. Verification is strict ed25519: no key of small order and one
//! encoding per signature (P-15). What a person signs is signed by the person's own tools; only a
//! node's key is ever held here.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature as RawSignature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, LineEnding, PrivateKey, SshSig};
use thiserror::Error;

use crate::error::FormatError;
use crate::id::{Digest, serde_as_text};

/// The SSHSIG namespace of commits, as git uses it.
pub const NAMESPACE_GIT: &str = "git";
/// The SSHSIG namespace of verdicts (P-25).
pub const NAMESPACE_VERDICT: &str = "gdo-verdict@v1";
/// The SSHSIG namespace of the records of runs (P-25).
pub const NAMESPACE_RUN: &str = "gdo-run@v1";

/// The public key of a member, without its comment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    point: [u8; 32],
    /// The FIDO application of an `sk` key.
    application: Option<String>,
}

/// The name of a key in refs and reports: SHA-256 over the key in SSH's wire form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Digest);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PublicKey {
    /// The raw ed25519 key of a node.
    ///
    /// # Errors
    /// Keys of FIDO tokens sign another form of data and cannot vote.
    pub fn raw(&self) -> Result<[u8; 32], SignatureError> {
        if self.is_security_key() {
            Err(SignatureError::SecurityKey)
        } else {
            Ok(self.point)
        }
    }

    /// Takes the 32 bytes of a plain ed25519 key.
    #[must_use]
    pub fn from_raw(point: [u8; 32]) -> Self {
        Self {
            point,
            application: None,
        }
    }

    /// Whether the key lives in a FIDO token.
    #[must_use]
    pub fn is_security_key(&self) -> bool {
        self.application.is_some()
    }

    /// The key's name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let blob = ssh_key::PublicKey::from(self.key_data()).to_bytes();
        KeyId(Digest::of(&blob.expect("a key of fixed form encodes")))
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key_data().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Checks a raw ed25519 signature (votes).
    ///
    /// # Errors
    /// The signature is not of this key over `message`.
    pub fn verify_raw(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), SignatureError> {
        let key = VerifyingKey::from_bytes(&self.raw()?).map_err(|_| SignatureError::Wrong)?;
        key.verify_strict(message, &RawSignature::from_bytes(signature))
            .map_err(|_| SignatureError::Wrong)
    }

    fn key_data(&self) -> KeyData {
        let point = ssh_key::public::Ed25519PublicKey(self.point);
        match &self.application {
            None => KeyData::Ed25519(point),
            Some(application) => {
                KeyData::SkEd25519(ssh_key::public::SkEd25519::new(point, application.as_str()))
            }
        }
    }

    fn from_key_data(data: &KeyData) -> Result<Self, FormatError> {
        match data {
            KeyData::Ed25519(key) => Ok(Self {
                point: key.0,
                application: None,
            }),
            KeyData::SkEd25519(key) => Ok(Self {
                point: key.public_key().0,
                application: Some(key.application().to_owned()),
            }),
            other => Err(FormatError::new(
                "key type",
                "ssh-ed25519 or sk-ssh-ed25519@openssh.com",
                other.algorithm(),
            )),
        }
    }
}

impl FromStr for PublicKey {
    type Err = FormatError;

    /// Reads one line of a `.pub` file; the comment is dropped.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong =
            |got: &str| FormatError::new("public key", "a line like 'ssh-ed25519 AAAA… name'", got);
        if text.contains("PRIVATE KEY") {
            return Err(wrong("a private key; give the .pub file beside it"));
        }
        let key = ssh_key::PublicKey::from_openssh(text.trim()).map_err(|_| wrong(text))?;
        let key = Self::from_key_data(key.key_data())?;
        let point = VerifyingKey::from_bytes(&key.point).map_err(|_| wrong(text))?;
        if point.is_weak() {
            Err(wrong("a weak key"))
        } else {
            Ok(key)
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = ssh_key::PublicKey::from(self.key_data())
            .to_openssh()
            .map_err(|_| fmt::Error)?;
        f.write_str(line.trim_end())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(PublicKey);

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The text is no SSHSIG armor, or not the one spelling of it.
    #[error("bad signature armor: {0}")]
    Armor(String),
    /// The signature was made for another use.
    #[error("the signature is for namespace '{got}', expected '{expected}'")]
    Namespace {
        /// The namespace that this use signs under.
        expected: String,
        /// The namespace in the signature.
        got: String,
    },
    /// The key type is not one that members may use.
    #[error(transparent)]
    Key(#[from] FormatError),
    /// The signature does not fit the data and the key.
    #[error("the signature does not verify")]
    Wrong,
    /// A FIDO token signed, where a node's key must.
    #[error("a security key cannot sign this, expected ssh-ed25519")]
    SecurityKey,
}

/// A parsed SSHSIG signature, not verified yet.
#[derive(Clone, Debug)]
pub struct ArmoredSignature {
    parsed: SshSig,
    key: PublicKey,
}

impl ArmoredSignature {
    /// Reads SSHSIG armor.
    ///
    /// # Errors
    /// Text of another form, or a key type that no member may use.
    pub fn parse(armor: &str) -> Result<Self, SignatureError> {
        let parsed =
            SshSig::from_pem(armor).map_err(|error| SignatureError::Armor(error.to_string()))?;
        let key = PublicKey::from_key_data(parsed.public_key())?;
        Ok(Self { parsed, key })
    }

    /// The key that claims to have signed.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether `armor` is the one spelling of this signature (P-15), final line end aside.
    #[must_use]
    pub fn is_spelled(&self, armor: &str) -> bool {
        self.parsed
            .to_pem(LineEnding::LF)
            .is_ok_and(|text| text.trim_end() == armor.trim_end())
    }

    /// The 64 bytes of an ed25519 signature, which verdict certificates keep (P-25).
    ///
    /// # Errors
    /// Signatures of FIDO tokens carry more than that.
    pub fn raw(&self) -> Result<[u8; 64], SignatureError> {
        if self.key.is_security_key() {
            return Err(SignatureError::SecurityKey);
        }
        self.parsed
            .signature_bytes()
            .try_into()
            .map_err(|_| SignatureError::Wrong)
    }

    /// Checks that the key signed `message` under `namespace`.
    ///
    /// # Errors
    /// Another namespace, or a signature that does not fit.
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<(), SignatureError> {
        if self.parsed.namespace() != namespace {
            return Err(SignatureError::Namespace {
                expected: namespace.to_owned(),
                got: self.parsed.namespace().to_owned(),
            });
        }
        let data = SshSig::signed_data(namespace, self.parsed.hash_alg(), message)
            .map_err(|_| SignatureError::Wrong)?;
        verify_enveloped(&self.key, &data, self.parsed.signature_bytes())
    }
}

/// Checks a signature over SSHSIG's envelope, strictly.
fn verify_enveloped(key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    use sha2::Digest as _;
    let wrong = |_| SignatureError::Wrong;
    let verifier = VerifyingKey::from_bytes(&key.point).map_err(|_| SignatureError::Wrong)?;
    match &key.application {
        None => {
            let raw = RawSignature::from_slice(signature).map_err(wrong)?;
            verifier.verify_strict(data, &raw).map_err(wrong)
        }
        Some(application) => {
            // PROTOCOL.u2f: SHA256(application) || flags || counter || SHA256(data)
            let (raw, flags_and_counter) = signature
                .split_at_checked(64)
                .ok_or(SignatureError::Wrong)?;
            if flags_and_counter.len() != 5 || flags_and_counter[0] & 1 == 0 {
                return Err(SignatureError::Wrong); // the token was not touched
            }
            let mut signed = sha2::Sha256::digest(application.as_bytes()).to_vec();
            signed.extend_from_slice(flags_and_counter);
            signed.extend_from_slice(&sha2::Sha256::digest(data));
            let raw = RawSignature::from_slice(raw).map_err(wrong)?;
            verifier.verify_strict(&signed, &raw).map_err(wrong)
        }
    }
}

/// The key of a node: it signs blocks, verdicts and votes.
#[derive(Clone)]
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// Makes a key of a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// Reads an unencrypted OpenSSH private key.
    ///
    /// # Errors
    /// Text of another form, an encrypted key, or another key type.
    pub fn from_openssh(text: &str) -> Result<Self, FormatError> {
        let wrong =
            |got: String| FormatError::new("node key", "an unencrypted OpenSSH ed25519 key", got);
        let key = PrivateKey::from_openssh(text).map_err(|error| wrong(error.to_string()))?;
        let pair = key
            .key_data()
            .ed25519()
            .ok_or_else(|| wrong(key.algorithm().to_string()))?;
        Ok(Self(SigningKey::from_bytes(&pair.private.to_bytes())))
    }

    /// The key as an OpenSSH private key file.
    ///
    /// # Panics
    /// Never: an ed25519 key always encodes.
    #[must_use]
    pub fn to_openssh(&self, comment: &str) -> String {
        let pair = ssh_key::private::Ed25519Keypair::from(&self.0);
        let key =
            PrivateKey::new(pair.into(), comment).expect("an ed25519 key makes a private key");
        key.to_openssh(LineEnding::LF)
            .expect("an ed25519 key encodes")
            .to_string()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey {
            point: self.0.verifying_key().to_bytes(),
            application: None,
        }
    }

    /// Signs `message` raw (votes).
    #[must_use]
    pub fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Signs `message` as SSHSIG (ed25519, sha512) under `namespace`.
    ///
    /// # Panics
    /// If `namespace` is empty.
    #[must_use]
    pub fn sign(&self, namespace: &str, message: &[u8]) -> String {
        let data = SshSig::signed_data(namespace, HashAlg::Sha512, message)
            .expect("the namespace is not empty");
        armor(&self.public(), namespace, &self.0.sign(&data).to_bytes())
    }
}

/// Rebuilds the armor of an SSHSIG signature (ed25519, sha512) from its parts, for
/// `ssh-keygen -Y verify` (P-25).
///
/// # Panics
/// If `namespace` is empty.
#[must_use]
pub fn armor(key: &PublicKey, namespace: &str, signature: &[u8; 64]) -> String {
    let raw = ssh_key::Signature::new(ssh_key::Algorithm::Ed25519, signature.to_vec())
        .expect("64 bytes are an ed25519 signature");
    SshSig::new(key.key_data(), namespace, HashAlg::Sha512, raw)
        .and_then(|sig| sig.to_pem(LineEnding::LF))
        .expect("an ed25519 signature encodes")
}

/// Checks the raw 64 bytes of an SSHSIG signature (ed25519, sha512) over `message`.
///
/// # Errors
/// The signature does not fit, or the key is a FIDO token's.
pub fn verify_parts(
    key: &PublicKey,
    namespace: &str,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), SignatureError> {
    if key.is_security_key() {
        return Err(SignatureError::SecurityKey);
    }
    let data = SshSig::signed_data(namespace, HashAlg::Sha512, message)
        .map_err(|_| SignatureError::Wrong)?;
    verify_enveloped(key, &data, signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> NodeKey {
        NodeKey::from_seed([7; 32])
    }

    #[test]
    fn a_signature_verifies_under_its_namespace_and_message_alone() {
        let armor = key().sign("git", b"hello");
        let signature = ArmoredSignature::parse(&armor).expect("own armor");
        assert_eq!(signature.key(), &key().public());
        assert!(signature.is_spelled(&armor));
        assert_eq!(signature.verify("git", b"hello"), Ok(()));
        assert_eq!(
            signature.verify("git", b"hellO"),
            Err(SignatureError::Wrong)
        );
        assert!(matches!(
            signature.verify("file", b"hello"),
            Err(SignatureError::Namespace { .. })
        ));
        let raw = signature.raw().expect("plain key");
        assert_eq!(verify_parts(&key().public(), "git", b"hello", &raw), Ok(()));
        assert_eq!(super::armor(&key().public(), "git", &raw), armor);
    }

    #[test]
    fn armor_that_was_wrapped_otherwise_is_told_apart() {
        let armor = key().sign("git", b"hello");
        let body: String = armor
            .lines()
            .filter(|line| !line.starts_with("---"))
            .collect();
        let rewrapped =
            format!("-----BEGIN SSH SIGNATURE-----\n{body}\n-----END SSH SIGNATURE-----\n");
        if let Ok(signature) = ArmoredSignature::parse(&rewrapped) {
            assert!(!signature.is_spelled(&rewrapped));
        }
    }

    #[test]
    fn a_node_key_survives_its_file() {
        let text = key().to_openssh("hub");
        assert_eq!(
            NodeKey::from_openssh(&text).expect("own file").public(),
            key().public()
        );
    }

    #[test]
    fn other_key_types_are_refused_by_name() {
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc= x";
        let error = ecdsa
            .parse::<PublicKey>()
            .expect_err("not an ed25519 key")
            .to_string();
        assert!(error.contains("ecdsa-sha2-nistp256"), "{error}");
        let public = key().public().to_string();
        assert_eq!(
            public.parse::<PublicKey>().expect("own line").to_string(),
            public
        );
    }
}
