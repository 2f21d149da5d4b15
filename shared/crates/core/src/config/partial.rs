//! Parts of the configuration, for programs that have only some of the settings.

use super::{
    CaptchaConfig, ConfigErrors, HomeserverConfig, PasswordConfig, flows, homeserver, parse::Raw,
    sender,
};
use crate::{password_hash::Pepper, secrets::KeyRing};

/// The settings that the admin CLI needs: the keys and the prefix of the table names.
pub fn read_keys(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<(KeyRing, String), ConfigErrors> {
    let mut raw = Raw::new(&lookup);
    match (raw.key_ring(), raw.table_prefix(), raw.into_errors()) {
        (Some(keys), Some(tables), errors) if errors.is_empty() => Ok((keys, tables)),
        (_, _, errors) => Err(ConfigErrors(errors)),
    }
}

/// The settings that a function needs to open the connection to DynamoDB before it has its keys: the prefix of
/// the table names, and whether to warm up.
pub fn read_tables(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<(String, bool), ConfigErrors> {
    let mut raw = Raw::new(&lookup);
    let (tables, warm_up) = (raw.table_prefix(), raw.flag("GATEHOUSE_WARM_UP"));
    match (tables, warm_up, raw.into_errors()) {
        (Some(tables), Some(warm_up), _) => Ok((tables, warm_up)),
        (_, _, errors) => Err(ConfigErrors(errors)),
    }
}

/// The settings of password hashing.
pub fn read_passwords(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<PasswordConfig, ConfigErrors> {
    let mut raw = Raw::new(&lookup);
    match (raw.passwords(), raw.into_errors()) {
        (Some(config), errors) if errors.is_empty() => Ok(config),
        (_, errors) => Err(ConfigErrors(errors)),
    }
}

/// Reads the captcha provider, if there is one.
pub fn read_captcha(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<CaptchaConfig>, ConfigErrors> {
    let mut raw = Raw::new(&lookup);
    let captcha = flows::read_captcha(&mut raw);
    match raw.into_errors() {
        errors if errors.is_empty() => Ok(captcha),
        errors => Err(ConfigErrors(errors)),
    }
}

/// Reads the homeserver, if there is one.
pub fn read_homeserver(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<HomeserverConfig>, ConfigErrors> {
    let mut raw = Raw::new(&lookup);
    let homeserver = homeserver::read(&mut raw);
    match (homeserver, raw.into_errors()) {
        (Some(homeserver), errors) if errors.is_empty() => Ok(homeserver),
        (_, errors) => Err(ConfigErrors(errors)),
    }
}

/// The address of a sender of e-mails in the format of `GATEHOUSE_MAIL_FROM`.
pub fn sender_address(text: &str) -> Option<String> {
    sender::header(text).map(|header| sender::address(&header).to_owned())
}

/// Reads the pepper of the server that users are imported from, if set.
pub fn read_imported_pepper(lookup: impl Fn(&str) -> Option<String>) -> Option<Pepper> {
    Raw::new(&lookup).imported_pepper()
}
