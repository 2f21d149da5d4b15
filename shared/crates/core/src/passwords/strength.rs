//! The strength of a new password, as zxcvbn scores it, at a bounded cost.
//!
//! zxcvbn looks up every part of the password in its dictionaries, once for each combination of letters that the
//! characters may stand for. Any client can request a score before it has completed any stage, so both the number of
//! parts and the number of combinations are bounded.

use crate::{metrics, secrets::Secret};

/// The maximum number of characters that are scored. The number of parts grows with the square of the length.
pub(super) const SCORED_CHARS: usize = 32;

/// The maximum number of combinations of letters. All digits together have twelve.
const MAX_COMBINATIONS: usize = 32;

/// The characters that zxcvbn reads as a letter, for each letter that has such characters (its `L33T_TABLE`).
const SUBSTITUTES: [&str; 12] = [
    "4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2",
];

/// The score of a normalised password, from 0 to 4. `own` contains strings related to the user.
pub(super) fn score(password: &Secret, own: &[&str]) -> u8 {
    let scored = scored_part(password.reveal());
    metrics::scoring(|| u8::from(zxcvbn::zxcvbn(scored.reveal(), own).score()))
}

/// The part of a password that is scored: its first characters, without those characters with which it would have
/// too many combinations of letters. Only a password with at least five different signs loses any of them.
fn scored_part(password: &str) -> Secret {
    let mut present = String::new();
    let mut scored = String::new();
    for c in password.chars().take(SCORED_CHARS) {
        if SUBSTITUTES.iter().any(|signs| signs.contains(c)) && !present.contains(c) {
            present.push(c);
            if combinations(&present) > MAX_COMBINATIONS {
                present.pop();
                continue;
            }
        }
        scored.push(c);
    }
    Secret::new(scored)
}

/// An upper bound of the number of combinations that zxcvbn tries for a password with these signs. A sign that may
/// stand for two letters counts twice for the second letter.
fn combinations(present: &str) -> usize {
    let weight = |(number, signs): (usize, &&str)| {
        let is_earlier = |c: char| {
            SUBSTITUTES
                .iter()
                .take(number)
                .any(|other| other.contains(c))
        };
        let own = signs.chars().filter(|c| present.contains(*c));
        own.map(|c| if is_earlier(c) { 2 } else { 1 })
            .sum::<usize>()
            .max(1)
    };
    SUBSTITUTES.iter().enumerate().map(weight).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(password: &str) -> String {
        scored_part(password).reveal().clone()
    }

    #[test]
    fn a_usual_password_is_scored_unchanged() {
        for password in [
            "",
            "correct horse battery staple",
            "1234567890",
            "P@$$w0rd!",
            "Tr0ub4dor&3",
            "4ll y0ur b4se 4re bel0ng t0 us!",
            "ein schönes Wort 日本語 🙂",
        ] {
            assert_eq!(scored(password), password);
        }
    }

    #[test]
    fn the_scored_part_has_a_bounded_length_and_combinations() {
        assert_eq!(scored(&"a".repeat(100)), "a".repeat(SCORED_CHARS));
        let all = "4@8({[<3691!|70$5+%2";
        assert!(combinations(all) > 1000);
        let part = scored(all);
        assert!(combinations(&part) <= MAX_COMBINATIONS);
        assert!(part.len() >= 12, "{part}");
        // Characters after the first one that is left out are still scored.
        assert!(scored("1!|7+({[<password").ends_with("password"));
        assert_eq!(combinations("1234567890"), 12);
    }
}
