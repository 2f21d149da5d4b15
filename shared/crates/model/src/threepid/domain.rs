//! Internationalised domains of e-mail addresses: from the form that users type to the ASCII form (UTS 46).
//!
//! A character is mapped as UTS 46 maps it without transitional processing: to lower case and to its compatibility
//! form; `ß` and `ς` stay. The check of the result is simpler: letters, marks, digits and hyphens. A domain that breaks
//! a rule of IDNA that is not checked here, for example the one for mixed directions, is not registered, so that no
//! message arrives there. Two spellings of one domain have the same ASCII form.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The maximum length of a domain in bytes. A longer text is rejected before the conversion.
const MAX_BYTES: usize = 1024;

/// The ASCII form of a domain, in lower case. `None` if a label has characters that no domain has.
pub(super) fn to_ascii(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.to_ascii_lowercase());
    }
    if domain.len() > MAX_BYTES {
        return None;
    }
    let mapped: String = domain
        .chars()
        .filter(|c| !is_ignored(*c))
        // The ideographic full stop has the halfwidth form U+FF61.
        .map(|c| {
            if matches!(c, '\u{3002}' | '\u{ff61}') {
                '.'
            } else {
                c
            }
        })
        .nfkc()
        .flat_map(char::to_lowercase)
        .nfkc()
        .collect();
    let labels: Option<Vec<String>> = mapped.split('.').map(label).collect();
    Some(labels?.join("."))
}

fn label(text: &str) -> Option<String> {
    if text.is_ascii() {
        return Some(text.to_owned());
    }
    let is_allowed = |c: char| c.is_alphanumeric() || is_combining_mark(c) || c == '-';
    // Two hyphens in the third and fourth position mark another encoding.
    let is_valid = text.chars().all(is_allowed)
        && !text.starts_with(is_combining_mark)
        && text.chars().skip(2).take(2).ne("--".chars());
    let encoded = is_valid.then(|| idna::punycode::encode_str(text))?;
    Some(format!("xn--{}", encoded?))
}

/// Whether UTS 46 removes the character: the soft hyphen, zero-width characters and variation selectors.
const fn is_ignored(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are those of the Python package `idna` (UTS 46, without transitional processing).
    #[test]
    fn a_domain_has_the_ascii_form_of_uts_46() {
        for (typed, ascii) in [
            ("Example.ORG", "example.org"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("B\u{dc}CHER.example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("b\u{fc}\u{ad}cher\u{3002}example", "xn--bcher-kva.example"),
            ("b\u{fc}cher\u{ff0e}example", "xn--bcher-kva.example"),
            ("b\u{fc}cher\u{ff61}example", "xn--bcher-kva.example"),
            ("stra\u{df}e.example", "xn--strae-oqa.example"),
            ("STRA\u{1e9e}E.example", "xn--strae-oqa.example"),
            (
                "\u{3b2}\u{3cc}\u{3bb}\u{3bf}\u{3c2}.example",
                "xn--nxasmm1c.example",
            ),
            ("\u{65e5}\u{672c}\u{8a9e}.jp", "xn--wgv71a119e.jp"),
            (
                "\u{43f}\u{43e}\u{447}\u{442}\u{430}.\u{440}\u{444}",
                "xn--80a1acny.xn--p1ai",
            ),
            (
                "\u{645}\u{62b}\u{627}\u{644}.example",
                "xn--mgbh0fb.example",
            ),
            (
                "\u{939}\u{93f}\u{928}\u{94d}\u{926}\u{940}.example",
                "xn--j2bd4cyah0f.example",
            ),
            ("\u{ff45}\u{ff58}ample.example", "example.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(to_ascii(typed).as_deref(), Some(ascii), "{typed}");
        }
    }

    #[test]
    fn a_domain_with_other_characters_has_no_ascii_form() {
        for typed in [
            "a b\u{fc}.example",
            "b\u{fc}_b.example",
            "\u{308}b.example",
            "ab--\u{fc}.example",
            "xn--\u{fc}.example",
            "b\u{fc}@b.example",
            "\u{2603}.example",
            "b\u{202e}\u{fc}.example",
            "b\u{0}\u{fc}.example",
            "b\u{fc}/b.example",
        ] {
            assert_eq!(to_ascii(typed), None, "{typed:?}");
        }
        assert_eq!(to_ascii(&"\u{fc}".repeat(600)), None);
    }
}
