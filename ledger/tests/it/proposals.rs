//! Proposals of members who work with stock git (P-9 to P-11, P-15).

use std::path::PathBuf;
use std::process::Command;

use gdo_core::id::{Height, ObjectId};
use gdo_core::policy::Lane;
use gdo_core::proposal::{NoteVerb, Proposal};
use gdo_ledger::{
    LedgerCommit, ObjectFormat, ProposalError, ProposalRules, Refusal, SignerError, TreeError, git,
};

use crate::support::{Clone, POLICY, TestLedger, key};

fn read_with(test: &TestLedger, tip: &ObjectId) -> Result<Proposal, ProposalError> {
    let rules = test.checkpoint().rules;
    let rules = ProposalRules {
        roster: &rules.roster,
        policy: &rules.policy,
        branch: "main",
    };
    test.ledger.read_proposal(tip, None, &rules, &test.view())
}

fn refusal(result: Result<Proposal, ProposalError>) -> Refusal {
    match result {
        Err(ProposalError::Refused(refusal)) => *refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Commits, takes the objects in and reads the proposal.
fn propose(test: &TestLedger, clone: &Clone, message: &str) -> Result<Proposal, ProposalError> {
    clone.commit(message);
    read_with(test, &test.take(clone))
}

fn paths(proposal: &Proposal) -> Vec<String> {
    proposal
        .delta
        .iter()
        .map(|operation| operation.path.to_string())
        .collect()
}

#[test]
fn a_signed_branch_is_one_proposal_with_both_hashes() {
    for format in [ObjectFormat::Sha256, ObjectFormat::Sha1] {
        let test = TestLedger::with(format, POLICY);
        let clone = test.clone_for("alice");
        clone.write("docs/a.txt", b"changed\n");
        let first = clone.commit("first");
        clone.write("new/file", b"new\n");
        clone.run(&["rm", "--quiet", "README"]);
        let proposal = propose(&test, &clone, "second\n\nwith a body").expect("a proposal");
        assert_eq!(paths(&proposal), ["README", "docs/a.txt", "new/file"]);
        assert_eq!((proposal.base, proposal.id), (test.genesis, clone.head()));
        assert_ne!(proposal.id, first);
        assert_eq!(proposal.principal.as_str(), "alice");
        assert_eq!(proposal.signers, std::slice::from_ref(&proposal.principal));
        assert_eq!(
            (proposal.subject.as_str(), proposal.lane),
            ("second", Lane::Cas)
        );
        assert!(proposal.delta[0].new.is_none() && proposal.delta[2].old.is_none());
        test.verify_commit(&proposal.id);
        test.fsck();
    }
}

#[test]
fn objects_in_quarantine_are_read_and_the_ledger_is_not_touched() {
    let test = TestLedger::new();
    let clone = test.clone_for("bob");
    clone.write("x", b"x\n");
    let tip = clone.commit("from bob");
    let quarantine: PathBuf = clone.dir.join(".git/objects");
    let rules = test.checkpoint().rules;
    let rules = ProposalRules {
        roster: &rules.roster,
        policy: &rules.policy,
        branch: "main",
    };
    let read = |quarantine| {
        test.ledger
            .read_proposal(&tip, quarantine, &rules, &test.view())
    };
    let proposal = read(Some(quarantine.as_path())).expect("read in quarantine");
    assert_eq!(proposal.principal.as_str(), "bob");
    assert!(!test.ledger.contains(&tip), "nothing was taken in");
    assert!(
        matches!(read(None), Err(ProposalError::Ledger(_))),
        "it is not in the ledger"
    );
}

#[test]
fn the_signer_of_every_commit_must_be_an_active_member() {
    let test = TestLedger::new();
    let signer = |member: &str, sign: bool| {
        let clone = test.clone_for(member);
        if !sign {
            clone.run(&["config", "commit.gpgsign", "false"]);
        }
        clone.write("by", member.as_bytes());
        clone.commit("bad one");
        clone.run(&["config", "commit.gpgsign", "true"]);
        let refused = refusal(propose(&test, &clone, "good one"));
        std::fs::remove_dir_all(clone.dir.parent().expect("a home")).expect("clean up");
        match refused.clone() {
            Refusal::Signer { reason, .. } => {
                assert!(!refused.hints().is_empty(), "{refused} has no hint");
                (reason, refused.to_string())
            }
            other => panic!("{other}"),
        }
    };
    let (reason, text) = signer("alice", false);
    assert_eq!(reason, SignerError::Unsigned);
    assert!(text.contains("'bad one' is not signed"), "{text}");
    let (reason, text) = signer("mallory", true);
    assert!(matches!(reason, SignerError::Unknown { .. }), "{text}");
    assert!(
        text.contains(&key("mallory").public().fingerprint()),
        "{text}"
    );
    let (reason, text) = signer("carol", true);
    assert!(matches!(reason, SignerError::NotInForce { .. }), "{text}");
    assert!(text.contains("suspended"), "{text}");
}

/// Takes a signed commit apart and puts it together with another signature header.
fn with_signature(test: &TestLedger, tip: &ObjectId, change: impl Fn(&str) -> String) -> ObjectId {
    let raw = test.ledger.read_commit_raw(tip).expect("read");
    let raw = change(&String::from_utf8(raw).expect("text"));
    test.ledger.write_commit(raw.as_bytes()).expect("write")
}

#[test]
fn signatures_that_git_would_not_accept_are_refused() {
    let test = TestLedger::new();
    let clone = test.clone_for("alice");
    clone.write("x", b"x");
    clone.commit("tip");
    let tip = test.take(&clone);
    let reason = |tip: &ObjectId| match refusal(read_with(&test, tip)) {
        Refusal::Signer { reason, .. } => reason,
        other => panic!("{other}"),
    };
    let other_text = with_signature(&test, &tip, |raw| raw.replace("\n\ntip", "\n\ntop"));
    assert!(matches!(reason(&other_text), SignerError::Signature(_)));
    let other_header = with_signature(&test, &tip, |raw| raw.replace("gpgsig-sha256 ", "gpgsig "));
    assert!(matches!(reason(&other_header), SignerError::Header { .. }));
    let name_space = with_signature(&test, &tip, |raw| {
        let (headers, message) = raw.split_once("\n\n").expect("a commit");
        let unsigned = headers.split("\ngpgsig-sha256").next().expect("headers");
        let payload = format!("{unsigned}\n\n{message}");
        let armor = key("alice").sign("file", payload.as_bytes());
        let armor = armor.trim_end().replace('\n', "\n ");
        format!("{unsigned}\ngpgsig-sha256 {armor}\n\n{message}")
    });
    let found = reason(&name_space);
    assert!(
        found
            .to_string()
            .contains("namespace 'file', expected 'git'"),
        "{found}"
    );
    let wrapped = with_signature(&test, &tip, |raw| {
        let (before, after) = raw
            .split_once("-----BEGIN SSH SIGNATURE-----\n ")
            .expect("armor");
        let (line, rest) = after.split_once("\n ").expect("a line");
        let (a, b) = line.split_at(20);
        format!("{before}-----BEGIN SSH SIGNATURE-----\n {a}\n {b}\n {rest}")
    });
    let found = reason(&wrapped);
    let told = matches!(found, SignerError::Spelling | SignerError::Signature(_));
    assert!(told, "{found}");
}

#[test]
fn a_branch_must_build_on_the_ledger_once() {
    let test = TestLedger::new();
    let clone = test.clone_for("alice");
    assert!(matches!(
        refusal(read_with(&test, &test.genesis)),
        Refusal::InLedger { .. }
    ));
    clone.run(&["checkout", "--quiet", "--orphan", "alien"]);
    let refused = refusal(propose(&test, &clone, "alien"));
    assert!(matches!(refused, Refusal::NoBase { .. }), "{refused}");
    assert!(
        refused
            .hints()
            .contains(&"git rebase origin/main".to_owned())
    );
    let blob = test.ledger.write_blob(b"x").expect("write");
    let refused = refusal(read_with(&test, &blob));
    assert!(
        refused.to_string().contains("is a blob, expected a commit"),
        "{refused}"
    );
}

#[test]
fn merging_main_moves_the_base_and_two_bases_are_refused() {
    let test = TestLedger::new();
    let alice = test.clone_for("alice");
    // Two commits that the view calls ledger commits: one above the other, one beside it.
    alice.run(&["checkout", "--quiet", "-b", "ledger"]);
    alice.write("one", b"1");
    let one = alice.commit("one");
    alice.write("two", b"2");
    let two = alice.commit("two");
    alice.run(&[
        "checkout",
        "--quiet",
        "-b",
        "side",
        &test.genesis.to_string(),
    ]);
    alice.write("side", b"s");
    let side = alice.commit("side");
    let known = |id: &ObjectId| {
        let checkpoint = |height| Some(LedgerCommit::Checkpoint(Height(height)));
        match *id {
            id if id == test.genesis => checkpoint(0),
            id if id == one => checkpoint(1),
            id if id == two => checkpoint(2),
            id if id == side => Some(LedgerCommit::Block(Height(0))),
            _ => None,
        }
    };
    let rules = test.checkpoint().rules;
    let rules = ProposalRules {
        roster: &rules.roster,
        policy: &rules.policy,
        branch: "main",
    };
    alice.run(&["checkout", "--quiet", "-b", "work", &one.to_string()]);
    alice.write("mine", b"m");
    let mine = alice.commit("mine");
    alice.run(&["merge", "--quiet", "--no-edit", &two.to_string()]);
    let tip = test.take(&alice);
    let proposal = test
        .ledger
        .read_proposal(&tip, None, &rules, &known)
        .expect("a proposal");
    assert_eq!(proposal.base, two);
    assert_eq!(paths(&proposal), ["mine"]);
    assert_ne!(tip, mine);
    alice.run(&["merge", "--quiet", "--no-edit", &side.to_string()]);
    let tip = test.take(&alice);
    let refused = refusal(test.ledger.read_proposal(&tip, None, &rules, &known));
    assert!(matches!(refused, Refusal::ManyBases { .. }), "{refused}");
    assert!(
        refused.to_string().contains("rebase onto main"),
        "{refused}"
    );
}

#[test]
fn commits_that_the_base_holds_already_are_not_judged_again() {
    let test = TestLedger::new();
    let alice = test.clone_for("alice");
    // An unsigned commit that came in below a later ledger commit, and a branch over both.
    alice.run(&["config", "commit.gpgsign", "false"]);
    alice.write("old", b"1");
    let old = alice.commit("taken in long ago");
    alice.run(&["config", "commit.gpgsign", "true"]);
    alice.run(&["checkout", "--quiet", "-b", "ledger"]);
    alice.write("ledger", b"2");
    let above = alice.commit("a checkpoint");
    alice.run(&["checkout", "--quiet", "-b", "work", &old.to_string()]);
    alice.write("mine", b"m");
    alice.commit("mine");
    alice.run(&["merge", "--quiet", "--no-edit", &above.to_string()]);
    let tip = test.take(&alice);
    let known = |id: &ObjectId| match *id {
        id if id == test.genesis => Some(LedgerCommit::Checkpoint(Height(0))),
        id if id == above => Some(LedgerCommit::Checkpoint(Height(1))),
        _ => None,
    };
    let rules = test.checkpoint().rules;
    let rules = ProposalRules {
        roster: &rules.roster,
        policy: &rules.policy,
        branch: "main",
    };
    let proposal = test
        .ledger
        .read_proposal(&tip, None, &rules, &known)
        .expect("a proposal");
    assert_eq!(paths(&proposal), ["mine"]);
}

#[test]
fn hostile_content_is_refused_by_path_with_a_way_out() {
    let test = TestLedger::new();
    let cases: [(&str, &[u8], &str, &str); 5] = [
        (
            ".gdo/checkpoint.json",
            b"{}\n",
            "written by checkpoints alone",
            "git checkout",
        ),
        (
            ".gdo/ledger.toml",
            b"",
            "written by checkpoints alone",
            "git checkout",
        ),
        (
            "big.bin",
            &[7; 5000],
            "5000 bytes, expected at most 4096",
            "git lfs track 'big.bin'",
        ),
        ("log/alice/UPPER", b"x", "a path of records", ""),
        ("nul.txt", b"x", "Windows", ""),
    ];
    for (path, content, reason, hint) in cases {
        let clone = test.clone_for("alice");
        clone.run(&["config", "core.protectNTFS", "false"]);
        clone.write(path, content);
        let refused = refusal(propose(&test, &clone, "hostile"));
        let text = refused.to_string();
        assert!(text.contains(path) && text.contains(reason), "{text}");
        let hints = refused.hints();
        assert!(
            hint.is_empty() || hints.iter().any(|line| line.contains(hint)),
            "{hints:?}"
        );
        std::fs::remove_dir_all(clone.dir.parent().expect("a home")).expect("clean up");
    }
    let clone = test.clone_for("alice");
    for n in 0..1025 {
        clone.write(&format!("many/{n}"), b"x");
    }
    let refused = refusal(propose(&test, &clone, "many"));
    assert_eq!(
        refused,
        Refusal::Tree(TreeError::TooManyPaths { max: 1024 })
    );
}

/// Runs what a refusal advises, in the clone, and reads the proposal again.
fn follow(test: &TestLedger, clone: &Clone, refused: &Refusal) -> Proposal {
    let hints = refused.hints();
    assert!(!hints.is_empty(), "{refused} has no hint");
    let script = hints.join(" &&\n");
    let home = clone.dir.parent().expect("a home");
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&clone.dir)
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("sh runs");
    assert!(
        output.status.success(),
        "{script}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    read_with(test, &test.take(clone)).unwrap_or_else(|error| panic!("after {script}: {error}"))
}

#[test]
fn who_follows_the_hints_of_a_refusal_gets_through() {
    let test = TestLedger::new();
    let clone = test.clone_for("alice");
    let home = clone.dir.parent().expect("a home");
    std::fs::create_dir(home.join(".ssh")).expect("mkdir");
    for file in ["id_ed25519", "id_ed25519.pub"] {
        std::fs::copy(home.join(file), home.join(".ssh").join(file)).expect("copy a key");
    }
    clone.run(&["config", "commit.gpgsign", "false"]);
    clone.write("x", b"1");
    clone.commit("one");
    clone.write("y", b"2");
    let refused = refusal(propose(&test, &clone, "two"));
    assert_eq!(paths(&follow(&test, &clone, &refused)), ["x", "y"]);
    clone.write(".gdo/checkpoint.json", b"{}\n");
    clone.write(".gdo/evidence/mine", b"x");
    let refused = refusal(propose(&test, &clone, "kernel"));
    // Two files are wrong, and each refusal names one.
    clone.run(&["rm", "--quiet", ".gdo/evidence/mine"]);
    assert_eq!(paths(&follow(&test, &clone, &refused)), ["x", "y"]);
    clone.write(".gdo/evidence/mine", b"x");
    clone.write("z", b"3");
    let refused = refusal(propose(&test, &clone, "kernel"));
    assert_eq!(paths(&follow(&test, &clone, &refused)), ["x", "y", "z"]);
}

#[test]
fn a_note_says_something_and_another_empty_proposal_is_refused() {
    let test = TestLedger::new();
    let clone = test.clone_for("alice");
    let refused = refusal(propose(&test, &clone, "nothing"));
    assert!(matches!(refused, Refusal::Empty { .. }), "{refused}");
    let id = "ab".repeat(32);
    let note = propose(&test, &clone, &format!("ok\n\nGdo-Approve: {id}")).expect("a note");
    assert_eq!(
        (note.notes[0].verb, note.lane),
        (NoteVerb::Approve, Lane::Final)
    );
    let refused = refusal(propose(&test, &clone, "ok\n\nGdo-Approve: 1234"));
    assert!(refused.to_string().contains("full id"), "{refused}");
}

#[test]
fn handles_alone_are_allowed_where_the_policy_says_so() {
    let policy = POLICY.replace("[limits]", "[identity]\nauthors = \"handle\"\n[limits]");
    let test = TestLedger::with(ObjectFormat::Sha256, &policy);
    let clone = test.clone_for("alice");
    clone.write("x", b"1");
    propose(&test, &clone, "a handle").expect("a proposal");
    clone.run(&["config", "user.name", "Alice Liddell"]);
    clone.write("x", b"2");
    let refused = refusal(propose(&test, &clone, "a name"));
    assert!(
        refused.to_string().contains("names 'Alice Liddell"),
        "{refused}"
    );
}

#[test]
fn a_key_in_an_agent_signs_like_any_other() {
    let test = TestLedger::new();
    let clone = test.clone_for("alice");
    clone.write("x", b"agent");
    clone.run(&["add", "--all"]);
    // ssh-agent runs the command and ends with it.
    let home = clone.dir.parent().expect("a home");
    let script = "ssh-add -q ../id_ed25519 && rm ../id_ed25519 && git commit -q -m agent";
    let status = Command::new("ssh-agent")
        .args(["sh", "-c", script])
        .current_dir(&clone.dir)
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .status()
        .expect("ssh-agent runs; install openssh-client");
    assert!(status.success());
    let tip = test.take(&clone);
    assert_eq!(
        read_with(&test, &tip)
            .expect("a proposal")
            .principal
            .as_str(),
        "alice"
    );
    let shown = git::run(
        test.ledger.dir(),
        &["log", "-1", "--format=%G?", &tip.to_string()],
    );
    assert_eq!(shown.expect("git log").trim(), "G");
}

/// A hook that waits at a pipe; it goes on when this is dropped, also by a failed assertion.
struct Waits<'a>(&'a std::path::Path);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        std::fs::write(self.0, "go on").expect("the hook waits");
    }
}

