//! E-mail addresses: case folding and a strict grammar.
//!
//! The grammar is a subset of the mailbox of RFC 5321: one `@`, and no quotes, comments, routes or address literals.
//! White space around the address is removed, because the completion of an on-screen keyboard adds it. Full Unicode
//! case folding of the local part comes next (3PID-61): `Strauß@…` becomes `strauss@…`. An internationalised domain is
//! converted to its ASCII form, in which `ß` is a letter of its own. An address that is not ASCII after that is
//! rejected, because SES accepts only ASCII.

use super::{Medium, ThreePid, domain, trim};
use crate::host_name::is_domain;

/// The maximum length of an address in bytes (RFC 5321, without the angle brackets of the path).
const MAX_ADDRESS_BYTES: usize = 254;
/// The maximum length of the local part in bytes.
const MAX_LOCAL_BYTES: usize = 64;

/// The canonical form of an e-mail address. Returns `None` if it is not valid (3PID-13, 3PID-62).
pub fn parse(text: &str) -> Option<ThreePid> {
    let text = trim(text);
    // Reject an overlong text before case folding, because the time of case folding is proportional to
    // the length of the text. Folding makes a text at most three times as long in characters.
    if text.len() > 4 * MAX_ADDRESS_BYTES {
        return None;
    }
    let (local, domain) = text.split_once('@')?;
    let local = caseless::default_case_fold_str(local);
    let domain = domain::to_ascii(domain)?;
    let address = format!("{local}@{domain}");
    (address.len() <= MAX_ADDRESS_BYTES && is_local_part(&local) && is_domain(&domain)).then_some(
        ThreePid {
            medium: Medium::Email,
            address,
        },
    )
}

/// Whether the text is a dot-atom without `%`, `!` and `?`. Some e-mail servers treat `%` and `!` as source routes.
/// `?` is part of encoded words, which some software decodes to another address.
fn is_local_part(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"#$&'*+-/=^_`{|}~".contains(&b);
    text.len() <= MAX_LOCAL_BYTES
        && text
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(legal))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Option<String> {
        parse(text).map(|threepid| threepid.address)
    }

    #[test]
    fn _3pid_61_the_whole_address_is_case_folded() {
        for (typed, address) in [
            ("Alice@Example.ORG", "alice@example.org"),
            ("Strau\u{df}@Example.com", "strauss@example.com"),
            ("STRAUSS@EXAMPLE.COM", "strauss@example.com"),
            // The Kelvin sign.
            ("bac\u{212a}up@example.org", "backup@example.org"),
            ("a+tag@sub.example.org", "a+tag@sub.example.org"),
            // The long s and a ligature.
            ("\u{17f}am@example.org", "sam@example.org"),
            ("\u{fb01}n@example.org", "fin@example.org"),
        ] {
            assert_eq!(canonical(typed).as_deref(), Some(address), "{typed}");
        }
    }

    #[test]
    fn white_space_around_an_address_is_removed() {
        for typed in [
            " x@example.com",
            "x@example.com ",
            "\tx@example.com\r\n",
            "\u{a0}x@example.com\u{3000}",
            "\u{feff}x@example.com\u{200b}",
            "\u{202a}x@example.com\u{202c}",
        ] {
            assert_eq!(
                canonical(typed).as_deref(),
                Some("x@example.com"),
                "{typed:?}"
            );
        }
    }

    /// `ß` is two letters in a local part, and a letter of its own in a domain.
    #[test]
    fn an_international_domain_has_its_ascii_form() {
        for (typed, address) in [
            ("x@b\u{fc}cher.example", "x@xn--bcher-kva.example"),
            ("X@B\u{dc}CHER.Example", "x@xn--bcher-kva.example"),
            ("x@XN--BCHER-KVA.example", "x@xn--bcher-kva.example"),
            ("\u{df}@stra\u{df}e.example", "ss@xn--strae-oqa.example"),
            // The Kelvin sign.
            ("b@\u{212a}x.org", "b@kx.org"),
            ("b@x\u{3002}org", "b@x.org"),
        ] {
            assert_eq!(canonical(typed).as_deref(), Some(address), "{typed}");
        }
    }

    #[test]
    fn _3pid_62_an_invalid_address_is_rejected() {
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long = format!("a@{}.org", "b.".repeat(130));
        for text in [
            "",
            "a",
            "@",
            "a@",
            "@b.org",
            "a@b",
            "a@b@c.org",
            "me@evil.example@good.example",
            "Bob <b@x.org>",
            "<b@x.org>",
            "mailto:b@x.org",
            "\"b\"@x.org",
            "\"b@c\"@x.org",
            "b(comment)@x.org",
            "b@x.org(comment)",
            "b @x.org",
            "b@ x.org",
            "b@x.org c",
            "b@x.org\r\nbcc:c@y.org",
            "b@b\u{fc}_cher.example",
            "b@\u{2603}.example",
            "b\0@x.org",
            "b@x.org\0",
            "b\n@x.org",
            "b@[127.0.0.1]",
            "b@127.0.0.1",
            "b%c@x.org",
            "=?x?q?a=40b.example=3e=20?=@x.org",
            "a?b@x.org",
            "x.org!b@y.org",
            "@y.org:b@x.org",
            "b@x..org",
            "b@.x.org",
            "b@x.org.",
            ".b@x.org",
            "b.@x.org",
            "b..c@x.org",
            "b@-x.org",
            "b@x-.org",
            "b,c@x.org",
            "b;c@x.org",
            "b@x_y.org",
            "b\u{e9}@x.org",
            "\u{131}b@x.org",
            "b\u{ff20}x.org",
            "\u{ff42}@x.org",
            "b\u{200b}@x.org",
            &long_local,
            &long,
        ] {
            assert_eq!(canonical(text), None, "{text:?}");
        }
        assert!(canonical(&format!("{}@example.org", "a".repeat(64))).is_some());
    }

    proptest! {
        #[test]
        fn canonicalisation_is_idempotent(text in "\\PC{0,12}@\\PC{0,12}\\.[a-zK]{2,3}") {
            if let Some(address) = canonical(&text) {
                prop_assert_eq!(canonical(&address), Some(address.clone()));
                prop_assert!(address.is_ascii() && address.matches('@').count() == 1);
            }
        }
    }
}
