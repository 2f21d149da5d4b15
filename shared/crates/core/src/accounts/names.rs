//! Which names may be taken (REG-03 to REG-13, REG-35, AVAIL-02 to AVAIL-05).

use crate::{
    appservices::{Appservice, Appservices},
    config::Config,
    ids::{Localpart, LocalpartError},
    rng::Rng,
};

/// Random letters in a name nobody chose: 60 bits.
const GENERATED_CHARS: usize = 12;
/// Random digits in a guest's name: 53 bits.
const GUEST_DIGITS: usize = 16;
/// How often a generated name may fall into somebody's namespace before that is accepted as fate.
const GENERATE_TRIES: usize = 8;

/// Why a name may not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is no localpart.
    #[error(transparent)]
    Grammar(LocalpartError),
    /// It begins with `_`, as application services' names do (REG-35).
    #[error("the name begins with an underscore")]
    Underscore,
    /// It is all digits, as guests' names are (REG-35).
    #[error("the name is all digits")]
    Digits,
    /// The operator has reserved it.
    #[error("the name is reserved")]
    Reserved,
    /// It does not match the operator's pattern.
    #[error("the name does not match the pattern")]
    Policy,
    /// It is too short or too long for the operator.
    #[error("the name's length is not allowed")]
    Length,
    /// It is in an exclusive namespace of an application service (REG-12).
    #[error("the name is exclusive")]
    Exclusive,
    /// An application service asked for a name outside its namespaces (REG-12).
    #[error("the name is outside the namespace")]
    OutsideNamespace,
    /// Somebody has it (REG-11, REG-16).
    #[error("the name is taken")]
    Taken,
}

/// Checks a requested name against everything but the claim. `asking` is the application service
/// that requests it: its own namespace is its policy.
pub fn check_name(
    name: Localpart,
    config: &Config,
    appservices: &Appservices,
    asking: Option<&Appservice>,
) -> Result<Localpart, NameError> {
    let server = &config.server_name;
    if appservices.exclude(&name, asking, server) {
        return Err(NameError::Exclusive);
    }
    match asking {
        Some(asking) if asking.may_use(&name, server) => Ok(name),
        Some(_) => Err(NameError::OutsideNamespace),
        None => obey_policy(name, config),
    }
}

fn obey_policy(name: Localpart, config: &Config) -> Result<Localpart, NameError> {
    let (text, policy) = (name.as_str(), &config.names);
    if text.starts_with('_') {
        return Err(NameError::Underscore);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NameError::Digits);
    }
    if policy.reserved.iter().any(|reserved| reserved == text) {
        return Err(NameError::Reserved);
    }
    if !(policy.length.0..=policy.length.1).contains(&text.len()) {
        return Err(NameError::Length);
    }
    if policy
        .pattern
        .as_ref()
        .is_some_and(|pattern| !pattern.is_match(text))
    {
        return Err(NameError::Policy);
    }
    Ok(name)
}

/// A name for a user who chose none (REG-09).
pub fn generate(
    config: &Config,
    appservices: &Appservices,
    rng: &dyn Rng,
) -> Result<Localpart, NameError> {
    random_name(config, appservices, || {
        rng.text(b"abcdefghijklmnopqrstuvwxyz234567", GENERATED_CHARS)
    })
}

/// A guest's name: digits alone, which nobody can choose (GUEST-05).
pub fn generate_guest(
    config: &Config,
    appservices: &Appservices,
    rng: &dyn Rng,
) -> Result<Localpart, NameError> {
    random_name(config, appservices, || {
        rng.text(b"0123456789", GUEST_DIGITS)
    })
}

fn random_name(
    config: &Config,
    appservices: &Appservices,
    text: impl Fn() -> String,
) -> Result<Localpart, NameError> {
    let mut verdict = Err(NameError::Exclusive);
    for _ in 0..GENERATE_TRIES {
        let name = Localpart::parse(&text(), &config.server_name).map_err(NameError::Grammar)?;
        if !appservices.exclude(&name, None, &config.server_name) {
            verdict = Ok(name);
            break;
        }
    }
    verdict
}
