//! One transaction in the subset of the journal format that `ledger` and `hledger` read alike.
//!
//! ```text
//! 2026-11-21 Coffee beans
//!     ; id: 01KAJ3T6Z8Q4M2W9X5Y7B1C0DE
//!     Income:Bar                  -40.00 USD
//!     Liabilities:Member:alice     40.00 USD
//! ```
//!
//! Everything that one of the tools reads otherwise, or not at all, is refused with its line: assertions
//! (but in closings), virtual postings, prices, codes, second dates, elided amounts, tags behind
//! postings. The parser borrows from the text and knows no definitions.

use gdo_dapp_sdk::ulid::Ulid;

use crate::date::Date;
use crate::fault::{Fault, rule};

/// The most postings of one transaction.
const POSTINGS_MAX: usize = 500;

/// A transaction as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// The day it is booked on.
    pub date: Date,
    /// The line of the date.
    pub line: usize,
    /// The `id:` tag.
    pub id: Ulid,
    /// The `ext:` tag with its line: a reference of somebody else's, used once in the books.
    pub ext: Option<(usize, &'a str)>,
    /// The postings, in order; at least one.
    pub postings: Vec<Posting<'a>>,
}

/// A posting as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting<'a> {
    /// Its line.
    pub line: usize,
    /// The account's name.
    pub account: &'a str,
    /// The amount's digits.
    pub number: &'a str,
    /// The amount's commodity.
    pub commodity: &'a str,
    /// The digits of `= amount`, in closings only, of the same commodity.
    pub assertion: Option<&'a str>,
}

/// Where a text may hold more than a plain transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// A transaction file: one transaction, no assertion.
    Transaction,
    /// The part of a closing behind its includes: every posting asserts.
    Closing,
}

/// Reads the one transaction of `text`, whose first line has the number `first_line`.
///
/// # Errors
/// The first thing that is not of the subset, with its line.
pub fn parse(text: &str, first_line: usize, grammar: Grammar) -> Result<Transaction<'_>, Fault> {
    let mut lines = numbered(text, first_line);
    let (line, head) = loop {
        match lines.next() {
            None => {
                let expected = "expected a transaction, which starts with its date";
                return Err(Fault::new(first_line, rule::SYNTAX, expected));
            }
            Some((_, "")) => {}
            Some((line, text)) if text.starts_with(';') => check_characters(line, text)?,
            Some((line, text)) => break (line, text),
        }
    };
    let date = read_head(line, head)?;
    let mut tags = Tags::default();
    let mut postings = Vec::new();
    let mut ended = false;
    for (line, text) in lines {
        if text.is_empty() {
            ended = true;
            continue;
        }
        check_characters(line, text)?;
        let indented = text.starts_with("    ");
        if ended || !indented {
            let expected = "expected one transaction a file, its lines indented by four spaces";
            return Err(Fault::new(line, rule::SYNTAX, expected));
        }
        let body = text.trim_start_matches(' ');
        if let Some(comment) = body.strip_prefix(';') {
            tags.read(line, comment)?;
        } else if postings.len() == POSTINGS_MAX {
            let expected = format!("expected at most {POSTINGS_MAX} postings");
            return Err(Fault::new(line, rule::SYNTAX, expected));
        } else {
            postings.push(read_posting(line, body, grammar)?);
        }
    }
    if postings.is_empty() {
        return Err(Fault::new(
            line,
            rule::SYNTAX,
            "expected postings below the date",
        ));
    }
    let id = tags.id.ok_or_else(|| {
        Fault::new(
            line,
            rule::ID,
            "expected a line '    ; id: <ulid>' below the date",
        )
    })?;
    Ok(Transaction {
        date,
        line,
        id,
        ext: tags.ext,
        postings,
    })
}

/// Checks the file that opens a month's directory: comments and nothing else, for the tools read it.
///
/// # Errors
/// The first line that is something else.
pub fn check_comments(text: &str) -> Result<(), Fault> {
    for (line, text) in numbered(text, 1) {
        check_characters(line, text)?;
        if !text.is_empty() && !text.starts_with(';') {
            let message = format!("expected comments alone, got '{text}'");
            return Err(Fault::new(line, rule::SYNTAX, message));
        }
    }
    Ok(())
}

/// The lines with their numbers. `\r` is left in and refused with the other control characters.
fn numbered(text: &str, first: usize) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n')
        .enumerate()
        .map(move |(i, line)| (i + first, line))
}

/// Control characters, spaces other than U+0020, and characters that nobody sees.
fn is_odd(c: char) -> bool {
    let unseen = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || (c.is_whitespace() && c != ' ') || unseen
}

fn check_characters(line: usize, text: &str) -> Result<(), Fault> {
    if let Some(odd) = text.chars().find(|c| is_odd(*c)) {
        let expected = "expected no tab, carriage return, odd space or invisible character";
        let message = format!("{expected}, got U+{:04X}", u32::from(odd));
        return Err(Fault::new(line, rule::SYNTAX, message));
    }
    if text.ends_with(' ') {
        return Err(Fault::new(
            line,
            rule::SYNTAX,
            "expected no space at the end of the line",
        ));
    }
    Ok(())
}

