//! Verdicts: the proof in proof of merge (P-23 to P-27).
//!
//! A verdict is an in-toto Statement v1 in canonical JSON, signed as SSHSIG. It holds nothing in
//! which honest runners could differ; what differs per run stands in the run record beside it.
//!
//! **Invariants**: a statement has one spelling; a certificate names each signer once.

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::error::FormatError;
use crate::id::{DappName, Digest, LedgerId, MemberName, ObjectId};
use crate::key::{NAMESPACE_VERDICT, NodeKey, PublicKey, SignatureError, verify_parts};

/// What a validator says of a candidate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Exit code 0 within all limits.
    Pass,
    /// Exit code 1 within all limits.
    Fail,
}

/// What a verdict is about: the validator and exactly what it saw (P-24).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictKey {
    /// The validator's digest (P-23).
    pub dapp_digest: Digest,
    /// The tree that holds `base/`, `candidate/` and `context.json`.
    pub input: ObjectId,
}

/// A verdict, as the ledger keeps it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Statement {
    /// The ledger.
    pub ledger: LedgerId,
    /// The dapp's name.
    pub dapp: DappName,
    /// What was judged, by what.
    pub key: VerdictKey,
    /// The result.
    pub outcome: Outcome,
}

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "urn:gdo:verdict:v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InToto {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectDigest {
    #[serde(rename = "gitTree")]
    git_tree: ObjectId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    ledger: LedgerId,
    dapp: DappName,
    dapp_digest: Digest,
    result: Outcome,
}

impl Statement {
    /// The statement as canonical JSON: the bytes that runners sign.
    #[must_use]
    pub fn to_json(&self) -> String {
        let subject = Subject {
            name: "input".to_owned(),
            digest: SubjectDigest {
                git_tree: self.key.input,
            },
        };
        canonical::to_string(&InToto {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: vec![subject],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate {
                ledger: self.ledger,
                dapp: self.dapp.clone(),
                dapp_digest: self.key.dapp_digest,
                result: self.outcome,
            },
        })
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// Text of another form, type or spelling.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let raw: InToto = canonical::from_str("verdict", text)?;
        let wrong = |expected: &str, got: &str| FormatError::new("verdict", expected, got);
        if raw.statement_type != STATEMENT_TYPE {
            return Err(wrong(STATEMENT_TYPE, &raw.statement_type));
        }
        if raw.predicate_type != PREDICATE_TYPE {
            return Err(wrong(PREDICATE_TYPE, &raw.predicate_type));
        }
        let [subject] = raw.subject.as_slice() else {
            return Err(wrong("one subject", &raw.subject.len().to_string()));
        };
        let statement = Self {
            ledger: raw.predicate.ledger,
            dapp: raw.predicate.dapp,
            key: VerdictKey {
                dapp_digest: raw.predicate.dapp_digest,
                input: subject.digest.git_tree,
            },
            outcome: raw.predicate.result,
        };
        if statement.to_json() == text {
            Ok(statement)
        } else {
            Err(wrong("subject 'input'", &subject.name))
        }
    }

    /// Signs the statement as a runner; gives the 64 bytes that a certificate keeps.
    ///
    /// # Panics
    /// Never: the own armor has the form that is read back.
    #[must_use]
    pub fn sign(&self, key: &NodeKey) -> [u8; 64] {
        let armor = key.sign(NAMESPACE_VERDICT, self.to_json().as_bytes());
        crate::key::ArmoredSignature::parse(&armor)
            .and_then(|signature| signature.raw())
            .expect("an own signature is ed25519")
    }
}

/// A runner's signature over a statement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunnerSignature {
    /// The runner.
    pub member: MemberName,
    /// The key that it signed with.
    pub key: PublicKey,
    /// The raw ed25519 signature inside the SSHSIG envelope, in hex.
    #[serde(with = "signature_hex")]
    pub signature: [u8; 64],
}

