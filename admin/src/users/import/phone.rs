//! Phone numbers as other servers and address books write them.

use shared::threepids::{Medium, ThreePid};

/// Parses an international number: digits, with `+`, `00` or nothing before them and separators between them.
pub(crate) fn parse(text: &str) -> Result<ThreePid, String> {
    let invalid =
        "a phone number is not valid: write it with the country code, as in `+49 151 23456789`";
    let text = text.trim();
    let text = text.strip_prefix("tel:").unwrap_or(text);
    // Some users write the digit that replaces the country code in national calls.
    let text = text.replace("(0)", "");
    let mut digits: String = text.chars().filter(|c| !is_separator(*c)).collect();
    if let Some(rest) = digits.strip_prefix("00") {
        digits = rest.to_owned();
    }
    // No country code begins with 0.
    let national = digits.trim_start_matches('+').starts_with('0');
    ThreePid::parse(Medium::Msisdn, &digits)
        .filter(|_| !national)
        .ok_or_else(|| invalid.to_owned())
}

/// Blanks, punctuation between groups of digits, and the direction marks that a contact list adds.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || "-.()/".contains(c)
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2010}'..='\u{2015}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{2212}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_separators() {
        for text in [
            "4915123456789",
            "+4915123456789",
            "+49 151 23456789",
            "0049 151/23456789",
            "+49 (0)151 2345-6789",
            "+49\u{a0}151\u{a0}23456789",
            "\u{202a}+49 151 23456789\u{202c}",
            "tel:+49-151-23456789",
            "+49 (151) 2345.6789",
        ] {
            let found = parse(text).map(|threepid| threepid.address);
            assert_eq!(found.as_deref(), Ok("4915123456789"), "{text}");
        }
        for text in [
            "",
            "call me",
            "0151 23456789",
            "+0151",
            "+49151234567890123",
            "49+151",
        ] {
            assert!(parse(text).unwrap_err().contains("phone number"), "{text}");
        }
    }
}
