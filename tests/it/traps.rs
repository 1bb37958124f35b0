//! The traps of git as a front door: whatever stock git can be made to do, the ledger stays whole
//! and the person is told what to do.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use gdo_tests::{Clone, Org, Seen};

fn push(clone: &Clone, arguments: &[&str]) -> Seen {
    let arguments = [&["push", "origin"], arguments].concat();
    Seen::of(&mut clone.git(&arguments))
}

/// Requires that nothing of the ledger moved, and that it is whole.
#[track_caller]
fn assert_untouched(org: &Org, refs: &str) {
    assert_eq!(org.refs(), refs);
    org.check();
}

#[test]
fn a_proposal_whose_pusher_is_killed_is_decided() {
    let org = Org::new("blank");
    let clone = org.clone("alice");
    let text = clone.read(".gdo/policy.toml") + "\n# a remark\n";
    clone.commit(&[(".gdo/policy.toml", &text)]);
    let mut command = clone.push_command(&[]);
    let mut process = command
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git must be installed");
    let mut said = Vec::new();
    let mut stderr = process.stderr.take().expect("it is piped");
    while !String::from_utf8_lossy(&said).contains("gdo: proposal ") {
        let mut byte = [0];
        let read = stderr.read(&mut byte).expect("it is a pipe");
        assert_ne!(
            read,
            0,
            "the push ended: {}",
            String::from_utf8_lossy(&said)
        );
        said.extend_from_slice(&byte);
    }
    // Git and the helper that speaks HTTP, at once.
    let group = format!("-{}", process.id());
    let _ = Seen::of(Command::new("kill").args(["-KILL", "--", &group])).accepted();
    assert!(!process.wait().expect("it is our child").success());

    org.wait_for_log("final height=1");
    assert!(
        org.file(".gdo/policy.toml")
            .is_some_and(|text| text.contains("# a remark"))
    );
    clone
        .propose(&[])
        .accepted()
        .shows("it ended at checkpoint 1 already");
    assert_eq!(org.status()["height"], 1);
    org.check();
}

#[test]
fn sixteen_pushes_at_once_of_files_of_their_own_are_all_merged() {
    let org = Org::new("blank");
    let clones: Vec<Clone> = (0..16)
        .map(|number| org.clone(&format!("clone-{number}")))
        .collect();
    for (number, clone) in clones.iter().enumerate() {
        clone.commit(&[(&format!("notes/{number}.md"), &format!("{number}\n"))]);
    }
    let pushes: Vec<_> = clones.iter().map(|clone| clone.start_push(&[])).collect();
    for process in pushes {
        let output = process.wait_with_output().expect("it is our child");
        Seen::from(output).accepted().shows("main is now ");
    }
    for number in 0..16 {
        let path = format!("notes/{number}.md");
        assert_eq!(org.file(&path), Some(number.to_string()), "{path}");
    }
    assert_eq!(org.status()["pending"], serde_json::json!([]));
    let _ = org.gdo(&["verify"]).accepted();
    org.check();
}

#[test]
fn sixteen_pushes_at_once_of_one_file_merge_exactly_one() {
    let org = Org::new("blank");
    let clones: Vec<Clone> = (0..16)
        .map(|number| org.clone(&format!("clone-{number}")))
        .collect();
    for (number, clone) in clones.iter().enumerate() {
        clone.commit(&[("plan.md", &format!("{number}\n"))]);
    }
    let pushes: Vec<_> = clones.iter().map(|clone| clone.start_push(&[])).collect();
    let seen: Vec<Seen> = pushes
        .into_iter()
        .map(|process| process.wait_with_output().expect("it is our child").into())
        .collect();
    let merged: Vec<usize> = (0..16).filter(|number| seen[*number].ok).collect();
    assert_eq!(merged.len(), 1, "{seen:?}");
    assert_eq!(org.file("plan.md"), Some(merged[0].to_string()));
    org.check();
}

#[test]
fn a_push_to_main_itself_is_refused_with_the_command_that_works() {
    let org = Org::new("blank");
    let refs = org.refs();
    let clone = org.clone("alice");
    clone.commit(&[("a.md", "a\n")]);
    let tracking = clone.run(&["rev-parse", "origin/main"]);
    for arguments in [&["HEAD:main"][..], &["--force", "HEAD:main"]] {
        let seen = push(&clone, arguments).refused();
        seen.shows("git push origin HEAD:refs/for/main");
        assert_eq!(clone.run(&["rev-parse", "origin/main"]), tracking);
        assert_untouched(&org, &refs);
    }
    push(&clone, &["HEAD:refs/heads/new"])
        .refused()
        .shows("push proposals to refs/for/");
    assert_untouched(&org, &refs);
    let _ = clone.propose(&[]).accepted();
    clone.pull();
    assert_eq!(clone.tip(), org.main());
}

#[test]
fn refs_cannot_be_deleted() {
    let org = Org::new("blank");
    let refs = org.refs();
    let clone = org.clone("alice");
    for reference in [
        "refs/heads/main",
        "refs/gdo/main/head",
        "refs/for/main",
        "refs/tags/x",
    ] {
        let _ = push(&clone, &[&format!(":{reference}")]).refused();
        assert_untouched(&org, &refs);
    }
    push(&clone, &[":refs/heads/main"]).refused().shows("delet");
}

