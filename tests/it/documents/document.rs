//! Reading a document: its files and commands, in their order, and what the commands print.

/// What a document does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes a file.
    File {
        /// Where, below the directory of the document.
        path: String,
        /// Its content.
        content: String,
    },
    /// Runs a command.
    Command(Command),
}

/// A command, and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// The line of the document.
    pub line: usize,
    /// What is typed.
    pub text: String,
    /// What is printed, with wildcards.
    pub expected: Vec<String>,
    /// How it ends.
    pub code: i32,
}

/// Reads a document.
///
/// # Errors
/// A block that does not end, or output without a command: its line and what is wrong.
pub fn read(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let mut block = Vec::new();
        loop {
            match lines.next() {
                Some((_, "```")) => break,
                Some(line) => block.push(line),
                None => return Err(format!("{number}: the block does not end")),
            }
        }
        if let Some(path) = info.strip_prefix("file path=") {
            let content = block.iter().map(|(_, line)| format!("{line}\n")).collect();
            steps.push(Step::File {
                path: path.to_owned(),
                content,
            });
        } else if info == "console" {
            steps.extend(commands(&block)?.into_iter().map(Step::Command));
        }
    }
    Ok(steps)
}

fn commands(block: &[(usize, &str)]) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = Vec::new();
    for &(line, text) in block {
        if let Some(typed) = text.strip_prefix("$ ") {
            commands.push(Command {
                line,
                text: typed.to_owned(),
                expected: Vec::new(),
                code: 0,
            });
            continue;
        }
        let command = commands.last_mut();
        let command = command.ok_or_else(|| format!("{line}: output without a command"))?;
        let exit = text
            .strip_prefix("[exit ")
            .and_then(|rest| rest.strip_suffix(']'));
        if let (Some(more), true) = (text.strip_prefix("> "), command.expected.is_empty()) {
            command.text.push('\n');
            command.text.push_str(more);
        } else if let Some(code) = exit {
            command.code = code
                .parse()
                .map_err(|_| format!("{line}: expected a number"))?;
        } else {
            command.expected.push(text.trim_end().to_owned());
        }
    }
    Ok(commands)
}

/// Whether lines are as expected.
pub fn matches(expected: &[&str], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((&"...", rest)) => (0..=lines.len()).any(|skip| matches(rest, &lines[skip..])),
        Some((first, rest)) => {
            let found = lines.split_first();
            found.is_some_and(|(line, more)| is_line(first, line) && matches(rest, more))
        }
    }
}

/// Whether one line is as expected.
fn is_line(expected: &str, line: &str) -> bool {
    match expected.split_once("[..]") {
        None => expected == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| is_line(after, &rest[at..]))
        }),
    }
}

#[test]
fn wildcards_stand_for_what_they_say_and_no_more() {
    assert!(matches(
        &["a [..] c", "...", "z"],
        &["a b c", "x", "y", "z"]
    ));
    assert!(matches(&["...", "z"], &["z"]));
    assert!(matches(&["[..]-[..]"], &["1-2"]));
    assert!(!matches(&["a [..] c"], &["a b d"]));
    assert!(!matches(&["a"], &["a", "b"]));
    assert!(!matches(&["a", "b"], &["a"]));
    assert!(!matches(&[], &["a"]));
}

#[test]
fn a_block_that_does_not_end_and_output_of_nothing_are_faults() {
    assert_eq!(
        read("a\n```console\n$ x\n"),
        Err("2: the block does not end".to_owned())
    );
    assert_eq!(
        read("```console\nx\n```\n"),
        Err("2: output without a command".to_owned())
    );
    let command = Command {
        line: 2,
        text: "x\ny".to_owned(),
        expected: vec!["> 1".to_owned()],
        code: 3,
    };
    let text = "```console\n$ x\n> y\n> 1\n[exit 3]\n```\n";
    assert_ne!(
        read(text),
        Ok(vec![Step::Command(command)]),
        "'> ' continues the command"
    );
}
