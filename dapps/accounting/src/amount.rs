//! Exact amounts: an integer count of a commodity's smallest unit.
//!
//! **Invariants**: an amount that was read has at most 18 digits before the point, and a commodity at
//! most 8 decimals, so that a sum over any number of files that a ledger can hold stays within 127 bits;
//! sums are checked all the same.

/// The most digits before the decimal point.
const WHOLE_DIGITS_MAX: usize = 18;

/// The most decimals of a commodity.
pub const DECIMALS_MAX: u8 = 8;

/// Reads `-1234.5` as units of the `decimals`-th decimal. Digit group marks, `+` and bare points are refused:
/// the stock tools read them differently.
///
/// # Errors
/// Says what was expected, without naming the place.
pub fn parse(text: &str, decimals: u8) -> Result<i128, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !numeric(whole) || fraction.is_some_and(|fraction| !numeric(fraction)) {
        return Err(format!(
            "amount: expected digits such as -1234.50, got '{text}'"
        ));
    }
    let fraction = fraction.unwrap_or("");
    if fraction.len() > usize::from(decimals) {
        return Err(format!(
            "amount: expected at most {decimals} decimals, got '{text}'"
        ));
    }
    if whole.len() > WHOLE_DIGITS_MAX {
        return Err(format!(
            "amount: expected at most {WHOLE_DIGITS_MAX} digits, got '{text}'"
        ));
    }
    let padding = usize::from(decimals) - fraction.len();
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .chain(std::iter::repeat_n(b'0', padding));
    let units = digits.fold(0_i128, |units, digit| units * 10 + i128::from(digit - b'0'));
    Ok(if negative { -units } else { units })
}

/// Writes units with exactly `decimals` decimals: `-30.00`.
#[must_use]
pub fn show(units: i128, decimals: u8) -> String {
    let scale = 10_u128.pow(u32::from(decimals));
    let magnitude = units.unsigned_abs();
    let sign = if units < 0 { "-" } else { "" };
    if decimals == 0 {
        return format!("{sign}{magnitude}");
    }
    let width = usize::from(decimals);
    format!("{sign}{}.{:0width$}", magnitude / scale, magnitude % scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_print_as_they_were_read() {
        let cases = [
            ("0", 0, "0.00"),
            ("40", 4000, "40.00"),
            ("-40.5", -4050, "-40.50"),
            ("0.01", 1, "0.01"),
            ("-0.01", -1, "-0.01"),
            (
                "999999999999999999.99",
                99_999_999_999_999_999_999,
                "999999999999999999.99",
            ),
        ];
        for (text, units, shown) in cases {
            assert_eq!(parse(text, 2), Ok(units), "{text}");
            assert_eq!(show(units, 2), shown);
        }
    }

    #[test]
    fn what_the_stock_tools_read_differently_is_refused() {
        let bad = [
            "",
            "-",
            "+1",
            "1,000",
            "1.",
            ".5",
            "1e3",
            "--1",
            "- 1",
            "1.234",
            "1_0",
            "٣",
            "1.0.0",
            "1000000000000000000",
        ];
        for text in bad {
            assert!(parse(text, 2).is_err(), "{text:?} was accepted");
        }
    }
}
