//! The settings of the admin CLI: the environment variables, or those of a test.

use std::{collections::BTreeMap, fmt};

use aws_config::SdkConfig;
use shared::key_ring::{KeyRingError, KeySettings, MEMBERS};

/// Variables and their values. A variable with an empty value is treated as unset.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Creates an environment with these variables.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter();
        Self(variables.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Replaces the ARN of the secret by the settings that the secret contains.
    pub async fn with_secrets(self, aws: &SdkConfig) -> Result<Self, KeyRingError> {
        let lookup = |name: &str| self.get(name);
        let secrets = KeySettings::fetch(aws, lookup).await?;
        let found = secrets.over(lookup);
        let members = MEMBERS.iter().map(|(_, setting)| (*setting).to_owned());
        let names = self.names().chain(members);
        Ok(Self::of(names.filter_map(|name| {
            let value = found(&name)?;
            Some((name, value))
        })))
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// The names of all variables that are set.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.keys().cloned()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment(…)")
    }
}
