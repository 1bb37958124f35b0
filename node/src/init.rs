//! `gdo init`: a new organisation, from nothing to a node that can be started.
//!
//! The founder's own tools sign the genesis commit (P-1): `ssh-keygen -Y sign`, so that agents,
//! passphrases and hardware keys work and no private key of a person is ever read here.
//!
//! **Invariants**: a directory is a node only once everything in it is written and synced; a failed
//! init leaves nothing behind.

mod layers;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gdo_core::checkpoint::{
    CHECKPOINT_FILE, CheckpointKind, CheckpointRecord, LEDGER_FILE, genesis_commit,
    validators_digest,
};
use gdo_core::commit::Commit;
use gdo_core::dapp::{DAPPS_DIR, Manifest};
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::guard;
use gdo_core::id::{DappName, Height, LedgerTime, MemberName, ObjectId, Weight};
use gdo_core::key::{ArmoredSignature, NAMESPACE_GIT, NodeKey, PublicKey};
use gdo_core::ledger::LedgerFile;
use gdo_core::policy::{POLICY_FILE, PROTOCOL_VERSION, Policy};
use gdo_core::roster::{Kind, Member, MemberKey, Roster, Status, file_of};
use gdo_ledger::{Ledger, ObjectFormat, RefEdit};
use serde::Serialize;

use crate::clock::wall_seconds;
use crate::dir::{NodeDir, write_durably};
use crate::error::NodeError;
use crate::refs::Refs;

/// The dapps that ship with gdo and a template may use.
const SHIPPED: [&str; 2] = ["policy", "accounting"];

/// What a new organisation starts with.
#[derive(Clone, Debug)]
pub struct InitRequest {
    /// The new node directory.
    pub target: PathBuf,
    /// The founder.
    pub member: MemberName,
    /// The founder's public key file.
    pub key: PathBuf,
    /// This node.
    pub node: MemberName,
    /// The ledger's name; `None` is the directory's.
    pub name: Option<String>,
    /// The template: a folder below `templates/`.
    pub template: String,
    /// Where git and the read API listen.
    pub listen: Vec<SocketAddr>,
    /// `sha256` or `sha1`.
    pub object_format: String,
    /// The folder with `dapps/` and `templates/`.
    pub share: PathBuf,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Initialised {
    /// The ledger's id.
    pub ledger: String,
    /// Its name.
    pub name: String,
    /// The node directory.
    pub dir: String,
}

/// Makes a ledger and its first node.
///
/// # Errors
/// What is wrong with the request, named; nothing is left behind then.
pub fn init(request: &InitRequest) -> Result<Initialised, NodeError> {
    let founder = read_public_key(&request.key)?;
    if request.member == request.node {
        return Err(NodeError::Refused(format!(
            "--member and --node are both '{}'; a person and a node are two members",
            request.member
        )));
    }
    let format = match request.object_format.as_str() {
        "sha256" => ObjectFormat::Sha256,
        "sha1" => ObjectFormat::Sha1,
        other => {
            return Err(NodeError::Refused(format!(
                "--object-format: expected sha256 or sha1, got '{other}'"
            )));
        }
    };
    let dir = NodeDir::at(&request.target)?;
    let name = ledger_name(request, &dir)?;
    let node_key = NodeKey::from_seed(random()?);
    let mut files = genesis_files(request, &name, &founder, &node_key.public())?;
    let layers = layers::take(&mut files);
    let existed = dir.root().exists();
    let dir = NodeDir::create(&request.target)?;
    let made = layers::store(&dir, &layers)
        .and_then(|()| fill(&dir, request, format, &files, &founder, &node_key));
    if made.is_err() {
        // The first error is the one that counts.
        let _ = if existed {
            clear(dir.root())
        } else {
            std::fs::remove_dir_all(dir.root())
        };
    }
    Ok(Initialised {
        ledger: made?.to_string(),
        name,
        dir: dir.root().display().to_string(),
    })
}

fn clear(root: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn random<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        NodeError::Refused(format!("the system gives no random bytes: {error}"))
    })?;
    Ok(bytes)
}

fn read_public_key(file: &Path) -> Result<PublicKey, NodeError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| NodeError::io("read", file, source))?;
    text.parse()
        .map_err(|error: gdo_core::error::FormatError| NodeError::File {
            file: file.to_owned(),
            message: format!("{error}; make a key with 'ssh-keygen -t ed25519'"),
        })
}

