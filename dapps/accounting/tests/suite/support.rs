//! Books to judge: the template's files, transactions, and the blocks that bring them.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gdo_core::context::{Context, ContextBlock, ContextMember};
use gdo_core::delta::{Entry, Mode, Operation};
use gdo_core::id::{ObjectId, Weight};
use gdo_core::policy::Lane;
use gdo_core::roster::{Kind, Status};
use gdo_dapp_accounting::validate::validate;
use gdo_dapp_sdk::contract::empty_context;
use gdo_dapp_sdk::report::Report;
use gdo_dapp_sdk::testing::{self, Files};
use gdo_dapp_sdk::ulid::Ulid;

/// Accounts that the tests use besides the template's.
const ACCOUNTS: [&str; 5] = [
    "Liabilities:Member:bob",
    "Liabilities:Member:carol",
    "Liabilities:Member:alice:float:vending-b",
    "Equity:Conversion",
    "Assets:Petty cash",
];

/// A tree under construction.
#[derive(Clone)]
pub(crate) struct Books {
    pub(crate) files: Files,
}

/// One transaction file.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Books {
    /// The `books` template with a second commodity and the tests' accounts.
    pub(crate) fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/books");
        let mut files = Files::new();
        read_files(&root, &root.join("acct"), &mut files);
        let mut books = Self { files };
        for account in ACCOUNTS {
            books.append("acct/def/accounts.journal", &format!("account {account}\n"));
        }
        books.append(
            "acct/def/commodities.journal",
            "commodity BTC\n    format 1,000.00000000 BTC\n",
        );
        books
    }

    /// Books where alice has 50.00 USD.
    pub(crate) fn with_alice_at_50() -> Self {
        let mut books = Self::new();
        books.post(&opening("alice", "50.00"));
        books
    }

    pub(crate) fn append(&mut self, path: &str, text: &str) {
        self.files
            .entry(path.to_owned())
            .or_default()
            .extend_from_slice(text.as_bytes());
    }

    /// Adds a transaction, and its month to the main journal.
    pub(crate) fn post(&mut self, posted: &Posted) {
        self.files
            .insert(posted.path.clone(), posted.text.clone().into_bytes());
        let directory = posted.path.strip_prefix("acct/").expect("below acct");
        let (directory, _) = directory.rsplit_once('/').expect("in a month");
        let line = format!("include {directory}/*.journal");
        let main = &self.files["acct/main.journal"];
        if !String::from_utf8_lossy(main)
            .lines()
            .any(|found| found == line)
        {
            self.append("acct/main.journal", &format!("{line}\n"));
        }
    }

    pub(crate) fn with(&self, posted: impl IntoIterator<Item: Borrow<Posted>>) -> Self {
        let mut books = self.clone();
        posted
            .into_iter()
            .for_each(|posted| books.post(posted.borrow()));
        books
    }

    /// Judges `candidate` with this as its base, every new file brought by the board.
    pub(crate) fn judge(&self, candidate: &Self) -> Report {
        let fresh = candidate
            .files
            .keys()
            .filter(|path| !self.files.contains_key(*path));
        let paths: Vec<&str> = fresh.map(String::as_str).collect();
        self.judge_blocks(candidate, &[("treasurer", Lane::Final, &paths)])
    }

    /// Judges `candidate` with these blocks (principal, lane, paths) since this base.
    pub(crate) fn judge_blocks(
        &self,
        candidate: &Self,
        blocks: &[(&str, Lane, &[&str])],
    ) -> Report {
        testing::judge_in_order(&self.files, &candidate.files, context(blocks), validate)
            .expect("decided")
    }
}

fn read_files(root: &Path, dir: &Path, files: &mut Files) {
    for entry in fs::read_dir(dir).expect("the template is in the checkout") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            read_files(root, &path, files);
        } else {
            let name = path
                .strip_prefix(root)
                .expect("below the root")
                .to_str()
                .expect("UTF-8");
            let text = fs::read_to_string(&path)
                .expect("text")
                .replace("{{member}}", "alice");
            files.insert(name.to_owned(), text.into_bytes());
        }
    }
}

/// A transaction of `acct/txn/`, numbered by `n`.
pub(crate) fn posted(n: u64, date: &str, lines: &[&str]) -> Posted {
    posted_in("txn", n, date, lines)
}

/// A transaction of the directory `acct/<place>/`.
pub(crate) fn posted_in(place: &str, n: u64, date: &str, lines: &[&str]) -> Posted {
    let id = Ulid::from_parts(1_790_000_000_000 + n, u128::from(n));
    let month = date[..7].replace('-', "/");
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    Posted {
        // Paths of lane append are in lower case (P-15).
        path: match place {
            "txn" => format!("acct/txn/{month}/{id}.journal"),
            log => format!("acct/{log}/{month}/{id}.journal").to_lowercase(),
        },
        text: format!("{date} Entry {n}\n    ; id: {id}\n{lines}"),
    }
}

/// `member` brings cash.
pub(crate) fn opening(member: &str, amount: &str) -> Posted {
    let n = member.bytes().map(u64::from).sum();
    let cash = format!("Assets:Cash  {amount} USD");
    let owed = format!("Liabilities:Member:{member}  -{amount} USD");
    posted(n, "2026-11-01", &[&cash, &owed])
}

/// `member` spends at the bar.
pub(crate) fn spend(n: u64, member: &str, amount: &str) -> Posted {
    let sold = format!("Income:Sales  -{amount} USD");
    let paid = format!("Liabilities:Member:{member}  {amount} USD");
    posted(n, "2026-11-21", &[&sold, &paid])
}

/// A context of blocks (principal, lane, paths). `treasurer` is on the board, `vending-b` is a node.
pub(crate) fn context(blocks: &[(&str, Lane, &[&str])]) -> Context {
    let id = ObjectId::from_bytes(&[7; 32]).expect("32 bytes");
    let mut roster = BTreeMap::new();
    for (principal, _, _) in blocks {
        let kind = if principal.starts_with("vending") {
            Kind::Node
        } else {
            Kind::Person
        };
        let roles = if *principal == "treasurer" {
            vec!["board".to_owned()]
        } else {
            vec![]
        };
        let member = ContextMember {
            kind,
            roles,
            status: Status::Active,
            weight: Weight(1),
        };
        roster.insert(principal.parse().expect("a name"), member);
    }
    let blocks = blocks.iter().map(|(principal, lane, paths)| ContextBlock {
        member: "hub".parse().expect("a name"),
        principal: principal.parse().expect("a name"),
        lane: *lane,
        proposal: None,
        operations: paths
            .iter()
            .map(|path| Operation {
                path: path.parse().expect("a path"),
                old: None,
                new: Some(Entry {
                    mode: Mode::File,
                    id,
                }),
            })
            .collect(),
    });
    Context {
        blocks: blocks.collect(),
        roster,
        ..empty_context()
    }
}

/// Writes a tree where a stock tool can open it.
pub(crate) fn write_files(root: &Path, files: &Files) -> PathBuf {
    for (path, bytes) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }
    root.join("acct/main.journal")
}

/// The only problem of a report, as (path, line, rule, message).
pub(crate) fn only(report: &Report) -> (&str, u32, &str, &str) {
    assert_eq!(report.count(), 1, "expected one problem, got:\n{report}");
    let problem = &report.problems()[0];
    (
        &problem.path,
        problem.line.unwrap_or(0),
        &problem.rule,
        &problem.message,
    )
}
