//! Examples of user IDs that a regular expression matches.
//!
//! The search for conflicts needs names that are in a namespace. It builds them from the syntax tree of the
//! expression, and the expression itself then decides whether they match.

use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind, Repetition},
};

/// The maximum number of examples of an expression and of each part of it.
const MAX_SAMPLES: usize = 256;
/// The maximum length of an example. No longer name can be registered.
const MAX_BYTES: usize = 255;
/// The characters of user IDs, the most readable ones first. A class of characters is represented by its first one.
const ALPHABET: &[u8] = b"a0_bcdefghijklmnopqrstuvwxyz123456789.-=/+@:[]ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Texts that the expression matches.
pub(super) struct Samples {
    pub(super) texts: Vec<String>,
    /// Whether there are other texts, which have no example.
    pub(super) is_complete: bool,
}

/// Builds examples. Returns `None` if the syntax tree cannot be built.
pub(super) fn of(regex: &str) -> Option<Samples> {
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    let hir = parser.parse(regex).ok()?;
    let mut builder = Builder { is_complete: true };
    let texts = builder.texts(&hir);
    let texts = texts
        .into_iter()
        .filter_map(|text| String::from_utf8(text).ok());
    Some(Samples {
        texts: texts.collect(),
        is_complete: builder.is_complete,
    })
}

struct Builder {
    is_complete: bool,
}

impl Builder {
    fn texts(&mut self, hir: &Hir) -> Vec<Vec<u8>> {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
            HirKind::Literal(literal) => vec![literal.0.to_vec()],
            HirKind::Class(class) => {
                let mut bytes = ALPHABET.iter().filter(|byte| contains(class, **byte));
                bytes.next().map(|byte| vec![*byte]).into_iter().collect()
            }
            HirKind::Repetition(repetition) => self.repeated(repetition),
            HirKind::Capture(capture) => self.texts(&capture.sub),
            HirKind::Concat(parts) => {
                let mut all = vec![Vec::new()];
                for part in parts {
                    let next = self.texts(part);
                    let pairs = all.iter().flat_map(|start: &Vec<u8>| {
                        next.iter().map(move |end| [start.as_slice(), end].concat())
                    });
                    all = self.bounded(pairs);
                }
                all
            }
            HirKind::Alternation(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    let next = self.texts(part);
                    all = self.bounded(all.into_iter().chain(next));
                }
                all
            }
        }
    }

    /// Examples with one occurrence, or with the minimum if it is greater. If the minimum is zero, the empty text is an
    /// example too.
    fn repeated(&mut self, repetition: &Repetition) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if repetition.max != Some(0) {
            let times = usize::try_from(repetition.min.max(1)).unwrap_or(usize::MAX);
            let once = self.texts(&repetition.sub).into_iter();
            all.extend(
                once.filter(|text| text.len().saturating_mul(times) <= MAX_BYTES)
                    .map(|text| text.repeat(times)),
            );
        }
        if repetition.min == 0 {
            all.push(Vec::new());
        }
        all
    }

    fn bounded(&mut self, texts: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        let mut texts: Vec<_> = texts
            .filter(|text| text.len() <= MAX_BYTES)
            .take(MAX_SAMPLES + 1)
            .collect();
        if texts.len() > MAX_SAMPLES {
            texts.truncate(MAX_SAMPLES);
            self.is_complete = false;
        }
        texts
    }
}

fn contains(class: &Class, byte: u8) -> bool {
    match class {
        Class::Bytes(class) => {
            let mut ranges = class.iter();
            ranges.any(|range| (range.start()..=range.end()).contains(&byte))
        }
        Class::Unicode(class) => {
            let c = char::from(byte);
            let mut ranges = class.iter();
            ranges.any(|range| (range.start()..=range.end()).contains(&c))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_follow_the_syntax() {
        for (regex, expected) in [
            ("@irc_.*", &["@irc_a", "@irc_"][..]),
            ("^@(x1|y)[0-9]{2}$", &["@x100", "@y00"]),
            (r"@tg_\d+:example\.org", &["@tg_0:example.org"]),
            ("(?i)@A", &["@a"]),
            ("@[A-Z]", &["@A"]),
            ("@[^\\x00-\\x7f]", &[]),
        ] {
            assert_eq!(of(regex).unwrap().texts, expected, "{regex}");
        }
        assert!(of("(").is_none());
    }

    #[test]
    fn the_number_of_examples_is_bounded() {
        let many = of(&"(a|b)?".repeat(40)).unwrap();
        assert_eq!((many.texts.len(), many.is_complete), (MAX_SAMPLES, false));
        assert!(of("((a{200}){200}){200}").unwrap().texts.is_empty());
    }
}
