//! The options of a push: given with `git push -o`, or behind `%` in the reference.
//!
//! The second form is for clients that cannot send push options:
//! `git push origin HEAD:refs/for/main%dry-run,wait=5s`.
//!
//! **Invariants**: an option that is unknown, malformed or given twice with different values is
//! refused by name; nothing is silently ignored.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::target::PushTarget;
use crate::error::FormatError;

/// How long a push waits for its checkpoint if it does not say.
const WAIT_DEFAULT_S: u64 = 30;
const WAIT_S_MAX: u64 = 3600;
/// The longest a push may wait for its checkpoint.
pub const WAIT_MAX: Duration = Duration::from_secs(WAIT_S_MAX);
/// The longest name of a topic.
const TOPIC_BYTES_MAX: usize = 64;
const KNOWN: &str = "wait=<seconds>s, wait=none, topic=<name> or dry-run";

/// What a pusher asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// How long the push waits for its checkpoint before it detaches.
    pub wait: Wait,
    /// The topic that the proposal belongs to.
    pub topic: Option<Topic>,
    /// Run everything, merge nothing.
    pub dry_run: bool,
}

/// How long a push waits for its checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Detach as soon as the proposal is safe.
    None,
    /// Wait at most this long; 30 seconds unless told otherwise.
    AtMost(Duration),
}

impl Default for Wait {
    fn default() -> Self {
        Self::AtMost(Duration::from_secs(WAIT_DEFAULT_S))
    }
}

/// The name of a topic: `[A-Za-z0-9._-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(String);

impl Topic {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Topic {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
        if !text.is_empty() && text.len() <= TOPIC_BYTES_MAX && text.bytes().all(inner) {
            Ok(Self(text.to_owned()))
        } else {
            Err(FormatError::new("topic", "[A-Za-z0-9._-]{1,64}", text))
        }
    }
}

impl PushOptions {
    /// Reads the branch and the options out of a reference under `refs/for/` and the push options.
    ///
    /// # Errors
    /// A reference that is no push target, and any option that is unknown, malformed or
    /// contradicts another one.
    pub fn parse(reference: &str, options: &[String]) -> Result<(String, Self), FormatError> {
        let PushTarget::Proposal { branch, suffix } = PushTarget::of(reference) else {
            return Err(FormatError::new(
                "push target",
                "refs/for/<branch>",
                reference,
            ));
        };
        check_branch(branch)?;
        let mut draft = Draft::default();
        let inline = suffix.into_iter().flat_map(|text| text.split(','));
        for option in inline.chain(options.iter().map(String::as_str)) {
            draft.take(option)?;
        }
        Ok((branch.to_owned(), draft.finish()))
    }
}

/// Branches are one segment: `refs/gdo/<branch>/head` of one must not be a reference of another.
fn check_branch(branch: &str) -> Result<(), FormatError> {
    if branch.is_empty() || branch.contains('/') {
        Err(FormatError::new(
            "branch",
            "one name without '/', as in refs/for/main",
            branch,
        ))
    } else {
        Ok(())
    }
}

/// Options as far as they were given.
#[derive(Default)]
struct Draft {
    wait: Option<Wait>,
    topic: Option<Topic>,
    dry_run: bool,
}

impl Draft {
    fn take(&mut self, option: &str) -> Result<(), FormatError> {
        match option.split_once('=') {
            Some(("wait", value)) => set_once("wait", &mut self.wait, parse_wait(value)?, value),
            Some(("topic", value)) => set_once("topic", &mut self.topic, value.parse()?, value),
            None if option == "dry-run" => {
                self.dry_run = true;
                Ok(())
            }
            _ => Err(FormatError::new("push option", KNOWN, option)),
        }
    }

    fn finish(self) -> PushOptions {
        PushOptions {
            wait: self.wait.unwrap_or_default(),
            topic: self.topic,
            dry_run: self.dry_run,
        }
    }
}

