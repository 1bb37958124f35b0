//! Calendar dates, as `yyyy-mm-dd`, and the periods that closings name.

use std::fmt;
use std::str::FromStr;

/// A day of the Gregorian calendar, years 1900 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The directory of a transaction of this day: `2026/11`.
    #[must_use]
    pub fn directory(self) -> String {
        format!("{:04}/{:02}", self.year, self.month)
    }

    fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let ok = (1900..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day);
        ok.then_some(Self { year, month, day })
    }
}

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("date: expected a day as yyyy-mm-dd, got '{text}'");
        let bytes = text.as_bytes();
        let shape = bytes.len() == 10
            && bytes.iter().enumerate().all(|(i, c)| match i {
                4 | 7 => *c == b'-',
                _ => c.is_ascii_digit(),
            });
        if !shape {
            return Err(wrong());
        }
        let number = |range: std::ops::Range<usize>| text[range].parse::<u16>().unwrap_or(0);
        Self::new(number(0..4), number(5..7) as u8, number(8..10) as u8).ok_or_else(wrong)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// A month or a year, which a closing ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    last: Date,
}

impl Period {
    /// Its last day.
    #[must_use]
    pub fn last(self) -> Date {
        self.last
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let last = match text.len() {
            4 => format!("{text}-12-31").parse().ok(),
            7 => format!("{text}-01").parse::<Date>().ok().and_then(|first| {
                Date::new(first.year, first.month, days_in(first.year, first.month))
            }),
            _ => None,
        };
        let last = last.ok_or_else(|| format!("period: expected yyyy-mm or yyyy, got '{text}'"))?;
        Ok(Self { last })
    }
}

fn days_in(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_of_the_calendar_are_dates() {
        for text in ["2026-11-21", "2024-02-29", "2000-02-29", "9999-12-31"] {
            assert_eq!(text.parse::<Date>().expect(text).to_string(), text);
        }
        let bad = [
            "2026-02-29",
            "1900-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-04-31",
            "2026-1-1",
            "20261121",
            "2026/11/21",
            "0000-01-01",
            "2026-11-2é",
            "",
        ];
        for text in bad {
            assert!(text.parse::<Date>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_period_ends_on_its_last_day() {
        let last = |text: &str| {
            text.parse::<Period>()
                .map(|period| period.last().to_string())
        };
        assert_eq!(last("2024-02"), Ok("2024-02-29".into()));
        assert_eq!(last("2026"), Ok("2026-12-31".into()));
        for text in ["2026-13", "26", "2026-1", "2026-01-01", ""] {
            assert!(last(text).is_err(), "{text:?} was accepted");
        }
    }
}