fn read_head(line: usize, text: &str) -> Result<Date, Fault> {
    check_characters(line, text)?;
    let syntax = |message: String| Fault::new(line, rule::SYNTAX, message);
    let (date, rest) = text.split_once(' ').unwrap_or((text, ""));
    let date: Date = date.parse().map_err(syntax)?;
    let description = rest
        .strip_prefix("* ")
        .or(rest.strip_prefix("! "))
        .unwrap_or(rest);
    let plain = description.starts_with(char::is_alphanumeric)
        && !description.contains([';', '|', '='])
        && !description.contains("  ");
    if !plain {
        let expected = "description: expected text that starts with a letter or digit, without ';', '|', '=' or two spaces";
        return Err(syntax(format!("{expected}, got '{description}'")));
    }
    Ok(date)
}

#[derive(Default)]
struct Tags<'a> {
    id: Option<Ulid>,
    ext: Option<(usize, &'a str)>,
    booked_for: bool,
}

impl<'a> Tags<'a> {
    /// Reads what stands behind the `;` of a comment line: ` key: value` is a tag.
    fn read(&mut self, line: usize, comment: &'a str) -> Result<(), Fault> {
        let syntax = |message: String| Fault::new(line, rule::SYNTAX, message);
        let Some(comment) = comment
            .strip_prefix(' ')
            .filter(|rest| !rest.starts_with(' '))
        else {
            return Err(syntax("comment: expected one space behind the ';'".into()));
        };
        // ledger reads "[date]" in comments as a date.
        if comment.starts_with('[') {
            return Err(syntax("comment: expected none of ledger's '[date]'".into()));
        }
        let Some((key, value)) = comment.split_once(": ") else {
            return match comment.contains(':') {
                true => Err(syntax("comment: expected 'tag: value', or no ':'".into())),
                false => Ok(()),
            };
        };
        if value.contains([':', ',']) || value.starts_with(' ') || value.contains("  ") {
            let expected = "expected one tag a line, with a value without ':', ',' or two spaces";
            return Err(syntax(format!("{expected}, got '{value}'")));
        }
        let twice = match key {
            "id" => {
                let fault = |error: &dyn std::fmt::Display| Fault::new(line, rule::ID, error);
                let id = value.parse().map_err(|error| fault(&error))?;
                self.id.replace(id).is_some()
            }
            "ext" => self.ext.replace((line, value)).is_some(),
            "for" => {
                value.parse::<Date>().map_err(syntax)?;
                std::mem::replace(&mut self.booked_for, true)
            }
            _ => return Err(syntax(format!("tag: expected id, ext or for, got '{key}'"))),
        };
        if twice {
            Err(syntax(format!("tag {key}: stands there twice")))
        } else {
            Ok(())
        }
    }
}

fn read_posting(line: usize, body: &str, grammar: Grammar) -> Result<Posting<'_>, Fault> {
    let expected = match grammar {
        Grammar::Transaction => {
            "posting: expected 'Account  -1.00 USD', two spaces before the amount"
        }
        Grammar::Closing => "posting: expected 'Account  0.00 USD = 1.00 USD'",
    };
    let syntax = || Fault::new(line, rule::SYNTAX, format!("{expected}, got '{body}'"));
    let (account, amount) = body.split_once("  ").ok_or_else(syntax)?;
    let mut words = amount.trim_start().split(' ');
    let (Some(number), Some(commodity)) = (words.next(), words.next()) else {
        return Err(syntax());
    };
    let assertion = match (grammar, words.next()) {
        (Grammar::Transaction, None) => None,
        (Grammar::Closing, Some("=")) => match (words.next(), words.next(), words.next()) {
            (Some(asserted), Some(same), None) if same == commodity => Some(asserted),
            _ => return Err(syntax()),
        },
        _ => return Err(syntax()),
    };
    if !is_account(account) {
        let form = "account: expected Assets, Liabilities, Equity, Income or Expenses and segments of letters, digits, '-', '_', '.' and single spaces";
        return Err(Fault::new(
            line,
            rule::SYNTAX,
            format!("{form}, got '{account}'"),
        ));
    }
    if !is_commodity(commodity) {
        return Err(syntax());
    }
    Ok(Posting {
        line,
        account,
        number,
        commodity,
        assertion,
    })
}

/// Whether both tools read `name` as one account, below one of the five roots.
#[must_use]
pub fn is_account(name: &str) -> bool {
    let mut segments = name.split(':');
    let root = segments.next().unwrap_or("");
    let segment = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !text.ends_with(' ')
            && !text.contains("  ")
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_. ".contains(c))
    };
    let rest: Vec<&str> = segments.collect();
    matches!(
        root,
        "Assets" | "Liabilities" | "Equity" | "Income" | "Expenses"
    ) && (1..=15).contains(&rest.len())
        && name.len() <= 200
        && rest.into_iter().all(segment)
}

