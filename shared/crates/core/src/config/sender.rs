//! The sender of e-mails: from the form that an operator writes to the value of the header `From`.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::threepid;

/// The maximum length of a name in bytes.
const MAX_NAME_BYTES: usize = 200;
/// The maximum number of bytes of a name in an encoded word. With its delimiters, a word has at most 75 characters.
const WORD_BYTES: usize = 45;

/// The value of the header `From` for `Name <address>`, `<address>` or an address. The name is quoted or encoded
/// (RFC 5322, RFC 2047), and an international domain is converted. `None` if the address is not valid or the name has
/// control characters.
pub(super) fn header(text: &str) -> Option<String> {
    let (name, address) = match text.trim().strip_suffix('>') {
        None => ("", text),
        Some(rest) => rest.rsplit_once('<')?,
    };
    let address = threepid::parse_email(address)?.address;
    let name = unquoted(name.trim())?;
    let is_valid = name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control);
    is_valid.then(|| match phrase(&name) {
        phrase if phrase.is_empty() => address,
        phrase => format!("{phrase} <{address}>"),
    })
}

/// The address in a value of [`header`].
pub(super) fn address(header: &str) -> &str {
    let inner = header.rsplit_once('<').map_or(header, |(_, rest)| rest);
    inner.trim_end_matches('>')
}

/// The name without the quotes and backslashes of a quoted string.
fn unquoted(name: &str) -> Option<String> {
    let Some(rest) = name.strip_prefix('"') else {
        // More angle brackets are most likely a list of senders.
        return (!name.contains(['<', '>'])).then(|| name.to_owned());
    };
    let inner = rest.strip_suffix('"')?;
    let mut plain = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next()?),
            '"' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// The name as a phrase of RFC 5322: as it is, as a quoted string, or as encoded words.
fn phrase(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " !#$%&'*+-/=^_`{|}~".contains(c);
    // A mail program could read `=?` as the start of an encoded word.
    if name.chars().all(is_plain) && !name.contains("=?") {
        return name.to_owned();
    }
    if name.is_ascii() && !name.contains("=?") {
        return format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let mut words = vec![String::new()];
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if word.len() + c.len_utf8() <= WORD_BYTES => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let encoded = |word: &String| format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(word));
    words.iter().map(encoded).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_written_as_a_header() {
        for (text, expected) in [
            ("a@example.org", "a@example.org"),
            ("<a@example.org>", "a@example.org"),
            (" a@example.org ", "a@example.org"),
            (
                "Our Accounts <a@example.org>",
                "Our Accounts <a@example.org>",
            ),
            ("Accounts<a@example.org>", "Accounts <a@example.org>"),
            (
                "example.org accounts <a@example.org>",
                "\"example.org accounts\" <a@example.org>",
            ),
            (
                "Example, Inc. <a@example.org>",
                "\"Example, Inc.\" <a@example.org>",
            ),
            (
                "\"Example, Inc.\" <a@example.org>",
                "\"Example, Inc.\" <a@example.org>",
            ),
            ("\"\" <a@example.org>", "a@example.org"),
            ("Ex (test) <a@example.org>", "\"Ex (test)\" <a@example.org>"),
            ("A \"B\" <a@example.org>", "\"A \\\"B\\\"\" <a@example.org>"),
            ("me@home <a@example.org>", "\"me@home\" <a@example.org>"),
            (
                "B\u{fc}cherei K\u{f6}ln <a@example.org>",
                "=?UTF-8?B?QsO8Y2hlcmVpIEvDtmxu?= <a@example.org>",
            ),
            (
                "\u{65e5}\u{672c}\u{8a9e}\u{30b5}\u{30fc}\u{30d0}\u{30fc} <a@example.org>",
                "=?UTF-8?B?5pel5pys6Kqe44K144O844OQ44O8?= <a@example.org>",
            ),
            ("a@b\u{fc}cher.example", "a@xn--bcher-kva.example"),
        ] {
            let found = header(text);
            assert_eq!(found.as_deref(), Some(expected), "{text}");
            let own = address(expected);
            assert!(own.starts_with("a@") && !own.contains('>'), "{own}");
        }
        let long = header(&format!("{} <a@example.org>", "\u{fc}".repeat(60))).unwrap_or_default();
        assert!(long.split(' ').all(|word| word.len() <= 75), "{long}");
    }

    #[test]
    fn another_text_is_not_a_sender() {
        for text in [
            "",
            "Name",
            "<a@example.org",
            "a@example.org>",
            "Name <a@example.org> b",
            "Name <a@example.org>, <b@example.org>",
            "Name <a>",
            "\"Name <a@example.org>",
            "\"A\" \"B\" <a@example.org>",
            "Na\r\nBcc: b@example.org <a@example.org>",
            "a@example.org, b@example.org",
        ] {
            assert_eq!(header(text), None, "{text}");
        }
    }
}
