//! The characters of an entered phone number: those that users type, and those that address books and web pages add.

use crate::threepid::{is_invisible, trim};

/// The maximum length of an entered number in bytes.
const MAX_BYTES: usize = 250;
/// The maximum number of characters of an entered number.
const MAX_CHARS: usize = 64;

/// The first of the ten decimal digits of each script (Unicode 14, general category *decimal number*).
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// An entered number without its punctuation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// Whether the digits begin with a calling code, after a plus sign.
    pub(super) is_international: bool,
    /// The digits, in ASCII.
    pub(super) digits: String,
}

impl Typed {
    /// Reads an entered number or a `tel:` URI (RFC 3966). Returns `None` if it has a character that no phone number
    /// has. Letters are not allowed: a text message cannot be sent to an extension or a vanity number.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES || text.chars().count() > MAX_CHARS {
            return None;
        }
        let text = trim(text);
        match text.split_at_checked(4) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel:") => Self::read_uri(rest),
            _ => Self::read_number(text),
        }
    }

    /// Reads a `tel:` URI after its scheme. A global number may have any parameter except an extension; an empty
    /// extension is none. A local number is completed with its context, if the context is a calling code.
    fn read_uri(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let mut number = Self::read_number(parts.next()?)?;
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name.eq_ignore_ascii_case("ext") && !trim(value).is_empty() {
                return None;
            }
            let is_code = name.eq_ignore_ascii_case("phone-context") && value.starts_with('+');
            if is_code && !number.is_international {
                let context = Self::read_number(value)?;
                number.digits.insert_str(0, &context.digits);
                number.is_international = true;
            }
        }
        Some(number)
    }

    /// Reads the characters. At most one plus is allowed, before all digits.
    fn read_number(text: &str) -> Option<Self> {
        let mut number = Self {
            is_international: false,
            digits: String::new(),
        };
        for c in text.chars() {
            match c {
                '+' | '\u{ff0b}' if !number.is_international && number.digits.is_empty() => {
                    number.is_international = true;
                }
                _ if is_separator(c) || is_invisible(c) => {}
                _ => number.digits.push(ascii_digit(c)?),
            }
        }
        Some(number)
    }
}

/// The ASCII form of a decimal digit of any script.
fn ascii_digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let zero = ZEROS[..ZEROS.partition_point(|zero| *zero <= code)].last()?;
    char::from_digit(code - zero, 10)
}

/// Whether the character separates groups of digits: the punctuation that libphonenumber accepts.
fn is_separator(c: char) -> bool {
    (c.is_whitespace() && !c.is_control())
        || matches!(
            c,
            '-' | '.' | '/' | '(' | ')' | '[' | ']' | '~'
            // Hyphens, dashes and the minus sign.
            | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30fc}'
            // Full-width forms.
            | '\u{ff08}' | '\u{ff09}' | '\u{ff0d}'..='\u{ff0f}' | '\u{ff3b}' | '\u{ff3d}'
            // Tildes.
            | '\u{2053}' | '\u{223c}' | '\u{ff5e}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(bool, String)> {
        Typed::read(text).map(|typed| (typed.is_international, typed.digits))
    }

    #[test]
    fn punctuation_and_invisible_characters_are_removed() {
        for text in [
            "+44 7400 123456",
            " +44 7400 123456\n",
            "+44\u{a0}7400\u{a0}123456",
            "+44\u{202f}7400\u{2009}123456",
            "\u{202a}+447400123456\u{202c}",
            "\u{2066}\u{200e}+44 7400 123456\u{2069}",
            "+44 7400\u{2013}123456",
            "+44\u{2011}7400\u{2010}123\u{2014}456\u{2212}",
            "\u{ff0b}\u{ff14}\u{ff14}\u{3000}7400\u{ff0d}123456",
            "(+44) 7400.123/456",
            "[+44] 7400~123456",
            "+44 7400\u{200b}123\u{ad}456\u{feff}\t",
            "+\u{664}\u{664} \u{667}\u{664}\u{660}\u{660} \u{661}\u{662}\u{663}\u{664}\u{665}\u{666}",
            "+\u{96a}\u{96a} 7400123456",
            "tel:+447400123456",
            "TEL:+44-7400-123456",
            "tel:+44(7400)123456;isub=1;foo=bar",
            "tel:7400123456;phone-context=+44",
            "tel:7400-123456;isub=12;Phone-Context=+44",
            "tel:+447400123456;phone-context=+1",
            "TEL:+447400123456;ext=",
            "tel:+447400123456;EXT=;isub=1",
            "tel:+447400123456;ext",
        ] {
            assert_eq!(read(text), Some((true, "447400123456".into())), "{text:?}");
        }
        let local = Some((false, "07400123456".into()));
        assert_eq!(read("07400 123456"), local);
        assert_eq!(read("tel:07400123456;phone-context=example.org"), local);
    }

    #[test]
    fn other_characters_are_rejected() {
        for text in [
            "abc",
            "++447400123456",
            "44+7400123456",
            "07400 123456 ext. 5",
            "07400 123456x5",
            "07400123456;ext=1",
            "tel:+447400123456;ext=1",
            "tel:+447400123456;ext=;ext=1",
            "tel:7400123456;phone-context=+44x",
            "sip:+447400123456@example.org",
            "1-800-FLOWERS",
            "07400\u{0}123456",
            "07400\n123456",
            "*100#",
            "07400,123456",
            "\u{bd}7400123456",
            "\u{2460}7400123456",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(read(&"1".repeat(65)), None);
        assert_eq!(
            read(&"\u{ff11}".repeat(64)).map(|typed| typed.1.len()),
            Some(64)
        );
    }
}
