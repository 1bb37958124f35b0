//! Ledgers in temporary directories, their members, and clones of them made by stock git.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gdo_core::checkpoint::{CheckpointKind, CheckpointRecord, genesis_commit, validators_digest};
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::id::{Height, LedgerId, LedgerTime, MemberName, ObjectId};
use gdo_core::key::NodeKey;
use gdo_ledger::{Checkpoint, ConfigInput, Ledger, LedgerCommit, ObjectFormat, RefEdit, git};
use tempfile::TempDir;

/// The time of genesis.
pub(crate) const TIME: i64 = 1_700_000_000;

/// Alice and Bob are persons, the hub is the node; Carol is suspended; Mallory is nobody.
pub(crate) fn key(member: &str) -> NodeKey {
    let seed = match member {
        "alice" => 1,
        "bob" => 2,
        "hub" => 3,
        "carol" => 4,
        "mallory" => 5,
        other => panic!("no such person: {other}"),
    };
    NodeKey::from_seed([seed; 32])
}

/// A ledger with its genesis on main.
pub(crate) struct TestLedger {
    pub(crate) dir: TempDir,
    pub(crate) ledger: Ledger,
    pub(crate) id: LedgerId,
    pub(crate) genesis: ObjectId,
}

pub(crate) const POLICY: &str = r#"version = 1
[finality]
validators = [{ member = "hub", weight = 1 }]
[limits]
blob_bytes_max = 4096
[[rule]]
path = ""
lane = "cas"
writers = ["any"]
unvalidated = true
[[rule]]
path = ".gdo/"
lane = "final"
writers = ["kind:person"]
unvalidated = true
[[rule]]
path = "log/{member}/"
lane = "append"
writers = ["any"]
unvalidated = true
"#;

pub(crate) fn put(ledger: &Ledger, path: &str, content: &str) -> Operation {
    let id = ledger.write_blob(content.as_bytes()).expect("write a blob");
    Operation {
        path: path.parse().expect("a path"),
        old: None,
        new: Some(Entry {
            mode: Mode::File,
            id,
        }),
    }
}

pub(crate) fn record(height: u64, prev: Option<ObjectId>) -> CheckpointRecord {
    let policy = gdo_core::policy::Policy::parse(POLICY).expect("a policy");
    CheckpointRecord {
        kind: if height == 0 {
            CheckpointKind::Genesis
        } else {
            CheckpointKind::Normal
        },
        height: Height(height),
        prev,
        included: vec![],
        aside: vec![],
        withdrawn: vec![],
        open: vec![],
        verdicts: vec![],
        approvals: vec![],
        evidence: vec![],
        certificate: None,
        validators: validators_digest(&policy.finality),
        ledger_time: LedgerTime(TIME + i64::try_from(height).expect("small")),
        claims: std::collections::BTreeMap::new(),
    }
}

fn member_file(name: &str, kind: &str, status: &str) -> String {
    let line = key(name).public();
    format!("kind = \"{kind}\"\nkeys = [\"{line}\"]\nroles = []\nstatus = \"{status}\"\n")
}

impl TestLedger {
    pub(crate) fn new() -> Self {
        Self::with(ObjectFormat::Sha256, POLICY)
    }

