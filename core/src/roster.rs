//! The roster: who the members are, by which keys they sign and in which roles (P-2, P-3).
//!
//! **Invariants**: a key belongs to one member at most; nodes and services hold no FIDO keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{FileError, read_toml};
use crate::id::{MemberName, ObjectId, Weight};
use crate::key::PublicKey;

/// The folder of the roster in the ledger's tree, without a trailing slash.
pub const ROSTER_DIR: &str = ".gdo/roster";

/// The most keys of one member (P-2).
pub const KEYS_MAX: usize = 8;

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A human, who signs with git and ssh-keygen.
    Person,
    /// A machine that writes blocks.
    Node,
    /// A program with a key of its own.
    Service,
}

/// Whether a member takes part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Takes part.
    Active,
    /// Barred for now, for example after equivocation.
    Suspended,
    /// Left for good; the file and the name stay.
    Removed,
}

/// A member: the content of `.gdo/roster/<member>.toml`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// What the member is.
    pub kind: Kind,
    /// The keys in force, 1 to 8, with their comments.
    pub keys: Vec<MemberKey>,
    /// The roles that policy rules name.
    pub roles: Vec<String>,
    /// Whether the member takes part.
    pub status: Status,
    /// What the member counts in `weight` approvals.
    pub weight: Weight,
    /// Rotated keys: valid only in blocks whose `Gdo-Final` predates the rotation.
    pub retired: Vec<MemberKey>,
    /// Late blocks of an inactive member or key, released with their chains.
    pub admit: Vec<ObjectId>,
}

/// A key and the comment that its line carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberKey {
    /// The key.
    pub key: PublicKey,
    /// What the member calls it, for people alone.
    pub comment: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    kind: Kind,
    keys: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    status: Status,
    #[serde(default = "one")]
    weight: Weight,
    #[serde(default)]
    retired: Vec<String>,
    #[serde(default)]
    admit: Vec<ObjectId>,
}

fn one() -> Weight {
    Weight(1)
}

impl Member {
    /// Reads a roster file; `file` is its path, for errors.
    ///
    /// # Errors
    /// The file, the line and the key that is wrong, with what was expected.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        let raw: RawMember = read_toml(file, text)?;
        let keys = read_keys(file, "keys", &raw.keys)?;
        let retired = read_keys(file, "retired", &raw.retired)?;
        if keys.is_empty() || keys.len() > KEYS_MAX {
            let message = format!("keys: expected 1 to {KEYS_MAX} keys, got {}", keys.len());
            return Err(FileError::new(file, message));
        }
        let token = keys
            .iter()
            .chain(&retired)
            .find(|entry| entry.key.is_security_key());
        if raw.kind != Kind::Person && token.is_some() {
            let message = "keys: expected ssh-ed25519 for a node or service, got a security key";
            return Err(FileError::new(file, message));
        }
        for role in &raw.roles {
            if !is_word(role) {
                let message = format!("roles: expected words of [a-z0-9-], got '{role}'");
                return Err(FileError::new(file, message));
            }
        }
        Ok(Self {
            kind: raw.kind,
            keys,
            roles: raw.roles,
            status: raw.status,
            weight: raw.weight,
            retired,
            admit: raw.admit,
        })
    }

    /// The member as the text of its roster file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct Written {
            kind: Kind,
            keys: Vec<String>,
            roles: Vec<String>,
            status: Status,
            weight: Weight,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            retired: Vec<String>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            admit: Vec<ObjectId>,
        }
        let lines = |keys: &[MemberKey]| keys.iter().map(MemberKey::line).collect();
        let written = Written {
            kind: self.kind,
            keys: lines(&self.keys),
            roles: self.roles.clone(),
            status: self.status,
            weight: self.weight,
            retired: lines(&self.retired),
            admit: self.admit.clone(),
        };
        toml::to_string(&written).expect("a member has a TOML form")
    }

    /// Whether the member takes part.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }
}

impl MemberKey {
    fn line(&self) -> String {
        format!("{} {}", self.key, self.comment)
            .trim_end()
            .to_owned()
    }
}

/// Whether `text` is a word that policies can name: a role.
pub(crate) fn is_word(text: &str) -> bool {
    text.parse::<MemberName>().is_ok()
}

fn read_keys(file: &str, field: &str, lines: &[String]) -> Result<Vec<MemberKey>, FileError> {
    let read = |line: &String| {
        let key = line
            .parse()
            .map_err(|error| FileError::new(file, format!("{field}: {error}")))?;
        let comment = line
            .split_whitespace()
            .skip(2)
            .collect::<Vec<_>>()
            .join(" ");
        Ok(MemberKey { key, comment })
    };
    lines.iter().map(read).collect()
}

/// All members by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roster {
    members: BTreeMap<MemberName, Member>,
    owners: BTreeMap<PublicKey, MemberName>,
}

