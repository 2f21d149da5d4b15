//! The local defaults of settings. A variable that is set takes precedence.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use shared::rng::Rng;

/// A lookup of settings by name.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The generated and default settings for local use, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults(Vec<(&'static str, String)>);

impl Defaults {
    /// The local defaults for a server that clients reach at `public_url`. The secret is generated. With a data
    /// directory, it is generated once and then read from there.
    pub fn new(public_url: &str, data: Option<&Path>, rng: &dyn Rng) -> Result<Self> {
        Ok(Self(vec![
            ("GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION", "true".to_owned()),
            (
                "GATEHOUSE_MAIL_FROM",
                "Gatehouse <gatehouse@localhost.example>".to_owned(),
            ),
            ("GATEHOUSE_PUBLIC_URL", public_url.to_owned()),
            ("GATEHOUSE_REGISTRATION", "open".to_owned()),
            (
                "GATEHOUSE_REGISTRATION_FLOWS",
                "m.login.dummy m.login.email.identity m.login.msisdn".to_owned(),
            ),
            ("GATEHOUSE_SECRET", secret(data, rng)?),
            ("GATEHOUSE_SERVER_NAME", "localhost".to_owned()),
            ("GATEHOUSE_SMS_COUNTRIES", "DE GB US".to_owned()),
        ]))
    }

    /// A lookup that takes the default of each setting that `lookup` does not have.
    pub fn under(&self, lookup: Lookup) -> Lookup {
        let defaults = self.0.clone();
        Arc::new(move |name| {
            lookup(name).or_else(|| {
                let default = defaults.iter().find(|(default, _)| *default == name);
                default.map(|(_, value)| value.clone())
            })
        })
    }

    /// The settings that `lookup` does not have, with their default values.
    pub fn applied<'a>(
        &'a self,
        lookup: &'a Lookup,
    ) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.0
            .iter()
            .filter(|(name, _)| lookup(name).is_none())
            .map(|(name, value)| (*name, value.as_str()))
    }
}

/// The secret in the data directory, or a new secret. Only the owner of the file can read it.
fn secret(data: Option<&Path>, rng: &dyn Rng) -> Result<String> {
    let new = || {
        let mut bytes = [0; 32];
        rng.fill(&mut bytes);
        BASE64_STANDARD.encode(bytes)
    };
    let Some(file) = data.map(|data| data.join("secret")) else {
        return Ok(new());
    };
    match fs::read_to_string(&file) {
        Ok(secret) => return Ok(secret.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    }
    let secret = new();
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut file| {
            file.write_all(secret.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .with_context(|| file.display().to_string())?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use shared::rng::SystemRng;

    use super::*;

    #[test]
    fn a_variable_that_is_set_takes_precedence() {
        let defaults = Defaults::new("http://127.0.0.1:8008", None, &SystemRng).expect("defaults");
        let set: Lookup =
            Arc::new(|name| (name == "GATEHOUSE_SERVER_NAME").then(|| "example.org".to_owned()));
        let lookup = defaults.under(Arc::clone(&set));
        assert_eq!(
            lookup("GATEHOUSE_SERVER_NAME").as_deref(),
            Some("example.org")
        );
        assert_eq!(lookup("GATEHOUSE_REGISTRATION").as_deref(), Some("open"));
        assert_eq!(lookup("GATEHOUSE_TABLES"), None);
        assert!(
            defaults
                .applied(&set)
                .all(|(name, _)| name != "GATEHOUSE_SERVER_NAME")
        );
    }
}
