//! The rules for names of new accounts (REG-03 to REG-13, REG-35, AVAIL-02 to AVAIL-05).

use crate::{
    appservices::{Appservice, Appservices},
    config::Config,
    ids::{Localpart, LocalpartError},
    rng::Rng,
};

/// The number of random characters in a generated name: 60 bits.
const GENERATED_CHARS: usize = 12;
/// The number of random digits in the name of a guest: 53 bits.
const GUEST_DIGITS: usize = 16;
/// The maximum number of names that are generated for a user. Generation fails if all of them are in exclusive
/// namespaces.
const GENERATE_TRIES: usize = 8;

/// The reason why a name may not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is not a valid localpart.
    #[error(transparent)]
    Grammar(LocalpartError),
    /// The name begins with `_`, like the names of application services (REG-35).
    #[error("the name begins with an underscore")]
    Underscore,
    /// The name consists of digits, like the names of guests (REG-35).
    #[error("the name consists of digits only")]
    Digits,
    /// The operator has reserved the name.
    #[error("the name is reserved")]
    Reserved,
    /// The name does not match the operator's pattern.
    #[error("the name does not match the pattern")]
    Policy,
    /// The name is shorter or longer than the operator allows.
    #[error("the length of the name is not allowed")]
    Length,
    /// The name is in an exclusive namespace of an application service (REG-12).
    #[error("the name is in an exclusive namespace")]
    Exclusive,
    /// The name is outside of the namespaces of the application service that requested it (REG-12).
    #[error("the name is outside of the application service's namespaces")]
    OutsideNamespace,
    /// The name belongs to another account (REG-11, REG-16).
    #[error("the name is taken")]
    Taken,
}

/// Checks a name that the client chose against all rules, but not whether the name is free. `requester` is the
/// application service that requests it, if any: its namespaces apply instead of the operator's policy.
pub fn check_name(
    name: Localpart,
    config: &Config,
    appservices: &Appservices,
    requester: Option<&Appservice>,
) -> Result<Localpart, NameError> {
    let server = &config.server_name;
    if appservices.exclude(&name, requester, server) {
        return Err(NameError::Exclusive);
    }
    match requester {
        Some(requester) if requester.may_use(&name, server) => Ok(name),
        Some(_) => Err(NameError::OutsideNamespace),
        None => check_policy(name, config),
    }
}

fn check_policy(name: Localpart, config: &Config) -> Result<Localpart, NameError> {
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

/// A random name for a client that chose none (REG-09).
pub fn generate(
    config: &Config,
    appservices: &Appservices,
    rng: &dyn Rng,
) -> Result<Localpart, NameError> {
    random_name(config, appservices, || {
        rng.text(b"abcdefghijklmnopqrstuvwxyz234567", GENERATED_CHARS)
    })
}

/// A random name for a guest: digits only, a form that no client can choose (GUEST-05).
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
    let mut outcome = Err(NameError::Exclusive);
    for _ in 0..GENERATE_TRIES {
        let name = Localpart::parse(&text(), &config.server_name).map_err(NameError::Grammar)?;
        if !appservices.exclude(&name, None, &config.server_name) {
            outcome = Ok(name);
            break;
        }
    }
    outcome
}