/// Signatures in JSON: 128 lower-case hex digits.
pub mod signature_hex {
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a signature.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        signature: &[u8; 64],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(signature))
    }

    /// Reads a signature.
    ///
    /// # Errors
    /// Anything but 128 hex digits.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut raw = [0; 64];
        hex::decode_to_slice(&text, &mut raw)
            .map_err(|_| serde::de::Error::custom("expected 128 hex digits"))?;
        Ok(raw)
    }
}

/// A statement once, and who signed it (P-25).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictCertificate {
    /// The statement's text.
    statement: String,
    /// The signers, in the order of their names.
    pub signers: Vec<RunnerSignature>,
}

impl VerdictCertificate {
    /// Gathers signatures over one statement.
    #[must_use]
    pub fn new(statement: &Statement, mut signers: Vec<RunnerSignature>) -> Self {
        signers.sort();
        signers.dedup_by(|a, b| a.member == b.member);
        Self {
            statement: statement.to_json(),
            signers,
        }
    }

    /// What was signed.
    ///
    /// # Errors
    /// The text in the certificate is no statement.
    pub fn statement(&self) -> Result<Statement, FormatError> {
        Statement::parse(&self.statement)
    }

    /// Checks every signature; whose keys these are is the roster's question.
    ///
    /// # Errors
    /// The first signature that does not fit.
    pub fn verify_signatures(&self) -> Result<(), SignatureError> {
        self.signers.iter().try_for_each(|signer| {
            let message = self.statement.as_bytes();
            verify_parts(&signer.key, NAMESPACE_VERDICT, message, &signer.signature)
        })
    }
}

/// What differs from run to run, kept beside the verdict in the runner's `att` ref (P-25).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// What was judged, by what.
    pub key: VerdictKey,
    /// The dapp's name.
    pub dapp: DappName,
    /// `pass`, `fail` or `inconclusive`.
    pub result: String,
    /// Why the run was inconclusive.
    pub reason: Option<String>,
    /// The exit code, if the program exited.
    pub exit: Option<i32>,
    /// Wall time, in milliseconds.
    pub wall_ms: u64,
    /// Processor time, in milliseconds, where the kernel tells.
    pub cpu_ms: Option<u64>,
    /// Peak memory, in bytes, where the kernel tells.
    pub memory_peak_bytes: Option<u64>,
    /// The machine, as `uname -m` names it.
    pub arch: String,
}

/// A problem that a validator reports in `/gdo/out/report.json`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Problem {
    /// The file.
    #[serde(default)]
    pub path: Option<String>,
    /// The line, from 1.
    #[serde(default)]
    pub line: Option<u64>,
    /// The dapp's own id of the rule.
    #[serde(default)]
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// The content of `/gdo/out/report.json`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The problems, in the order in which the dapp names them.
    pub problems: Vec<Problem>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement {
            ledger: LedgerId("ab".repeat(32).parse().expect("id")),
            dapp: "accounting".parse().expect("name"),
            key: VerdictKey {
                dapp_digest: Digest::of(b"dapp"),
                input: "cd".repeat(32).parse().expect("id"),
            },
            outcome: Outcome::Fail,
        }
    }

    #[test]
    fn a_statement_has_one_spelling() {
        let text = statement().to_json();
        assert_eq!(Statement::parse(&text).expect("own text"), statement());
        for bad in [
            text.replace("fail", "maybe"),
            text.replace("\"input\"", "\"other\""),
            format!("{text} "),
        ] {
            assert!(Statement::parse(&bad).is_err(), "accepted {bad}");
        }
    }

    #[test]
    fn a_certificate_proves_its_statement_alone() {
        let key = NodeKey::from_seed([3; 32]);
        let signer = RunnerSignature {
            member: "hub".parse().expect("name"),
            key: key.public(),
            signature: statement().sign(&key),
        };
        let mut certificate = VerdictCertificate::new(&statement(), vec![signer]);
        certificate.verify_signatures().expect("own signature");
        certificate.statement = certificate.statement.replace("fail", "pass");
        assert_eq!(certificate.verify_signatures(), Err(SignatureError::Wrong));
    }
}
