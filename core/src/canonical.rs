//! Canonical JSON (RFC 8785, integers only): one value has one spelling, so it can be hashed and signed.
//!
//! Numbers beyond 2^53 and fractions are refused: RFC 8785 would print them as rounded doubles.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::FormatError;

/// The largest integer that every JSON reader keeps exactly.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Writes `value` as canonical JSON, without a line end.
///
/// # Panics
/// Never for the types of this crate: they have text keys and integers below 2^53.
#[must_use]
pub fn to_string<T: Serialize>(value: &T) -> String {
    try_to_string(value).expect("our own types have a canonical form")
}

/// Writes `value` as canonical JSON if it has such a form.
///
/// # Errors
/// Fractions and integers beyond 2^53 - 1 are refused.
pub fn try_to_string<T: Serialize>(value: &T) -> Result<String, FormatError> {
    let value = serde_json::to_value(value)
        .map_err(|error| FormatError::new("canonical JSON", "a JSON value", error))?;
    check_numbers(&value)?;
    serde_jcs::to_string(&value)
        .map_err(|error| FormatError::new("canonical JSON", "a JSON value", error))
}

/// Reads a value and refuses any text that is not its canonical spelling.
///
/// # Errors
/// Text that is no JSON, has unknown or missing fields, or is spelled otherwise than RFC 8785 does.
pub fn from_str<T: DeserializeOwned + Serialize>(what: &str, text: &str) -> Result<T, FormatError> {
    let value: T = serde_json::from_str(text)
        .map_err(|error| FormatError::new(what, "canonical JSON", error))?;
    if try_to_string(&value)? == text {
        Ok(value)
    } else {
        Err(FormatError::new(
            what,
            "canonical JSON (RFC 8785)",
            "another spelling of it",
        ))
    }
}

/// Refuses numbers that readers may round.
fn check_numbers(value: &Value) -> Result<(), FormatError> {
    match value {
        Value::Number(number) => {
            let magnitude = number
                .as_u64()
                .or_else(|| number.as_i64().map(i64::unsigned_abs));
            match magnitude {
                Some(magnitude) if magnitude <= INTEGER_MAX => Ok(()),
                _ => Err(FormatError::new("number", "an integer below 2^53", number)),
            }
        }
        Value::Array(items) => items.iter().try_for_each(check_numbers),
        Value::Object(fields) => fields.values().try_for_each(check_numbers),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_by_utf16_and_text_is_escaped_as_rfc_8785_says() {
        let value =
            json!({"\u{fb33}": 1, "\u{1f600}": 2, "b": "\u{8}\n\u{1f}é/\"", "a": [true, null]});
        let expected =
            "{\"a\":[true,null],\"b\":\"\\b\\n\\u001fé/\\\"\",\"\u{1f600}\":2,\"\u{fb33}\":1}";
        assert_eq!(to_string(&value), expected);
    }

    #[test]
    fn numbers_that_a_reader_may_round_are_refused() {
        for bad in [json!(1.5), json!(1u64 << 53), json!(-(1i64 << 53))] {
            assert!(try_to_string(&bad).is_err(), "{bad} was accepted");
        }
        assert_eq!(to_string(&json!((1u64 << 53) - 1)), "9007199254740991");
    }

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert!(from_str::<Value>("x", "{\"a\":1,\"b\":2}").is_ok());
        for bad in [
            "{\"b\":2,\"a\":1}",
            "{\"a\": 1}",
            "{\"a\":1,\"a\":1}",
            "[1.0]",
            "\"\\u0041\"",
        ] {
            assert!(from_str::<Value>("x", bad).is_err(), "{bad} was accepted");
        }
    }
}
