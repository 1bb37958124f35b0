//! How a source file looks: its length, its module doc, imports by name, and where `unsafe` may be.

use crate::arrows::has_word;
use crate::assert_none;
use crate::files::{File, code_of, read_all};

/// The hard stop; 100 to 300 lines is the aim.
const LINES_MAX: usize = 600;

fn faults_in_file(file: &File) -> Vec<String> {
    let path = &file.path;
    let mut faults = Vec::new();
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!(
            "{path}: {lines} lines, expected at most {LINES_MAX}; split it"
        ));
    }
    if !file.text.starts_with("//! ") {
        faults.push(format!(
            "{path}:1: expected a module doc, '//! …', that says what the file is for"
        ));
    }
    if path.ends_with("/mod.rs") {
        faults.push(format!(
            "{path}: expected 'foo.rs' beside 'foo/', not a mod.rs"
        ));
    }
    let code = code_of(&file.text);
    for (number, line) in code.lines().enumerate() {
        let at = format!("{path}:{}", number + 1);
        if has_glob_import(line) {
            faults.push(format!("{at}: a glob import; name what is imported"));
        }
        if line.contains("#[ignore]") {
            faults.push(format!(
                "{at}: #[ignore] without a reason; expected #[ignore = \"why\"]"
            ));
        }
    }
    faults.extend(faults_of_unsafe(path, &code, &file.text));
    faults
}

/// `use x::*`, but for `use super::*` of a test module beside its code.
fn has_glob_import(line: &str) -> bool {
    let line = line.trim();
    line != "use super::*;"
        && ["::*;", "::*,", "::*}", "{*"]
            .iter()
            .any(|glob| line.contains(glob))
}

fn faults_of_unsafe(path: &str, code: &str, text: &str) -> Vec<String> {
    let original: Vec<&str> = text.lines().collect();
    let mut faults = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let at = format!("{path}:{}", number + 1);
        let lifts_lint = line.contains("unsafe_code") && line.contains('[');
        if !has_word(line, "unsafe") && !lifts_lint {
            continue;
        }
        if !path.starts_with("runtime/") {
            faults.push(format!("{at}: unsafe outside of runtime/"));
        } else if !lifts_lint && !is_explained(&original[..number], line) {
            faults.push(format!(
                "{at}: unsafe without a '// SAFETY:' comment above it"
            ));
        }
    }
    faults
}

/// Whether a `// SAFETY:` comment ends right above; attributes may stand between.
fn is_explained(above: &[&str], line: &str) -> bool {
    if line.contains("unsafe extern") || line.contains("unsafe fn") {
        return true;
    }
    let mut lines = above.iter().rev().map(|line| line.trim());
    lines
        .by_ref()
        .take_while(|line| {
            line.starts_with("//") || line.starts_with("#[") || !line.ends_with([';', '}'])
        })
        .any(|line| line.contains("SAFETY:"))
}

#[test]
fn sources_keep_to_the_house_style() {
    let bad = File {
        path: "core/src/x/mod.rs".to_owned(),
        text: format!(
            "use a::*;\n#[ignore]\nfn f() {{ unsafe {{ g() }} }}\n{}",
            "\n".repeat(LINES_MAX)
        ),
    };
    assert_eq!(faults_in_file(&bad).len(), 6);
    let bare = File {
        path: "runtime/src/x.rs".to_owned(),
        text: "//! X.\nfn f() {\n    g();\n    unsafe { h() }\n    // SAFETY: i is sound\n    unsafe { i() }\n}\n".to_owned(),
    };
    assert_eq!(
        faults_in_file(&bare),
        ["runtime/src/x.rs:4: unsafe without a '// SAFETY:' comment above it"]
    );
    let faults: Vec<String> = read_all(&[".rs"]).iter().flat_map(faults_in_file).collect();
    assert_none("sources depart from the house style:", &faults);
}