/// Pushes to the ledger with a pre-receive hook that stops until the test has looked.
fn push_and_look(test: &TestLedger, clone: &Clone, unpack_limit: &str, look: impl FnOnce(PathBuf)) {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = test.ledger.dir();
    let hooks = test.dir.path().join("hooks");
    std::fs::create_dir_all(&hooks).expect("mkdir");
    let (told, go) = (hooks.join("told"), hooks.join("go"));
    for pipe in [&told, &go] {
        let status = Command::new("mkfifo")
            .arg(pipe)
            .status()
            .expect("mkfifo runs");
        assert!(status.success());
    }
    let hook = hooks.join("pre-receive");
    let script = format!(
        "#!/bin/sh\necho \"$GIT_QUARANTINE_PATH\" > '{}'\ncat '{}' > /dev/null\nexit 1\n",
        told.display(),
        go.display()
    );
    std::fs::write(&hook, script).expect("write");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    git::run(dir, &["config", "receive.unpackLimit", unpack_limit]).expect("git config");
    // Without a proc-receive hook, git itself would write the ref; the hook refuses before.
    git::run(dir, &["config", "--unset-all", "receive.procReceiveRefs"]).expect("git config");
    std::thread::scope(|scope| {
        let push = scope.spawn(|| {
            Command::new("git")
                .args(["push", "--quiet", "origin", "HEAD:refs/heads/elsewhere"])
                .current_dir(&clone.dir)
                .env("HOME", clone.dir.parent().expect("a home"))
                .status()
                .expect("git runs")
        });
        let path = std::fs::read_to_string(&told).expect("the hook tells");
        let waits = Waits(&go);
        look(PathBuf::from(path.trim()));
        drop(waits);
        assert!(
            !push.join().expect("no panic").success(),
            "the hook refuses"
        );
    });
    std::fs::remove_dir_all(&hooks).expect("clean up");
}

#[test]
fn a_push_is_judged_in_its_quarantine_and_a_refused_one_leaves_nothing() {
    for unpack_limit in ["1000", "1"] {
        let test = TestLedger::new();
        let clone = test.clone_for("alice");
        clone.write("docs/a.txt", b"pushed\n");
        let tip = clone.commit("pushed");
        push_and_look(&test, &clone, unpack_limit, |quarantine| {
            let rules = test.checkpoint().rules;
            let rules = ProposalRules {
                roster: &rules.roster,
                policy: &rules.policy,
                branch: "main",
            };
            let read = test
                .ledger
                .read_proposal(&tip, Some(&quarantine), &rules, &test.view());
            assert_eq!(paths(&read.expect("a proposal")), ["docs/a.txt"]);
            assert!(!test.ledger.contains(&tip), "not taken in yet");
        });
        assert!(!test.ledger.contains(&tip), "refused, and gone");
        test.fsck();
    }
}
