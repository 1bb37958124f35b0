//! From the facts of a run to pass, fail or inconclusive (P-26).
//!
//! A pass is the only answer that moves the ledger, so it is the narrow case: everything that
//! casts doubt on the run makes it inconclusive, never a fail, for a fail blames the author.

use std::fmt;

use crate::outcome::Outcome;

/// What a run says about the candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// The validator accepts the candidate.
    Pass,
    /// The validator refuses the candidate.
    Fail,
    /// The run says nothing; it may be tried again.
    Inconclusive(Reason),
}

/// Why a run says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It ran longer than `wall_ms`.
    TimedOut,
    /// It used more processor time than `cpu_ms`.
    CpuExceeded,
    /// One of its processes was killed for memory.
    OutOfMemory,
    /// It wrote more than `output_kib`.
    OutputTruncated,
    /// The caller gave the run up.
    Cancelled,
    /// A signal ended it.
    Signal(i32),
    /// It ended with a code other than 0 and 1.
    Exit(i32),
    /// The run has neither an exit code nor a signal.
    Unknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::TimedOut => out.write_str("it ran longer than limits.wall_ms"),
            Reason::CpuExceeded => out.write_str("it used more processor time than limits.cpu_ms"),
            Reason::OutOfMemory => out.write_str("it needed more memory than limits.memory_mib"),
            Reason::OutputTruncated => out.write_str("it wrote more than limits.output_kib"),
            Reason::Cancelled => out.write_str("the run was given up"),
            Reason::Signal(signal) => write!(out, "it was ended by signal {signal}"),
            Reason::Exit(code) => {
                write!(
                    out,
                    "it ended with exit code {code}, expected 0 (pass) or 1 (fail)"
                )
            }
            Reason::Unknown => out.write_str("it ended in a way that could not be read"),
        }
    }
}

/// Judges a run by P-26; the first doubt is the reason that is given.
#[must_use]
pub fn judge(outcome: &Outcome) -> Judgement {
    let doubts = [
        (outcome.cancelled, Reason::Cancelled),
        (outcome.timed_out, Reason::TimedOut),
        (outcome.cpu_exceeded, Reason::CpuExceeded),
        (outcome.oom, Reason::OutOfMemory),
        (outcome.truncated, Reason::OutputTruncated),
    ];
    if let Some((_, reason)) = doubts.into_iter().find(|(doubt, _)| *doubt) {
        return Judgement::Inconclusive(reason);
    }
    match (outcome.exit, outcome.signal) {
        (Some(0), None) => Judgement::Pass,
        (Some(1), None) => Judgement::Fail,
        (_, Some(signal)) => Judgement::Inconclusive(Reason::Signal(signal)),
        (Some(code), None) => Judgement::Inconclusive(Reason::Exit(code)),
        (None, None) => Judgement::Inconclusive(Reason::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::{Judgement, Reason, judge};
    use crate::outcome::Outcome;

    fn exited(code: i32) -> Outcome {
        Outcome {
            exit: Some(code),
            ..Outcome::default()
        }
    }

    #[test]
    fn only_exit_zero_passes_and_only_exit_one_fails() {
        for code in 0..=255 {
            let expected = match code {
                0 => Judgement::Pass,
                1 => Judgement::Fail,
                other => Judgement::Inconclusive(Reason::Exit(other)),
            };
            assert_eq!(judge(&exited(code)), expected);
        }
    }

    #[test]
    fn every_doubt_outweighs_a_clean_exit() {
        type Doubt = (fn(&mut Outcome), Reason);
        let doubts: [Doubt; 6] = [
            (|o| o.cancelled = true, Reason::Cancelled),
            (|o| o.timed_out = true, Reason::TimedOut),
            (|o| o.cpu_exceeded = true, Reason::CpuExceeded),
            (|o| o.oom = true, Reason::OutOfMemory),
            (|o| o.truncated = true, Reason::OutputTruncated),
            (|o| o.signal = Some(9), Reason::Signal(9)),
        ];
        for (make, reason) in doubts {
            for code in [0, 1] {
                let mut outcome = exited(code);
                make(&mut outcome);
                assert_eq!(judge(&outcome), Judgement::Inconclusive(reason.clone()));
            }
        }
    }

    #[test]
    fn a_run_without_an_end_is_inconclusive() {
        assert_eq!(
            judge(&Outcome::default()),
            Judgement::Inconclusive(Reason::Unknown)
        );
    }
}