/// Whether both tools read `symbol` without quotes: letters alone.
#[must_use]
pub fn is_commodity(symbol: &str) -> bool {
    (1..=12).contains(&symbol.len()) && symbol.bytes().all(|c| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "; by hand\n\n2026-11-21 * Coffee beans (2 kg)\n    ; id: 01KAJ3T6Z8Q4M2W9X5Y7B1C0DE\n    ; a remark\n    ; ext: bank-7\n    ; for: 2026-10-31\n    Income:Bar                  -40.00 USD\n    Liabilities:Member:alice     40.00 USD\n";

    #[test]
    fn a_transaction_keeps_its_lines() {
        let transaction = parse(GOOD, 1, Grammar::Transaction).expect("good");
        assert_eq!(transaction.line, 3);
        assert_eq!(transaction.ext, Some((6, "bank-7")));
        let lines: Vec<_> = transaction
            .postings
            .iter()
            .map(|p| (p.line, p.account))
            .collect();
        assert_eq!(lines, [(8, "Income:Bar"), (9, "Liabilities:Member:alice")]);
        assert_eq!(transaction.postings[1].number, "40.00");
    }

    #[test]
    fn what_one_of_the_tools_would_read_differently_is_refused_at_its_line() {
        let cases = [
            (GOOD.replace("-40.00 USD", "-40.00 USD = 0.00 USD"), 8),
            (GOOD.replace("-40.00 USD", "-40.00 USD @ 2.00 EUR"), 8),
            (GOOD.replace("-40.00 USD", "-40.00 USD ; note"), 8),
            (GOOD.replace("     40.00 USD", ""), 9),
            (GOOD.replace("     40.00 USD", " 40.00 USD"), 9),
            (GOOD.replace("     40.00 USD", "\t40.00 USD"), 9),
            (GOOD.replace("     40.00 USD", "     40.00 USD "), 9),
            (GOOD.replace("     40.00 USD", "     $40.00"), 9),
            (GOOD.replace("Income:Bar", "(Income:Bar)"), 8),
            (GOOD.replace("Income:Bar", "[Income:Bar]"), 8),
            (GOOD.replace("Income:Bar", "Profit:Bar"), 8),
            (GOOD.replace("Income:Bar", "Income"), 8),
            (GOOD.replace("Income:Bar", "Income::Bar"), 8),
            (GOOD.replace("Income:Bar", "* Income:Bar"), 8),
            (GOOD.replace("2026-11-21", "2026-11-21=2026-11-22"), 3),
            (GOOD.replace("2026-11-21", "11/21"), 3),
            (GOOD.replace("2026-11-21 *", "~ monthly"), 3),
            (GOOD.replace("* Coffee", "* (code) Coffee"), 3),
            (GOOD.replace("Coffee", "Coffee; x"), 3),
            (GOOD.replace("Coffee ", "Coffee\u{a0}"), 3),
            (GOOD.replace("Coffee ", "Coffee\u{200b} "), 3),
            (GOOD.replace("a remark", ":a:b:"), 5),
            (GOOD.replace("a remark", "x: y, ext: z"), 5),
            (GOOD.replace("a remark", "ext: y, for: z"), 5),
            (GOOD.replace("a remark", "for: 2026-02-30"), 5),
            (GOOD.replace("a remark", "colour: red"), 5),
            (GOOD.replace("a remark", "ext: twice"), 6),
            (GOOD.replace('\n', "\r\n"), 1),
            (format!("{GOOD}\n{GOOD}"), 11),
            (format!("{GOOD}include /etc/passwd\n"), 10),
            ("include /etc/passwd\n".into(), 1),
            (
                GOOD.replace("    ; id: 01KAJ3T6Z8Q4M2W9X5Y7B1C0DE\n", ""),
                3,
            ),
            (String::new(), 1),
            (
                "2026-11-21 Nothing\n    ; id: 01KAJ3T6Z8Q4M2W9X5Y7B1C0DE\n".into(),
                1,
            ),
        ];
        for (text, line) in cases {
            let fault = parse(&text, 1, Grammar::Transaction).expect_err(&text);
            assert_eq!(fault.line, line, "{fault:?} in\n{text}");
        }
    }

    #[test]
    fn a_closing_asserts_every_balance() {
        let text = "2026-11-30 Close\n    ; id: 01KAJ3T6Z8Q4M2W9X5Y7B1C0DE\n    Assets:Cash  0.00 USD = 7.00 USD\n";
        let closing = parse(text, 5, Grammar::Closing).expect("good");
        assert_eq!(
            (closing.postings[0].line, closing.postings[0].assertion),
            (7, Some("7.00"))
        );
        assert!(parse(&text.replace(" = 7.00 USD", ""), 1, Grammar::Closing).is_err());
        assert!(parse(&text.replace("7.00 USD", "7.00 EUR"), 1, Grammar::Closing).is_err());
    }
}
