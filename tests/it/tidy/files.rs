//! The texts of the checkout: which files there are, and Rust with comments and strings taken out.

use std::path::{Path, PathBuf};

/// A file of the checkout.
pub(crate) struct File {
    /// Its path from the root of the checkout, with `/`.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the crate lies in the checkout")
        .to_owned()
}

/// Every text file whose name ends in one of `endings`, sorted by path.
pub(crate) fn read_all(endings: &[&str]) -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir).expect("a directory of the checkout is readable");
        for entry in entries {
            let entry = entry.expect("a directory of the checkout is readable");
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().expect("the file system tells file types");
            if kind.is_dir() && !is_foreign(&name) {
                open.push(entry.path());
            } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                let full = entry.path();
                let path = full
                    .strip_prefix(&root)
                    .expect("below the root")
                    .to_string_lossy()
                    .into_owned();
                let text = std::fs::read_to_string(&full)
                    .unwrap_or_else(|error| panic!("{path}: expected UTF-8 text: {error}"));
                found.push(File { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Directories that hold nothing of ours: git's, what is built, and hidden ones of tools.
fn is_foreign(name: &str) -> bool {
    let ours = [".ci", ".config", ".cargo"];
    matches!(name, "target" | "share") || (name.starts_with('.') && !ours.contains(&name))
}

/// Rust source with comments, strings and character literals blanked; lines stay where they are.
pub(crate) fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(
                chars[at..end]
                    .iter()
                    .map(|&c| if c == '\n' { c } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn skip(chars: &[char], at: usize) -> usize {
    let next = |ahead: usize| chars.get(at + ahead).copied();
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (chars[at], next(1)) {
        ('/', Some('/')) => find(chars, at, |c| c == '\n'),
        ('/', Some('*')) => end_of_block_comment(chars, at),
        ('"', _) => end_of_string(chars, at),
        ('r', Some('"' | '#')) if !in_word => end_of_raw_string(chars, at),
        ('\'', Some('\\')) => find(chars, at + 3, |c| c == '\'') + 1,
        ('\'', Some(_)) if next(2) == Some('\'') => at + 3,
        _ => at,
    }
    .min(chars.len())
}

fn find(chars: &[char], from: usize, is_end: impl Fn(char) -> bool) -> usize {
    let rest = chars.iter().skip(from);
    from + rest.take_while(|&&c| !is_end(c)).count()
}

fn end_of_block_comment(chars: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// `r"…"` and `r#"…"#`; a raw identifier such as `r#type` is no literal.
fn end_of_raw_string(chars: &[char], from: usize) -> usize {
    let hashes = chars[from + 1..].iter().take_while(|&&c| c == '#').count();
    let quote = from + 1 + hashes;
    if chars.get(quote) != Some(&'"') {
        return from;
    }
    let closes = |at: usize| {
        chars[at] == '"'
            && chars[at + 1..]
                .iter()
                .take(hashes)
                .filter(|&&c| c == '#')
                .count()
                == hashes
    };
    let end = (quote + 1..chars.len()).find(|&at| closes(at));
    end.map_or(chars.len(), |at| at + 1 + hashes)
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "let a = \"unsafe \\\" {\"; // unsafe\n/* unsafe /* nested */ unsafe */ let b = 'u';\nlet c = r#\"unsafe \" unsafe\"#; let d: &'static str = x; let e = '\\n'; r#type";
    let code = code_of(text);
    assert!(!code.contains("unsafe"), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(code.contains("&'static str = x; let e"), "{code}");
    assert!(
        code.contains("r#type") && !code.contains('u'.to_string().repeat(2).as_str()),
        "{code}"
    );
}

#[test]
fn the_checkout_is_found() {
    let sources = read_all(&[".rs"]);
    assert!(sources.iter().any(|file| file.path == "core/src/lib.rs"));
    assert!(sources.iter().all(|file| !file.path.starts_with("target/")));
}