fn ledger_name(request: &InitRequest, dir: &NodeDir) -> Result<String, NodeError> {
    let from_dir = || {
        dir.root()
            .file_name()
            .map(|name| name.to_string_lossy().to_lowercase())
    };
    let name = request.name.clone().or_else(from_dir).unwrap_or_default();
    name.parse::<MemberName>()
        .map(|name| name.to_string())
        .map_err(|_| {
            NodeError::Refused(format!(
                "the ledger's name must be [a-z0-9][a-z0-9-]*, got '{name}'; give one with --name"
            ))
        })
}

/// Files of a tree: mode and content by path.
type Files = BTreeMap<String, (Mode, Vec<u8>)>;

/// Every file of the genesis tree but the checkpoint record, checked by the guard rails.
fn genesis_files(
    request: &InitRequest,
    name: &str,
    founder: &PublicKey,
    node: &PublicKey,
) -> Result<Files, NodeError> {
    let mut files = template_files(request)?;
    let policy_text = text_of(&files, POLICY_FILE)?;
    let policy = Policy::parse(&policy_text)?;
    let mut dapps = BTreeMap::new();
    for dapp in SHIPPED {
        let dapp: DappName = dapp.parse()?;
        if policy.rules().iter().any(|rule| rule.dapps.contains(&dapp)) {
            dapps.insert(dapp.clone(), add_dapp(&mut files, &request.share, &dapp)?);
        }
    }
    let member = |kind, key: &PublicKey, comment: &str, roles: &[&str]| Member {
        kind,
        keys: vec![MemberKey {
            key: key.clone(),
            comment: comment.to_owned(),
        }],
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        status: Status::Active,
        weight: Weight(1),
        retired: Vec::new(),
        admit: Vec::new(),
    };
    let members = BTreeMap::from([
        (
            request.member.clone(),
            member(Kind::Person, founder, request.member.as_str(), &["board"]),
        ),
        (
            request.node.clone(),
            member(Kind::Node, node, request.node.as_str(), &["hub"]),
        ),
    ]);
    for (who, member) in &members {
        files.insert(file_of(who), (Mode::File, member.to_toml().into_bytes()));
    }
    let roster = Roster::new(members)?;
    if let Some(fault) = guard::check(&policy, &roster, &dapps).into_iter().next() {
        return Err(fault.into());
    }
    let nonce = hex::encode(random::<16>()?);
    let ledger = LedgerFile {
        version: PROTOCOL_VERSION,
        name: name.to_owned(),
        nonce,
    };
    files.insert(
        LEDGER_FILE.to_owned(),
        (Mode::File, ledger.to_toml().into_bytes()),
    );
    let record = CheckpointRecord {
        kind: CheckpointKind::Genesis,
        height: Height(0),
        prev: None,
        included: Vec::new(),
        aside: Vec::new(),
        withdrawn: Vec::new(),
        open: Vec::new(),
        verdicts: Vec::new(),
        approvals: Vec::new(),
        evidence: Vec::new(),
        certificate: None,
        validators: validators_digest(&policy.finality),
        ledger_time: LedgerTime(wall_seconds()), // its founder's claim
        claims: BTreeMap::new(),
    };
    files.insert(
        CHECKPOINT_FILE.to_owned(),
        (Mode::File, record.to_json().into_bytes()),
    );
    Ok(files)
}

fn text_of(files: &Files, path: &str) -> Result<String, NodeError> {
    let found = files
        .get(path)
        .and_then(|(_, content)| String::from_utf8(content.clone()).ok());
    found.ok_or_else(|| NodeError::Refused(format!("the template has no {path}")))
}

/// The files of the template, with the names filled in.
fn template_files(request: &InitRequest) -> Result<Files, NodeError> {
    let templates = request.share.join("templates");
    let plain = request.template.parse::<MemberName>().is_ok();
    let root = templates.join(&request.template);
    if !plain || !root.is_dir() {
        let names = std::fs::read_dir(&templates)
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<_> = names
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        return Err(NodeError::Refused(format!(
            "there is no template '{}', expected one of: {}",
            request.template,
            names.join(", ")
        )));
    }
    let mut files = read_files(&root, "")?;
    for (_, content) in files.values_mut() {
        if let Ok(text) = std::str::from_utf8(content) {
            *content = text
                .replace("{{member}}", request.member.as_str())
                .replace("{{node}}", request.node.as_str())
                .into_bytes();
        }
    }
    Ok(files)
}

