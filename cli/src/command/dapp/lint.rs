//! `gdo dapp lint`: checks a dapp before it is proposed.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use gdo_core::dapp::Manifest;
use gdo_core::policy::BLOB_BYTES_DEFAULT;
use gdo_runtime::ImageCache;

use crate::error::CommandError;
use crate::lfs;
use crate::lint::files::{DirFiles, Files as _};
use crate::lint::{self, Finding, Severity};
use crate::output;

/// Which dapp.
#[derive(Args, Debug)]
pub struct Lint {
    /// The directory of the dapp
    #[arg(value_name = "DAPP_DIR", default_value = ".")]
    dapp: PathBuf,
}

impl Lint {
    pub(super) fn run(self, json: bool) -> Result<ExitCode, CommandError> {
        let findings = self.findings()?;
        if json {
            output::json(&findings)?;
        } else {
            findings.iter().try_for_each(Finding::print)?;
        }
        if lint::is_sound(&findings) {
            eprintln!("gdo: the dapp is sound");
            Ok(ExitCode::SUCCESS)
        } else {
            Err(CommandError::no("the dapp is not sound"))
        }
    }

    fn findings(&self) -> Result<Vec<Finding>, CommandError> {
        let files = DirFiles {
            root: self.dapp.clone(),
        };
        let Some(text) = files.read("dapp.toml")? else {
            return Err(
                CommandError::usage(format!("{} has no dapp.toml", self.dapp.display()))
                    .hint("make a dapp with 'gdo dapp new NAME'"),
            );
        };
        let manifest = match Manifest::parse("dapp.toml", &text) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(vec![error.into()]),
        };
        let mut findings = Vec::new();
        let image = manifest.validator.image.as_str();
        findings.extend(lint::image(&files, &manifest, image)?);
        let layout = self.dapp.join(image);
        if layout.join("index.json").is_file() {
            findings.extend(self.image(&layout)?);
        }
        if manifest
            .validator
            .reads
            .iter()
            .any(|glob| glob.as_str() == "**")
        {
            let message = "reads: '**' sees every change, so no verdict is ever used again; name what it needs";
            findings.push(Finding::new(Severity::Warning, "dapp.toml", message));
        }
        for needed in ["pass", "fail"] {
            if !self.has_case(&files, needed)? {
                let message = format!(
                    "no case expects '{needed}': a validator that never says it is not tested"
                );
                findings.push(Finding::new(Severity::Warning, "cases", message));
            }
        }
        if files.read("README.md")?.is_none() {
            let message = "missing: others need the format of the data that the dapp keeps";
            findings.push(Finding::new(Severity::Warning, "README.md", message));
        }
        Ok(findings)
    }

    /// Unpacks the image as a node would, and looks for files that a ledger refuses.
    fn image(&self, layout: &std::path::Path) -> Result<Vec<Finding>, CommandError> {
        let name = layout
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut findings = Vec::new();
        let cache = tempfile::tempdir()?;
        let layers = lfs::around(Some(&self.dapp));
        if let Err(error) = ImageCache::new(cache.path()).prepare_from(layout, &*layers) {
            findings.push(Finding::new(
                Severity::Error,
                name.clone(),
                error.to_string(),
            ));
        }
        let blobs = layout.join("blobs/sha256");
        for blob in std::fs::read_dir(&blobs).into_iter().flatten().flatten() {
            let bytes = blob.metadata()?.len();
            if bytes > BLOB_BYTES_DEFAULT {
                let file = format!("{name}/blobs/sha256/{}", blob.file_name().to_string_lossy());
                let message = format!(
                    "{bytes} bytes: a ledger takes {BLOB_BYTES_DEFAULT} unless limits.blob_bytes_max says more; 'gdo image import --dapp' and 'gdo image migrate' make layers pointers"
                );
                findings.push(Finding::new(Severity::Warning, file, message));
            }
        }
        Ok(findings)
    }

    fn has_case(&self, files: &DirFiles, result: &str) -> Result<bool, CommandError> {
        for case in files.list("cases")? {
            let text = files
                .read(&format!("cases/{case}/expect"))?
                .unwrap_or_default();
            if text
                .lines()
                .next()
                .is_some_and(|line| line.trim() == result)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
