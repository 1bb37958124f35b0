//! `gdo policy`: checks the rules before they are proposed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use gdo_core::policy::POLICY_FILE;

use crate::error::CommandError;
use crate::lint::files::{DirFiles, TreeFiles};
use crate::lint::{self, Finding};
use crate::output;
use crate::place::Place;
use crate::revision;
use crate::source::{Reading, Source};

/// The commands on rules.
#[derive(Subcommand, Debug)]
pub enum Policy {
    /// Check policy, roster and dapps for what a node would refuse, and for what is hardly meant
    Lint(Lint),
}

/// Which rules.
#[derive(Args, Debug)]
pub struct Lint {
    /// A directory, a policy file or a revision [default: the work tree of the clone, else main]
    #[arg(value_name = "FILE|REV")]
    what: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

impl Policy {
    /// Runs the command.
    ///
    /// # Errors
    /// The rules cannot be found or read.
    pub fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        match self {
            Self::Lint(lint) => lint.run(dir, json),
        }
    }
}

impl Lint {
    fn run(self, dir: Option<&Path>, json: bool) -> Result<ExitCode, CommandError> {
        let findings = self.findings(dir)?;
        if json {
            output::json(&findings)?;
        } else {
            findings.iter().try_for_each(Finding::print)?;
        }
        if lint::is_sound(&findings) {
            eprintln!("gdo: the rules are sound");
            Ok(ExitCode::SUCCESS)
        } else {
            Err(CommandError::no("the rules are not sound"))
        }
    }

    fn findings(&self, dir: Option<&Path>) -> Result<Vec<Finding>, CommandError> {
        if let Some(what) = &self.what {
            let path = PathBuf::from(what);
            if path.is_dir() {
                return lint::rules(&DirFiles { root: path });
            }
            if path.is_file() {
                return self.file(dir, &path);
            }
            let source = Source::open(dir, self.reading)?;
            let tree = revision::tree(&source, what)?;
            return lint::rules(&TreeFiles {
                ledger: &source.ledger,
                tree,
                instead: None,
            });
        }
        let source = Source::open(dir, self.reading)?;
        if let Place::Clone(clone) = &source.place
            && let Some(root) = clone
                .work_tree()?
                .filter(|root| root.join(POLICY_FILE).is_file())
        {
            return lint::rules(&DirFiles { root });
        }
        lint::rules(&TreeFiles {
            ledger: &source.ledger,
            tree: source.tree,
            instead: None,
        })
    }

    /// A file in a tree of its own is checked with what stands around it, any other with the roster
    /// and dapps of main, or alone.
    fn file(&self, dir: Option<&Path>, path: &Path) -> Result<Vec<Finding>, CommandError> {
        let path = std::path::absolute(path)?;
        if path.ends_with(POLICY_FILE)
            && let Some(root) = path.ancestors().nth(2)
        {
            return lint::rules(&DirFiles {
                root: root.to_owned(),
            });
        }
        let text = std::fs::read_to_string(&path).map_err(|error| {
            CommandError::usage(format!("cannot read {}: {error}", path.display()))
        })?;
        match Source::open(dir, self.reading) {
            Ok(source) => {
                let instead = Some((POLICY_FILE, text));
                lint::rules(&TreeFiles {
                    ledger: &source.ledger,
                    tree: source.tree,
                    instead,
                })
            }
            Err(_) => {
                eprintln!(
                    "gdo: no ledger is here, so only the form of {} is checked",
                    path.display()
                );
                Ok(lint::policy(&text))
            }
        }
    }
}
