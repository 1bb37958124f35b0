//! Notes and audits on a ledger that a daemon has written.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::World;

/// A running node with alice's and bob's clones; stopped when dropped.
struct Running {
    world: World,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.world.gdo("", &["node", "stop", "node"]);
    }
}

impl Running {
    fn start() -> Self {
        let world = World::new();
        world.ledger();
        world.gdo("", &["node", "start", "node"]).ends(0);
        let running = Self { world };
        running.clone("alice", "alice");
        running
    }

    /// A clone of a member who signs with the key of that name.
    fn clone(&self, dir: &str, member: &str) {
        let world = &self.world;
        world.run("", "git", &["clone", "-q", "node/ledger.git", dir]);
        let key = world.path(&format!("keys/{member}.pub"));
        let key = key.to_str().expect("temporary paths are UTF-8");
        for (name, value) in [
            ("user.name", member),
            ("user.email", "someone@example.org"),
            ("gpg.format", "ssh"),
            ("user.signingkey", key),
            ("commit.gpgsign", "true"),
        ] {
            world.run(dir, "git", &["config", name, value]);
        }
    }

    /// Commits everything in a clone and proposes it; gives the proposal.
    fn propose(&self, dir: &str, subject: &str, option: &str) -> String {
        let world = &self.world;
        world.run(dir, "git", &["add", "-A"]);
        world.run(dir, "git", &["commit", "-q", "-m", subject]);
        world.run(
            dir,
            "git",
            &["push", "-q", "-o", option, "origin", "HEAD:refs/for/main"],
        );
        world
            .run(dir, "git", &["rev-parse", "HEAD"])
            .out
            .trim()
            .to_owned()
    }

    fn pull(&self, dir: &str) {
        self.world.run(dir, "git", &["pull", "-q", "--ff-only"]);
    }
}

#[test]
fn what_a_daemon_merged_verifies_in_a_clone_and_a_forged_checkpoint_does_not() {
    let running = Running::start();
    let world = &running.world;
    world.write("alice/notes/a.md", "# A note\n");
    let proposal = running.propose("alice", "Write a note", "wait=60s");
    world.write("alice/.gdo/roster/alice.toml", &with_role(world));
    running.pull("alice");
    running.propose("alice", "Take a role", "wait=60s");
    running.pull("alice");
    let said = world
        .gdo("alice", &["verify", "--rerun", "--degraded"])
        .ends(0);
    said.tells("3 checkpoints with 2 votes")
        .tells("1 validators ran again");
    world
        .gdo("alice", &["show", &proposal[..10]])
        .ends(0)
        .tells("merged by checkpoint 1");
    let said = world
        .gdo("alice", &["show", "main", "--export", "proof"])
        .ends(0);
    said.talks("ssh-keygen -Y verify")
        .tells("policy       pass");
    world
        .run("alice", "sh", &["proof/verify.sh"])
        .tells("Good \"gdo-verdict@v1\" signature for hub");

    // A file that no block brought, under the very message and parents of main.
    world.run(
        "",
        "git",
        &["clone", "-q", "--mirror", "node/ledger.git", "forged"],
    );
    world.write("gold", "gold\n");
    let blob = world
        .run("forged", "git", &["hash-object", "-w", "../gold"])
        .out;
    let listed = world.run("forged", "git", &["ls-tree", "main"]).out;
    let listed = format!("{listed}100644 blob {}\tgold\n", blob.trim());
    let tree = feed(world, &["mktree"], &listed);
    let commit = world
        .run("forged", "git", &["cat-file", "commit", "main"])
        .out;
    let (_, rest) = commit
        .split_once('\n')
        .expect("a commit starts with its tree");
    let text = format!("tree {tree}\n{rest}");
    let forged = feed(
        world,
        &["hash-object", "-t", "commit", "-w", "--stdin"],
        &text,
    );
    world.run("forged", "git", &["update-ref", "refs/heads/main", &forged]);
    let said = world.gdo("forged", &["verify", "--no-fetch"]).ends(1);
    said.talks("gold: not what its included blocks make");
}

/// Gives git a text; gives what it says.
fn feed(world: &World, args: &[&str], text: &str) -> String {
    let mut child = world
        .program("git", &world.path("forged"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git starts");
    let mut input = child.stdin.take().expect("standard input is piped");
    input.write_all(text.as_bytes()).expect("git reads it");
    drop(input);
    let output = child.wait_with_output().expect("git ends");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn with_role(world: &World) -> String {
    let file = world.path("alice/.gdo/roster/alice.toml");
    let text = std::fs::read_to_string(file).expect("the roster is in the clone");
    assert!(text.contains("\"board\""), "{text}");
    text.replace("\"board\"", "\"board\", \"treasurer\"")
}

#[test]
fn a_proposal_that_needs_another_member_is_merged_when_that_member_approves() {
    let running = Running::start();
    let world = &running.world;
    world.key("bob");
    let key = std::fs::read_to_string(world.path("keys/bob.pub")).expect("the key is there");
    let bob = format!(
        "kind = \"person\"\nkeys = [\"{}\"]\nroles = [\"board\"]\nstatus = \"active\"\n",
        key.trim()
    );
    world.write("alice/.gdo/roster/bob.toml", &bob);
    running.propose("alice", "Welcome bob", "wait=60s");
    running.pull("alice");
    let file = world.path("alice/.gdo/policy.toml");
    let policy = std::fs::read_to_string(&file).expect("the policy is in the clone");
    let stricter = policy.replace("self_approval = true", "self_approval = false");
    world.write("alice/.gdo/policy.toml", &stricter);
    running.propose("alice", "Four eyes", "wait=60s");
    running.pull("alice");
    world.write("alice/.gdo/roster/alice.toml", &with_role(world));
    let proposal = running.propose("alice", "Take a role", "wait=none");
    world
        .gdo("alice", &["proposals"])
        .ends(0)
        .tells("Take a role")
        .tells("needs");

    // A clone without keys is told how to sign, and nobody withdraws for somebody else.
    world.run("", "git", &["clone", "-q", "node/ledger.git", "bob-clone"]);
    let said = world.gdo("bob-clone", &["approve", &proposal[..8]]).ends(2);
    said.talks("git config --global gpg.format ssh")
        .talks("user.signingkey");
    running.clone("bobs", "bob");
    world
        .gdo("bobs", &["withdraw", &proposal])
        .ends(1)
        .talks("only alice can withdraw");
    let before = world.run("bobs", "git", &["rev-parse", "HEAD"]).out;
    world
        .gdo("bobs", &["approve", &proposal[..8], "-m", "she can count"])
        .ends(0);
    assert_eq!(
        world.run("bobs", "git", &["rev-parse", "HEAD"]).out,
        before,
        "no branch moves"
    );
    world
        .gdo("bobs", &["show", &proposal])
        .ends(0)
        .tells("merged by checkpoint 3");
    world
        .gdo("bobs", &["approve", &proposal])
        .ends(1)
        .talks("is merged by checkpoint 3");
    world.gdo("bobs", &["verify"]).ends(0).tells("approvals");
}
