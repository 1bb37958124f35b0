//! What the pusher sees: lines on standard error, which git shows behind `remote: `.
//!
//! **Invariants**: no control character of others reaches a terminal; a pusher who has gone away is
//! not an error, because the daemon goes on with the work.

use std::io::Write;

/// Writes to the pusher.
#[derive(Debug)]
pub(crate) struct Screen<W> {
    output: W,
    /// Whether the last line may be overwritten.
    pending: bool,
}

impl<W: Write> Screen<W> {
    /// Shows lines on `output`.
    pub(crate) fn new(output: W) -> Self {
        Self {
            output,
            pending: false,
        }
    }

    /// Shows text that stays.
    pub(crate) fn line(&mut self, text: &str) {
        self.pending = false;
        if text.is_empty() {
            self.emit("\n");
        }
        for line in text.lines() {
            self.emit(&format!("{}\n", printable(line)));
        }
    }

    /// Shows one line that the next text overwrites.
    pub(crate) fn transient(&mut self, text: &str) {
        self.pending = true;
        self.emit(&format!("{}\r", printable(text)));
    }

    /// Leaves the last line on the screen.
    pub(crate) fn finish(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.emit("\n");
        }
    }

    fn emit(&mut self, text: &str) {
        // A client that was killed must not stop the hook between two of its answers.
        let _ = self.output.write_all(text.as_bytes());
        let _ = self.output.flush();
    }
}

/// The text without what could move a cursor, colour a terminal or break a line.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() || is_direction_mark(c) => '?',
            c => c,
        })
        .collect()
}

/// Marks that make a line read otherwise than it is written.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_pass() {
        assert_eq!(printable("a\x1b[31mb\u{9b}c\td"), "a?[31mb?c d");
        assert_eq!(printable("a\rb\nc\0\u{202e}é"), "a?b?c??é");
    }

    #[test]
    fn transient_lines_are_overwritten_and_the_last_one_stays() {
        let mut bytes = Vec::new();
        let mut screen = Screen::new(&mut bytes);
        screen.transient("10 %");
        screen.transient("90 %");
        screen.line("done\nreally");
        screen.transient("more");
        screen.finish();
        screen.finish();
        assert_eq!(bytes, b"10 %\r90 %\rdone\nreally\nmore\r\n");
    }
}
