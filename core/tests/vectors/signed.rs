//! Vectors of what is signed beside commits: verdicts, votes, certificates, evidence, log lines.

use gdo_core::canonical;
use gdo_core::id::{Digest, Height, Seq, View};
use gdo_core::key::{ArmoredSignature, NAMESPACE_VERDICT, armor};
use gdo_core::verdict::{Outcome, RunnerSignature, Statement, VerdictCertificate, VerdictKey};
use gdo_core::vote::{Ballot, Certificate, Evidence, MemberSignature, Vote, VoteKind};
use serde_json::{Value, json};

use crate::{id, key, ledger};

pub(crate) fn signature() -> Value {
    let case = |(namespace, message): (&str, &str)| {
        let armored = key(1).sign(namespace, message.as_bytes());
        let parsed = ArmoredSignature::parse(&armored).expect("own armor");
        parsed
            .verify(namespace, message.as_bytes())
            .expect("own signature");
        let raw = parsed.raw().expect("a plain key");
        assert_eq!(armor(&key(1).public(), namespace, &raw), armored);
        json!({ "namespace": namespace, "message": message, "armor": armored, "ed25519": hex::encode(raw) })
    };
    let public = key(1).public();
    json!({
        "seed": "01".repeat(32),
        "public": public,
        "key_id": public.id(),
        "fingerprint": public.fingerprint(),
        "cases": [case(("git", "")), case(("git", "hello\n")), case((NAMESPACE_VERDICT, "{\"a\":1}"))],
    })
}

fn statement(outcome: Outcome) -> Statement {
    Statement {
        ledger: ledger(),
        dapp: "accounting".parse().expect("name"),
        key: VerdictKey {
            dapp_digest: Digest::of(b"dapp"),
            input: id(0xcc),
        },
        outcome,
    }
}

/// The certificate that the checkpoint's vector carries.
pub(crate) fn certificate() -> VerdictCertificate {
    let signer = |member: &str, seed| RunnerSignature {
        member: member.parse().expect("name"),
        key: key(seed).public(),
        signature: statement(Outcome::Pass).sign(&key(seed)),
    };
    VerdictCertificate::new(
        &statement(Outcome::Pass),
        vec![signer("hub", 1), signer("door-1", 3)],
    )
}

pub(crate) fn verdict() -> Value {
    let case = |outcome| {
        let statement = statement(outcome);
        let text = statement.to_json();
        assert_eq!(Statement::parse(&text).expect("own text"), statement);
        let raw = statement.sign(&key(1));
        json!({
            "statement": text,
            "signature": hex::encode(raw),
            "armor": armor(&key(1).public(), NAMESPACE_VERDICT, &raw),
        })
    };
    certificate().verify_signatures().expect("own signatures");
    json!({
        "seeds": { "hub": "01".repeat(32), "door-1": "03".repeat(32) },
        "dapp_digest_of": "dapp",
        "cases": [case(Outcome::Pass), case(Outcome::Fail)],
        "certificate": canonical::to_string(&certificate()),
    })
}

fn ballot(kind: VoteKind, value: Option<u8>) -> Ballot {
    Ballot {
        ledger: ledger(),
        height: Height(7),
        previous: id(0x06),
        view: View(1),
        kind,
        value: value.map(id),
    }
}

fn sign(ballot: Ballot, member: &str, seed: u8) -> Vote {
    let signature = key(seed).sign_raw(&ballot.signed_bytes());
    Vote {
        ballot,
        member: member.parse().expect("name"),
        signature,
    }
}

/// The certificate of height 7 that the checkpoint's vector carries.
pub(crate) fn finality_certificate() -> Certificate {
    let ballot = ballot(VoteKind::Finalize, Some(0x07));
    let votes = [("hub", 1), ("door-1", 3)].map(|(member, seed)| {
        let vote = sign(ballot, member, seed);
        MemberSignature {
            member: vote.member,
            signature: vote.signature,
        }
    });
    Certificate::new(&ballot, votes)
}

