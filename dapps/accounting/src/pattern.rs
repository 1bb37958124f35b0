//! Patterns over account names: `*` is any one segment, `**` at the end any number of them.

/// A pattern such as `Liabilities:Member:*` or `Income:**`; `{member}` stands for the poster's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let segments: Vec<String> = text.split(':').map(str::to_owned).collect();
        let inner = segments.iter().rev().skip(1);
        let star = |s: &String| s.contains('*') && s != "*" && s != "**";
        if segments.iter().any(|s| s.is_empty() || star(s)) || inner.clone().any(|s| s == "**") {
            return Err(format!(
                "expected account segments, '*' for any one and '**' at the end for any number, got '{text}'"
            ));
        }
        Ok(Self(segments))
    }

    /// Whether `account` matches, with `{member}` standing for `member`.
    #[must_use]
    pub fn matches(&self, account: &str, member: &str) -> bool {
        let mut segments = account.split(':');
        for pattern in &self.0 {
            if pattern == "**" {
                return true;
            }
            let Some(segment) = segments.next() else {
                return false;
            };
            let same = match pattern.as_str() {
                "*" => true,
                "{member}" => segment == member,
                literal => literal == segment,
            };
            if !same {
                return false;
            }
        }
        segments.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_segment() {
        let cases = [
            ("**", "Assets:Cash", true),
            ("Assets:**", "Assets:Cash:Till", true),
            ("Assets:**", "Assets", true),
            ("Assets:*", "Assets:Cash:Till", false),
            (
                "Liabilities:Member:{member}",
                "Liabilities:Member:alice",
                true,
            ),
            (
                "Liabilities:Member:{member}",
                "Liabilities:Member:bob",
                false,
            ),
            (
                "Liabilities:Member:*:float:{member}",
                "Liabilities:Member:bob:float:alice",
                true,
            ),
            ("Income:Bar", "Income:Bar:Beer", false),
        ];
        for (pattern, account, expected) in cases {
            let parsed = Pattern::parse(pattern).expect(pattern);
            assert_eq!(
                parsed.matches(account, "alice"),
                expected,
                "{pattern} on {account}"
            );
        }
        for bad in ["", "a::b", "a*", "**:a", "a:**:b", "***"] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