fn set_once<T: PartialEq>(
    name: &str,
    slot: &mut Option<T>,
    value: T,
    text: &str,
) -> Result<(), FormatError> {
    if slot.as_ref().is_some_and(|earlier| *earlier != value) {
        let what = format!("push option {name}");
        return Err(FormatError::new(what, "one value, not two", text));
    }
    *slot = Some(value);
    Ok(())
}

fn parse_wait(text: &str) -> Result<Wait, FormatError> {
    if text == "none" {
        return Ok(Wait::None);
    }
    text.strip_suffix('s')
        .filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|seconds| (1..=WAIT_S_MAX).contains(seconds))
        .map(|seconds| Wait::AtMost(Duration::from_secs(seconds)))
        .ok_or_else(|| FormatError::new("push option wait", "1s to 3600s, or none", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(reference: &str, options: &[&str]) -> Result<(String, PushOptions), String> {
        let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
        PushOptions::parse(reference, &options).map_err(|error| error.to_string())
    }

    fn seconds(n: u64) -> Wait {
        Wait::AtMost(Duration::from_secs(n))
    }

    #[test]
    fn both_spellings_mean_the_same() {
        let expected = PushOptions {
            wait: seconds(5),
            topic: Some(Topic("t1".to_owned())),
            dry_run: true,
        };
        let expected = Ok(("main".to_owned(), expected));
        let options = ["dry-run", "wait=5s", "topic=t1"];
        assert_eq!(parse("refs/for/main", &options), expected);
        let inline = "refs/for/main%dry-run,wait=5s,topic=t1";
        assert_eq!(parse(inline, &[]), expected);
        assert_eq!(parse(inline, &options), expected);
    }

    #[test]
    fn a_push_without_options_waits_thirty_seconds() {
        let (branch, options) = parse("refs/for/main", &[]).expect("the plain form is good");
        assert_eq!(branch, "main");
        assert_eq!(options.wait, seconds(30));
        assert!(!options.dry_run && options.topic.is_none());
    }

    #[test]
    fn wait_reads_seconds_and_none() {
        let wait = |text: &str| parse("refs/for/main", &[text]).map(|(_, o)| o.wait);
        assert_eq!(wait("wait=none"), Ok(Wait::None));
        assert_eq!(wait("wait=1s"), Ok(seconds(1)));
        assert_eq!(wait("wait=3600s"), Ok(seconds(3600)));
        for bad in [
            "wait=",
            "wait=0s",
            "wait=3601s",
            "wait=5",
            "wait=-1s",
            "wait=+5s",
            "wait=s",
            "wait=1.5s",
            "wait=None",
            "wait=99999999999999999999s",
        ] {
            let error = wait(bad).expect_err(bad);
            assert!(error.contains("expected 1s to 3600s, or none"), "{error}");
        }
    }

    #[test]
    fn wrong_options_are_named_with_what_is_known() {
        for bad in [
            "",
            "ci.skip",
            "dry-run=yes",
            "wait",
            "topic",
            "Topic=a",
            " dry-run",
        ] {
            let error = parse("refs/for/main", &[bad]).expect_err(bad);
            assert!(error.contains(KNOWN), "{error}");
            assert!(error.contains(&format!("got '{bad}'")), "{error}");
        }
        for bad in ["topic=", "topic=a b", "topic=é", "topic=a/b"] {
            assert!(parse("refs/for/main", &[bad]).is_err(), "{bad}");
        }
        assert!(
            parse("refs/for/main%", &[]).is_err(),
            "an empty list of options"
        );
        assert!(parse("refs/for/main%dry-run,", &[]).is_err());
    }

    #[test]
    fn contradicting_values_are_refused() {
        let error = parse("refs/for/main%wait=5s", &["wait=6s"]).expect_err("two values");
        assert!(error.contains("one value, not two"), "{error}");
        assert!(parse("refs/for/main", &["topic=a", "topic=b"]).is_err());
    }

    #[test]
    fn other_references_are_no_push_targets() {
        for bad in [
            "refs/heads/main",
            "refs/for",
            "refs/for/",
            "refs/for/a/b",
            "main",
            "refs/for/%dry-run",
        ] {
            assert!(parse(bad, &[]).is_err(), "{bad}");
        }
    }
}
