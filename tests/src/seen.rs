//! What a command printed and how it ended, as the person at the terminal sees it.

use std::process::{Command, Output};

/// What came of a command.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whether it succeeded.
    pub ok: bool,
    /// Standard output and standard error, without `remote: `'s padding and overwriting.
    pub text: String,
}

impl Seen {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// The program is not installed.
    #[must_use]
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap_or_else(|error| {
            let program = command.get_program().to_string_lossy();
            panic!("{program} must be installed: {error}")
        });
        output.into()
    }

    /// Requires success.
    ///
    /// # Panics
    /// It failed.
    #[track_caller]
    #[must_use = "or say what it must show"]
    pub fn accepted(self) -> Self {
        assert!(self.ok, "expected success, got:\n{}", self.text);
        self
    }

    /// Requires failure.
    ///
    /// # Panics
    /// It succeeded.
    #[track_caller]
    #[must_use = "a refusal must say why"]
    pub fn refused(self) -> Self {
        assert!(!self.ok, "expected a refusal, got:\n{}", self.text);
        self
    }

    /// Requires a text in what was printed.
    ///
    /// # Panics
    /// It is not there.
    #[track_caller]
    pub fn shows(&self, text: &str) -> &Self {
        assert!(
            self.text.contains(text),
            "expected '{text}' in:\n{}",
            self.text
        );
        self
    }

    /// The JSON that was printed on a line of its own.
    ///
    /// # Panics
    /// There is none.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let line = self.text.lines().find(|line| line.starts_with('{'));
        let line = line.unwrap_or_else(|| panic!("expected JSON in:\n{}", self.text));
        serde_json::from_str(line).expect("a line that begins as JSON is JSON")
    }

    /// Requires that a text was not printed.
    ///
    /// # Panics
    /// It is there.
    #[track_caller]
    pub fn hides(&self, text: &str) -> &Self {
        assert!(
            !self.text.contains(text),
            "expected no '{text}' in:\n{}",
            self.text
        );
        self
    }
}

impl From<Output> for Seen {
    fn from(output: Output) -> Self {
        let both = [output.stdout, output.stderr].concat();
        let lines = String::from_utf8_lossy(&both).replace('\r', "\n");
        let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
        Self {
            ok: output.status.success(),
            text: lines.join("\n"),
        }
    }
}