fn add_dapp(files: &mut Files, share: &Path, dapp: &DappName) -> Result<Manifest, NodeError> {
    let folder = share.join("dapps").join(dapp.as_str());
    if !folder.join("dapp.toml").is_file() {
        return Err(NodeError::Refused(format!(
            "the dapp '{dapp}' is not in {}; build it with dapps/build.sh",
            folder.display()
        )));
    }
    files.append(&mut read_files(&folder, &format!("{DAPPS_DIR}/{dapp}"))?);
    let file = Manifest::file_of(dapp);
    Ok(Manifest::parse(&file, &text_of(files, &file)?)?)
}

/// Reads the regular files below `root` as paths below `prefix`.
fn read_files(root: &Path, prefix: &str) -> Result<Files, NodeError> {
    let mut files = Files::new();
    let entries = std::fs::read_dir(root).map_err(|source| NodeError::io("read", root, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| NodeError::io("read", root, source))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let inner = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        if path.is_dir() {
            files.append(&mut read_files(&path, &inner)?);
        } else {
            let content =
                std::fs::read(&path).map_err(|source| NodeError::io("read", &path, source))?;
            files.insert(inner, (Mode::File, content));
        }
    }
    Ok(files)
}

fn fill(
    dir: &NodeDir,
    request: &InitRequest,
    format: ObjectFormat,
    files: &Files,
    founder: &PublicKey,
    node_key: &NodeKey,
) -> Result<ObjectId, NodeError> {
    let key_text = node_key.to_openssh(request.node.as_str());
    write_durably(&dir.key_file(), key_text.as_bytes(), 0o600)?;
    let ledger = Ledger::create(&dir.ledger(), format)?;
    let mut delta = Vec::new();
    for (path, (mode, content)) in files {
        let entry = Entry {
            mode: *mode,
            id: ledger.write_blob(content)?,
        };
        delta.push(Operation {
            path: path.parse()?,
            old: None,
            new: Some(entry),
        });
    }
    delta.sort();
    let tree = ledger.apply(&ledger.empty_tree(), &delta)?;
    let record = CheckpointRecord::parse(&text_of(files, CHECKPOINT_FILE)?)?;
    let unsigned = genesis_commit(&record, tree, &request.member);
    let genesis = sign_as_founder(unsigned, founder, &request.key)?;
    let id = ledger.write_commit(&genesis.encode())?;
    let refs = Refs::new("main");
    ledger.transaction(&[
        RefEdit::set(refs.main(), None, id),
        RefEdit::set(refs.head(), None, id),
    ])?;
    let listen: Vec<String> = request
        .listen
        .iter()
        .map(|address| format!("\"{address}\""))
        .collect();
    let config = format!(
        "# This machine's matters; the organisation's rules live in the ledger.\n\
         name = \"{}\"\nhttp.listen = [{}]\n",
        request.node,
        listen.join(", ")
    );
    write_durably(&dir.config_file(), config.as_bytes(), 0o644)?;
    dir.seal()?;
    Ok(id)
}

/// Has the founder's own ssh-keygen sign the genesis commit.
fn sign_as_founder(
    mut commit: Commit,
    founder: &PublicKey,
    key: &Path,
) -> Result<Commit, NodeError> {
    let armor = ssh_sign(&commit.payload(), key)?;
    let signature = ArmoredSignature::parse(&armor)
        .and_then(|signature| {
            signature
                .verify(NAMESPACE_GIT, &commit.payload())
                .map(|()| signature)
        })
        .map_err(|error| {
            NodeError::Refused(format!("ssh-keygen's signature is of no use: {error}"))
        })?;
    if signature.key() != founder {
        return Err(NodeError::Refused(format!(
            "ssh-keygen signed with another key than {}",
            key.display()
        )));
    }
    commit.signature = Some(armor);
    Ok(commit)
}

/// Signs as a person does: `ssh-keygen -Y sign`, with the agent or the private key beside `key`.
///
/// # Errors
/// ssh-keygen is missing or failed; what it said went to standard error.
pub fn ssh_sign(payload: &[u8], key: &Path) -> Result<String, NodeError> {
    let missing = |source| NodeError::io("run ssh-keygen for", key, source);
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-q", "-n", NAMESPACE_GIT, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    let mut input = child.stdin.take().expect("standard input is piped");
    let sent = input.write_all(payload);
    drop(input);
    let output = child.wait_with_output().map_err(missing)?;
    if !output.status.success() {
        return Err(NodeError::Refused(format!(
            "ssh-keygen could not sign with {}; is its private half beside it, or in the agent?",
            key.display()
        )));
    }
    sent.map_err(missing)?;
    String::from_utf8(output.stdout)
        .map_err(|_| NodeError::Refused("ssh-keygen wrote no text".to_owned()))
}