pub(crate) fn vote() -> Value {
    let case = |(kind, value): (VoteKind, Option<u8>)| {
        let vote = sign(ballot(kind, value), "hub", 1);
        vote.ballot.check().expect("a ballot that can be signed");
        json!({
            "signed_hex": hex::encode(vote.ballot.signed_bytes()),
            "vote": canonical::to_string(&vote),
        })
    };
    let kinds = [
        (VoteKind::Notarize, Some(0x07)),
        (VoteKind::Nullify, None),
        (VoteKind::Finalize, Some(0x07)),
        (VoteKind::Recovery, Some(0x07)),
    ];
    let evidence = |a: (VoteKind, Option<u8>), b: (VoteKind, Option<u8>)| {
        let votes = [a, b].map(|(kind, value)| sign(ballot(kind, value), "hub", 1));
        let offence = votes[0]
            .ballot
            .contradicts(&votes[1].ballot)
            .map(|offence| offence.to_string());
        let [a, b] = votes;
        let evidence = Evidence::new(a, b).map(|evidence| canonical::to_string(&evidence));
        json!({ "offence": offence, "evidence": evidence })
    };
    let (n, z, f) = (VoteKind::Notarize, VoteKind::Nullify, VoteKind::Finalize);
    json!({
        "seeds": { "hub": "01".repeat(32), "door-1": "03".repeat(32) },
        "cases": kinds.map(case),
        "certificate": canonical::to_string(&finality_certificate()),
        "evidence": [
            evidence((n, Some(0x07)), (n, Some(0x08))),
            evidence((z, None), (f, Some(0x07))),
            evidence((f, Some(0x08)), (f, Some(0x07))),
            evidence((n, Some(0x07)), (f, Some(0x08))),
        ],
    })
}

pub(crate) fn wal() -> Value {
    let records = [
        json!({ "block": { "seq": Seq(0), "payload": "tree 00\n" } }),
        json!({ "verdict": { "key": { "dapp_digest": Digest::of(b"dapp"), "input": id(0xcc) }, "outcome": "pass" } }),
        json!({ "vote": { "ballot": ballot(VoteKind::Finalize, Some(0x07)) } }),
    ];
    let line = |record: Value| {
        let body = canonical::to_string(&record);
        format!("{} {body}\n", Digest::of(body.as_bytes()).short(16))
    };
    json!({ "lines": records.map(line) })
}

#[test]
fn stock_ssh_keygen_accepts_every_published_signature() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let temp = std::env::temp_dir().join(format!("gdo-vectors-{}", std::process::id()));
    std::fs::create_dir_all(&temp).expect("a temporary directory can be made");
    let signers = temp.join("allowed_signers");
    std::fs::write(&signers, format!("hub {}\n", key(1).public())).expect("writable");
    let verdicts = verdict();
    let verdicts = verdicts["cases"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|case| {
            (
                NAMESPACE_VERDICT.to_owned(),
                case["statement"].clone(),
                case["armor"].clone(),
            )
        });
    let plain = signature();
    let plain = plain["cases"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|case| {
            let namespace = case["namespace"].as_str().expect("text").to_owned();
            (namespace, case["message"].clone(), case["armor"].clone())
        });
    let mut checked = 0;
    for (namespace, message, armor) in verdicts.chain(plain) {
        let file = temp.join("signature");
        std::fs::write(&file, armor.as_str().expect("text")).expect("writable");
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", "hub", "-n", &namespace, "-f"])
            .arg(&signers)
            .arg("-s")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-keygen must be installed (openssh-client)");
        let mut input = child.stdin.take().expect("standard input is piped");
        input
            .write_all(message.as_str().expect("text").as_bytes())
            .expect("ssh-keygen reads");
        drop(input);
        assert!(
            child.wait().expect("ssh-keygen ends").success(),
            "{namespace}: {message}"
        );
        checked += 1;
    }
    std::fs::remove_dir_all(&temp).expect("the temporary directory can be removed");
    assert_eq!(checked, 5);
}
