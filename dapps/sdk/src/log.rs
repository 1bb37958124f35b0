//! Shape W: a writer's log, in segments of hash-chained JSON lines.
//!
//! `<dir><writer>/<yyyy>/<mm>/<dd>/<seq>.jsonl`: each line is an event `{seq, prev, v, wall, boot, mono_ns,
//! base, …}` where `prev` is the SHA-256 of the line before it (without its line end), or 64 zeros
//! for the first. A segment is named by the seq of its first line in twelve digits. Segments are
//! written once, so a log that was rewound or forked contradicts bytes that others hold.
//!
//! **Invariants**: of each writer the seqs are 0, 1, 2, … without a gap; mono_ns never goes back within
//! a boot; a segment of the base stays. Only the last hash and seq of a writer are kept in memory.

use gdo_core::id::{Digest, MemberName};
use serde::Deserialize;

use crate::contract::Input;
use crate::error::Undecided;
use crate::header::Header;
use crate::immutable;
use crate::report::Report;

/// Rule id: the path is not `<writer>/<yyyy>/<mm>/<dd>/<seq>.jsonl`.
pub const NAME: &str = "log-name";
/// Rule id: a line is no event.
pub const FORM: &str = "log-form";
/// Rule id: a seq is missing or stands there twice.
pub const GAP: &str = "log-gap";
/// Rule id: `prev` is not the hash of the line before.
pub const CHAIN: &str = "log-chain";
/// Rule id: time goes backwards within one boot.
pub const TIME: &str = "log-time";

/// What the logs of one kind look like.
#[derive(Debug, Clone)]
pub struct LogShape<'a> {
    /// The directory that holds one directory per writer, with its slash: `door/front/log/`.
    pub dir: &'a str,
    /// The versions of the form that the reader knows.
    pub versions: &'a [u32],
    /// The largest segment.
    pub bytes_max: u64,
}

/// One event of a log. The rest of its fields is the dapp's.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Who wrote it: the directory's name, which the lane holds to be the principal.
    pub writer: MemberName,
    /// Its place in the writer's log.
    pub seq: u64,
    /// The common fields.
    pub header: Header,
    /// All fields, the common ones included.
    pub fields: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct RawEvent {
    seq: u64,
    prev: Digest,
    #[serde(flatten)]
    header: Header,
}

/// Where a writer's chain stands.
struct Chain {
    writer: MemberName,
    next: u64,
    prev: Digest,
    boot: String,
    mono_ns: u64,
}

impl LogShape<'_> {
    /// Checks all segments of the candidate against the base, and hands every good event to `fold` in the
    /// order (writer, seq), which is a function of the set of segments alone.
    ///
    /// # Errors
    /// Undecided when a file cannot be compared.
    pub fn check(
        &self,
        input: &Input,
        report: &mut Report,
        mut fold: impl FnMut(&Event),
    ) -> Result<(), Undecided> {
        immutable::check(
            &input.base,
            &input.candidate,
            |path| path.starts_with(self.dir),
            report,
        )?;
        // Dates need not follow seqs (a clock without battery), so each writer's segments are
        // put in the order of their first seq.
        let mut segments = Vec::new();
        for (path, _) in input.candidate.under(self.dir) {
            match self.read_name(path) {
                Some((writer, seq)) => segments.push((writer, seq, path)),
                None => report.file(path, NAME, "expected <writer>/<yyyy>/<mm>/<dd>/<seq>.jsonl"),
            }
        }
        segments.sort();
        let mut chain: Option<Chain> = None;
        for (writer, seq, path) in segments {
            let mut current = match chain.take() {
                Some(current) if current.writer == writer => current,
                _ => Chain::new(writer),
            };
            if seq == current.next {
                self.check_segment(input, path, &mut current, report, &mut fold);
            } else {
                report.file(
                    path,
                    GAP,
                    format!("expected seq {}, got {seq}", current.next),
                );
            }
            chain = Some(current);
        }
        Ok(())
    }

    fn read_name(&self, path: &str) -> Option<(MemberName, u64)> {
        let parts: Vec<&str> = path.strip_prefix(self.dir)?.split('/').collect();
        let [writer, year, month, day, name] = parts[..] else {
            return None;
        };
        let digits =
            |text: &str, n: usize| text.len() == n && text.bytes().all(|c| c.is_ascii_digit());
        let seq = name.strip_suffix(".jsonl")?;
        if !(digits(year, 4) && digits(month, 2) && digits(day, 2) && digits(seq, 12)) {
            return None;
        }
        Some((writer.parse().ok()?, seq.parse().ok()?))
    }

    fn check_segment(
        &self,
        input: &Input,
        path: &str,
        chain: &mut Chain,
        report: &mut Report,
        fold: &mut impl FnMut(&Event),
    ) {
        let text = match input.candidate.read_text(path, self.bytes_max) {
            Ok(text) => text,
            Err(error) => return report.file(path, FORM, error),
        };
        if !text.ends_with('\n') {
            return report.file(path, FORM, "expected a line end after every event");
        }
        for (index, line) in text.lines().enumerate() {
            match self.read_event(line, chain) {
                Ok(event) => {
                    chain.advance(line, &event);
                    fold(&event);
                }
                // Nothing after a broken line can be judged.
                Err((rule, message)) => return report.line(path, index + 1, rule, message),
            }
        }
    }

    fn read_event(&self, line: &str, chain: &Chain) -> Result<Event, (&'static str, String)> {
        let form = |error: &dyn std::fmt::Display| (FORM, error.to_string());
        let fields: serde_json::Map<_, _> =
            serde_json::from_str(line).map_err(|error| form(&error))?;
        let raw: RawEvent = serde_json::from_str(line).map_err(|error| form(&error))?;
        raw.header
            .check(self.versions)
            .map_err(|error| form(&error))?;
        if raw.seq != chain.next {
            return Err((GAP, format!("expected seq {}, got {}", chain.next, raw.seq)));
        }
        if raw.prev != chain.prev {
            return Err((
                CHAIN,
                format!("prev: expected {}, got {}", chain.prev, raw.prev),
            ));
        }
        if raw.header.boot == chain.boot && raw.header.mono_ns < chain.mono_ns {
            let message = format!(
                "mono_ns: expected at least {} within boot {}, got {}",
                chain.mono_ns, chain.boot, raw.header.mono_ns
            );
            return Err((TIME, message));
        }
        Ok(Event {
            writer: chain.writer.clone(),
            seq: raw.seq,
            header: raw.header,
            fields,
        })
    }
}

impl Chain {
    fn new(writer: MemberName) -> Self {
        let prev = Digest::from_bytes([0; 32]);
        Self {
            writer,
            next: 0,
            prev,
            boot: String::new(),
            mono_ns: 0,
        }
    }

    fn advance(&mut self, line: &str, event: &Event) {
        self.next += 1;
        self.prev = Digest::of(line.as_bytes());
        self.boot.clone_from(&event.header.boot);
        self.mono_ns = event.header.mono_ns;
    }
}