impl Roster {
    /// Gathers parsed members into a roster.
    ///
    /// # Errors
    /// A key that two members hold, in force or retired (P-2: a key never changes member).
    pub fn new(members: BTreeMap<MemberName, Member>) -> Result<Self, FileError> {
        let mut owners = BTreeMap::new();
        for (name, member) in &members {
            for entry in member.keys.iter().chain(&member.retired) {
                if let Some(other) = owners.insert(entry.key.clone(), name.clone()) {
                    let message = format!(
                        "keys: {} is also a key of {other}; a key belongs to one member, once",
                        entry.key.fingerprint()
                    );
                    return Err(FileError::new(file_of(name), message));
                }
            }
        }
        Ok(Self { members, owners })
    }

    /// Reads the roster from its files: pairs of (path in the tree, text).
    ///
    /// # Errors
    /// The first file that is wrong.
    pub fn parse<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, FileError> {
        let mut members = BTreeMap::new();
        for (file, text) in files {
            let name = member_of(file)?;
            members.insert(name, Member::parse(file, text)?);
        }
        Self::new(members)
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &MemberName) -> Option<&Member> {
        self.members.get(name)
    }

    /// The member that holds `key`, in force or retired.
    #[must_use]
    pub fn owner_of(&self, key: &PublicKey) -> Option<(&MemberName, &Member)> {
        let name = self.owners.get(key)?;
        Some((name, self.members.get(name)?))
    }

    /// The active member that holds `key` in force.
    #[must_use]
    pub fn active_owner_of(&self, key: &PublicKey) -> Option<(&MemberName, &Member)> {
        self.owner_of(key).filter(|(_, member)| {
            member.is_active() && member.keys.iter().any(|entry| entry.key == *key)
        })
    }

    /// All members in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&MemberName, &Member)> {
        self.members.iter()
    }

    /// The number of members, whatever their status.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The `allowed_signers` file for stock git and ssh-keygen (P-4): every key of every member,
    /// so that old commits still verify; who may act now is the ledger's question, not this file's.
    #[must_use]
    pub fn allowed_signers(&self) -> String {
        let mut text = String::new();
        for (name, member) in &self.members {
            for entry in member.keys.iter().chain(&member.retired) {
                text.push_str(&format!(
                    "{name} namespaces=\"git,gdo-verdict@v1,gdo-run@v1\" {}\n",
                    entry.key
                ));
            }
        }
        text
    }
}

/// The path of a member's roster file.
#[must_use]
pub fn file_of(name: &MemberName) -> String {
    format!("{ROSTER_DIR}/{name}.toml")
}

/// The member that a roster file is about.
///
/// # Errors
/// A path that is not `.gdo/roster/<member>.toml`.
pub fn member_of(file: &str) -> Result<MemberName, FileError> {
    let stem = file
        .strip_prefix(ROSTER_DIR)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|name| name.strip_suffix(".toml"))
        .ok_or_else(|| FileError::new(file, "expected .gdo/roster/<member>.toml"))?;
    stem.parse().map_err(|error| FileError::new(file, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::NodeKey;

    fn line(seed: u8) -> String {
        NodeKey::from_seed([seed; 32]).public().to_string()
    }

    fn person(seed: u8) -> String {
        format!(
            "kind = \"person\"\nkeys = [\"{} laptop\"]\nroles = [\"board\"]\nstatus = \"active\"\n",
            line(seed)
        )
    }

    #[test]
    fn a_roster_file_round_trips() {
        let member = Member::parse(".gdo/roster/alice.toml", &person(1)).expect("valid");
        assert_eq!(member.keys[0].comment, "laptop");
        let again = Member::parse("x", &member.to_toml()).expect("own text");
        assert_eq!(again, member);
    }

    #[test]
    fn an_unknown_key_is_named_with_file_and_line() {
        let text = format!("{}colour = \"red\"\n", person(1));
        let error = Member::parse(".gdo/roster/alice.toml", &text).expect_err("unknown key");
        let shown = error.to_string();
        assert!(shown.starts_with(".gdo/roster/alice.toml:5:"), "{shown}");
        assert!(
            shown.contains("colour") && shown.contains("expected"),
            "{shown}"
        );
    }

    #[test]
    fn a_key_belongs_to_one_member() {
        let files = [
            (".gdo/roster/alice.toml", person(1)),
            (".gdo/roster/bob.toml", person(1)),
        ];
        let error = Roster::parse(files.iter().map(|(f, t)| (*f, t.as_str()))).expect_err("shared");
        assert!(error.to_string().contains("alice"), "{error}");
    }

    #[test]
    fn only_keys_in_force_of_active_members_act() {
        let text = person(1).replace("active", "suspended");
        let roster = Roster::parse([(".gdo/roster/a.toml", text.as_str())]).expect("valid");
        let key = NodeKey::from_seed([1; 32]).public();
        assert!(roster.owner_of(&key).is_some());
        assert!(roster.active_owner_of(&key).is_none());
        assert!(roster.allowed_signers().contains("a namespaces="));
    }
}