#[test]
fn an_unsigned_commit_is_refused_with_the_settings_that_sign() {
    let org = Org::new("blank");
    let refs = org.refs();
    let clone = org.clone("alice");
    clone.run(&["config", "commit.gpgsign", "false"]);
    clone.commit(&[("a.md", "a\n")]);
    let seen = clone.propose(&[]).refused();
    seen.shows("Write a.md")
        .shows("git config commit.gpgsign true")
        .shows("git config gpg.format ssh");
    assert_untouched(&org, &refs);
}

#[test]
fn a_commit_signed_with_a_strangers_key_is_refused() {
    let org = Org::new("blank");
    let refs = org.refs();
    let clone = org.clone("alice");
    clone.sign_with(&org.environment().make_key("mallory"));
    clone.commit(&[("a.md", "a\n")]);
    let seen = clone.propose(&[]).refused();
    seen.shows("Write a.md").shows("user.signingkey");
    assert_untouched(&org, &refs);
}

#[test]
fn a_foreign_commit_below_a_members_own_is_refused_by_name() {
    let org = Org::new("blank");
    let refs = org.refs();
    let clone = org.clone("alice");
    clone.run(&["config", "commit.gpgsign", "false"]);
    let foreign = clone.commit(&[("foreign.md", "x\n")]);
    clone.run(&["config", "commit.gpgsign", "true"]);
    clone.commit(&[("own.md", "x\n")]);
    let seen = clone.propose(&[]).refused();
    seen.shows(&foreign[..12]).shows("Write foreign.md");
    assert_untouched(&org, &refs);
}

#[test]
fn a_commit_that_was_changed_after_it_was_signed_is_refused() {
    let org = Org::new("blank");
    let refs = org.refs();
    let clone = org.clone("alice");
    clone.commit(&[("a.md", "a\n")]);
    let raw = clone.run(&["cat-file", "commit", "HEAD"]);
    clone.write(
        ".git/forged",
        raw.replace("Write a.md", "Write b.md") + "\n",
    );
    let forged = clone.run(&["hash-object", "-t", "commit", "-w", ".git/forged"]);
    let seen = push(&clone, &[&format!("{forged}:refs/for/main")]).refused();
    seen.shows("Write b.md").shows("signature");
    assert_untouched(&org, &refs);
}

#[test]
fn the_ledgers_own_refs_cannot_be_pushed_to() {
    let org = Org::new("blank");
    let refs = org.refs();
    let clone = org.clone("alice");
    let id = clone.commit(&[("a.md", "a\n")]);
    for reference in [
        "refs/gdo/main/head".to_owned(),
        format!("refs/gdo/main/proposals/{id}"),
        "refs/gdo/main/cert".to_owned(),
        "refs/notes/gdo/verdicts".to_owned(),
        "refs/notes/commits".to_owned(),
        "refs/replace/x".to_owned(),
        "refs/tags/v1".to_owned(),
    ] {
        let _ = push(&clone, &[&format!("+HEAD:{reference}")]).refused();
        assert_untouched(&org, &refs);
    }
    assert!(
        org.status()["pending"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );
}

#[test]
fn a_pack_over_the_nodes_limit_is_refused_and_leaves_nothing() {
    let mut org = Org::stopped("blank");
    let file = org.dir().join("node.toml");
    let config = std::fs::read_to_string(&file).expect("init wrote it");
    std::fs::write(&file, config + "push.mib_max = 1\n").expect("the node directory is ours");
    org.start();
    let refs = org.refs();
    let clone = org.clone("alice");
    clone.write("noise", gdo_tests::program::noise(2 << 20));
    clone.commit_all("Write noise");
    clone
        .propose(&[])
        .refused()
        .shows("exceeds maximum allowed size");
    assert_untouched(&org, &refs);
    clone.run(&["reset", "-q", "--hard", "origin/main"]);
    clone.write("noise", gdo_tests::program::noise(1 << 19));
    clone.commit_all("Write less noise");
    let _ = clone.propose(&[]).accepted();
    org.check();
}

#[test]
fn a_commit_that_does_not_build_on_the_ledger_is_refused() {
    let org = Org::new("blank");
    let refs = org.refs();
    let clone = org.clone("alice");
    clone.run(&["checkout", "-q", "--orphan", "other"]);
    clone.commit(&[("a.md", "a\n")]);
    let seen = clone.propose(&[]).refused();
    seen.shows("does not build on this ledger; rebase onto main")
        .shows("git rebase origin/main");
    assert_untouched(&org, &refs);
}

#[test]
fn a_push_while_the_node_is_down_names_the_command_that_starts_it() {
    let mut org = Org::new("blank");
    let clone = org.clone("alice");
    clone.commit(&[("a.md", "a\n")]);
    org.stop();
    let refs = org.refs();
    let path = org.ledger().to_string_lossy().into_owned();
    let seen = Seen::of(&mut clone.git(&["push", &path, "HEAD:refs/for/main"])).refused();
    seen.shows("gdo node ").shows(&org.dir().to_string_lossy());
    assert_untouched(&org, &refs);
    org.start();
    let _ = Seen::of(&mut clone.git(&["push", &path, "HEAD:refs/for/main"])).accepted();
    org.check();
}
