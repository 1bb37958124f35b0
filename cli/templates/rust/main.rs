//! The whole dapp: two directories in, an exit code out.
//!
//! `/gdo/base` and `/gdo/candidate` hold what dapp.toml's `reads` names, before and after the
//! change; `/gdo/context.json` says who changed what. Exit 0 passes, 1 refuses; whatever was not
//! decided ends with 70, a panic (which would be 101) included.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const CANDIDATE: &str = "/gdo/candidate";

fn main() -> ExitCode {
    match problems(Path::new(CANDIDATE)) {
        Ok(found) if found.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("internal error: {error}");
            ExitCode::from(70)
        }
    }
}

/// An example of a rule: every file starts with a title.
fn problems(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files(root)? {
        let text = fs::read(&file)?;
        let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if !first.strip_prefix(b"# ").is_some_and(|title| !title.trim_ascii().is_empty()) {
            let path = file.strip_prefix(root).unwrap_or(&file).display();
            println!("{path}:1: expected a title such as '# Opening hours'");
            found.push(format!(
                r#"{{"path":"{path}","line":1,"rule":"title","message":"expected a title such as '# Opening hours'"}}"#
            ));
        }
    }
    fs::write("/gdo/out/report.json", format!(r#"{{"problems":[{}]}}"#, found.join(",")))?;
    Ok(found)
}

/// All plain files below a directory; a link in a candidate points wherever its author likes.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