    pub(crate) fn with(format: ObjectFormat, policy: &str) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let ledger = Ledger::create(&dir.path().join("ledger.git"), format).expect("git init");
        let config = ConfigInput {
            hooks_path: dir.path().join("hooks"),
            allowed_signers_path: dir.path().join("allowed_signers"),
            max_input_bytes: 64 << 20,
        };
        ledger
            .write_config(&config)
            .expect("write the configuration");
        let nonce = "0123456789abcdef".repeat(2);
        let ledger_file = format!("version = 1\nname = \"test\"\nnonce = \"{nonce}\"\n");
        let record = record(0, None);
        let mut delta = vec![
            put(&ledger, ".gdo/ledger.toml", &ledger_file),
            put(&ledger, ".gdo/policy.toml", policy),
            put(
                &ledger,
                ".gdo/roster/alice.toml",
                &member_file("alice", "person", "active"),
            ),
            put(
                &ledger,
                ".gdo/roster/bob.toml",
                &member_file("bob", "person", "active"),
            ),
            put(
                &ledger,
                ".gdo/roster/carol.toml",
                &member_file("carol", "person", "suspended"),
            ),
            put(
                &ledger,
                ".gdo/roster/hub.toml",
                &member_file("hub", "node", "active"),
            ),
            put(&ledger, "README", "hello\n"),
            put(&ledger, "docs/a.txt", "a\n"),
            put(&ledger, "docs/deep/b.txt", "b\n"),
        ];
        delta.push(ledger.record_operation(&record).expect("write the record"));
        let tree = ledger.apply(&ledger.empty_tree(), &delta).expect("apply");
        let mut commit = genesis_commit(&record, tree, &name("alice"));
        commit.signature = Some(key("alice").sign("git", &commit.payload()));
        let genesis = ledger
            .write_commit(&commit.encode())
            .expect("write genesis");
        ledger
            .transaction(&[RefEdit::set("refs/heads/main", None, genesis)])
            .expect("set main");
        let rules = ledger
            .read_checkpoint(&genesis)
            .expect("genesis reads")
            .rules;
        fs::write(&config.allowed_signers_path, rules.roster.allowed_signers()).expect("export");
        Self {
            dir,
            ledger,
            id: LedgerId(genesis),
            genesis,
        }
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let main = self.main();
        self.ledger.read_checkpoint(&main).expect("main reads")
    }

    pub(crate) fn main(&self) -> ObjectId {
        let main = self.ledger.read_ref("refs/heads/main").expect("read main");
        main.expect("main is there")
    }

    /// A view of a ledger that has genesis alone.
    pub(crate) fn view(&self) -> impl Fn(&ObjectId) -> Option<LedgerCommit> {
        let genesis = self.genesis;
        move |id| (*id == genesis).then_some(LedgerCommit::Checkpoint(Height(0)))
    }

    /// Fails unless stock git finds the repository sound.
    pub(crate) fn fsck(&self) {
        git::run(self.ledger.dir(), &["fsck", "--strict", "--no-progress"]).expect("git fsck");
    }

    /// Fails unless stock git verifies the signature of a commit.
    pub(crate) fn verify_commit(&self, id: &ObjectId) {
        git::run(self.ledger.dir(), &["verify-commit", &id.to_string()])
            .expect("git verify-commit");
    }

    /// A clone made by stock git, in which `member` signs.
    pub(crate) fn clone_for(&self, member: &str) -> Clone {
        let home = self.dir.path().join(format!("home-{member}"));
        fs::create_dir_all(&home).expect("make a home");
        let key_file = home.join("id_ed25519");
        fs::write(&key_file, key(member).to_openssh(member)).expect("write a key");
        restrict(&key_file);
        fs::write(
            home.join("id_ed25519.pub"),
            key(member).public().to_string(),
        )
        .expect("write");
        let dir = home.join("clone");
        let from = self.ledger.dir().display().to_string();
        let to = dir.display().to_string();
        let clone = Clone {
            dir,
            home: home.clone(),
        };
        clone.run_in(&home, &["clone", "--quiet", &from, &to]);
        let public = home.join("id_ed25519.pub").display().to_string();
        for (name, value) in [
            ("user.name", member),
            ("user.email", &format!("{member}@example.invalid")),
            ("gpg.format", "ssh"),
            ("user.signingkey", &public),
            ("commit.gpgsign", "true"),
        ] {
            clone.run(&["config", name, value]);
        }
        clone
    }

    /// Takes the objects of a clone in, as a push would, and gives the tip.
    pub(crate) fn take(&self, clone: &Clone) -> ObjectId {
        let from = clone.dir.display().to_string();
        git::run(
            self.ledger.dir(),
            &["fetch", "--quiet", &from, "+HEAD:refs/test/tip"],
        )
        .expect("git fetch");
        clone.head()
    }
}

pub(crate) fn name(text: &str) -> MemberName {
    text.parse().expect("a name")
}

fn restrict(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("chmod");
}

/// A member's work tree.
pub(crate) struct Clone {
    pub(crate) dir: PathBuf,
    home: PathBuf,
}

impl Clone {
    pub(crate) fn run(&self, args: &[&str]) -> String {
        self.run_in(&self.dir, args)
    }

    fn run_in(&self, dir: &Path, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(args).current_dir(dir);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"GIT_") {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("XDG_CONFIG_HOME");
        let output = command.output().expect("git runs; install git");
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("mkdir");
        fs::write(path, content).expect("write");
    }

    /// Commits everything in the work tree.
    pub(crate) fn commit(&self, message: &str) -> ObjectId {
        self.run(&["add", "--all"]);
        self.run(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.head()
    }

    pub(crate) fn head(&self) -> ObjectId {
        self.run(&["rev-parse", "HEAD"]).parse().expect("an id")
    }
}
