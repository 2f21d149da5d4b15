//! The local defaults of settings. A variable that is set takes precedence.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use shared::{rng::Rng, secrets::MIN_ROOT_BYTES};

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

/// The secret in the data directory, or a new secret. Only the owner of the file can read it. The file is written
/// under another name and renamed, so that a full disk or a killed process leaves no incomplete file.
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
        Ok(secret) => {
            let secret = secret.trim();
            ensure!(
                secret.len() >= MIN_ROOT_BYTES,
                "{} contains no secret; restore it, or delete it together with the tables in its directory",
                file.display()
            );
            return Ok(secret.to_owned());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    }
    let secret = new();
    let temporary = file.with_extension("new");
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(secret.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, &file));
    written.with_context(|| format!("cannot write {}", file.display()))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use shared::rng::SystemRng;

    use super::*;
    use crate::runtime::temp_dir::TempDir;

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

    #[test]
    fn a_secret_is_written_completely_or_not_at_all() {
        let directory = TempDir::new();
        let data = Some(directory.path());
        // A process that was killed while it wrote the secret.
        fs::write(directory.path().join("secret.new"), "half").expect("a file");
        let first = secret(data, &SystemRng).expect("a secret");
        assert_eq!(secret(data, &SystemRng).expect("the same"), first);
        assert!(!directory.path().join("secret.new").exists());
    }

    #[test]
    fn an_unusable_secret_is_an_error_that_names_the_file() {
        let directory = TempDir::new();
        let file = directory.path().join("secret");
        for unusable in ["", "\n", "too short"] {
            fs::write(&file, unusable).expect("a file");
            let error = secret(Some(directory.path()), &SystemRng).expect_err("no secret");
            let named = format!("{} contains no secret", file.display());
            assert!(error.to_string().starts_with(&named), "{error}");
        }
        // A directory cannot be replaced, as on a file system that is full or read-only.
        fs::remove_file(&file).expect("the file");
        fs::create_dir(directory.path().join("secret.new")).expect("a directory");
        let error = secret(Some(directory.path()), &SystemRng).expect_err("not written");
        assert!(format!("{error:#}").contains(&file.display().to_string()));
        assert!(!file.exists());
    }
}
