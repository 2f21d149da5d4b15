//! The stage types of User-Interactive Authentication (UIA).

use serde::{Deserialize, Serialize};

use crate::threepid::Medium;

/// A stage that this server can offer. `m.login.token` and `m.login.oauth2`, which r0 of the specification had,
/// are not supported (UIA-30).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StageType {
    /// `m.login.dummy`
    #[serde(rename = "m.login.dummy")]
    Dummy,
    /// `m.login.email.identity`
    #[serde(rename = "m.login.email.identity")]
    Email,
    /// `m.login.msisdn`
    #[serde(rename = "m.login.msisdn")]
    Msisdn,
    /// `m.login.password`
    #[serde(rename = "m.login.password")]
    Password,
    /// `m.login.recaptcha`
    #[serde(rename = "m.login.recaptcha")]
    Recaptcha,
    /// `m.login.registration_token`
    #[serde(rename = "m.login.registration_token")]
    RegistrationToken,
    /// `m.login.terms`
    #[serde(rename = "m.login.terms")]
    Terms,
}

impl StageType {
    const ALL: [Self; 7] = [
        Self::Dummy,
        Self::Email,
        Self::Msisdn,
        Self::Password,
        Self::Recaptcha,
        Self::RegistrationToken,
        Self::Terms,
    ];

    /// The stage with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }

    /// The stage that validates an address of this medium.
    pub const fn of_medium(medium: Medium) -> Self {
        match medium {
            Medium::Email => Self::Email,
            Medium::Msisdn => Self::Msisdn,
        }
    }

    /// The medium of the address that this stage validates, if it validates one.
    pub const fn medium(self) -> Option<Medium> {
        match self {
            Self::Email => Some(Medium::Email),
            Self::Msisdn => Some(Medium::Msisdn),
            Self::Dummy
            | Self::Password
            | Self::Recaptcha
            | Self::RegistrationToken
            | Self::Terms => None,
        }
    }

    /// The name in requests and responses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dummy => "m.login.dummy",
            Self::Email => "m.login.email.identity",
            Self::Msisdn => "m.login.msisdn",
            Self::Password => "m.login.password",
            Self::Recaptcha => "m.login.recaptcha",
            Self::RegistrationToken => "m.login.registration_token",
            Self::Terms => "m.login.terms",
        }
    }

    /// Whether the stage prevents automated mass registration.
    pub const fn verifies(self) -> bool {
        match self {
            Self::Email | Self::Msisdn | Self::Recaptcha | Self::RegistrationToken => true,
            Self::Dummy | Self::Password | Self::Terms => false,
        }
    }

    /// Whether clients poll until the user has completed the stage outside of the client.
    pub const fn is_polled(self) -> bool {
        self.medium().is_some()
    }

    /// Whether a third party accepts the credential of the stage only once.
    pub const fn is_single_use(self) -> bool {
        match self {
            Self::Recaptcha => true,
            Self::Dummy
            | Self::Email
            | Self::Msisdn
            | Self::Password
            | Self::RegistrationToken
            | Self::Terms => false,
        }
    }

    /// Whether a concurrent duplicate of the request can consume the credential and thereby cause the rejection
    /// of this request.
    pub const fn is_consumed_by_duplicate(self) -> bool {
        match self {
            Self::Email | Self::Msisdn | Self::Recaptcha | Self::RegistrationToken => true,
            Self::Dummy | Self::Password | Self::Terms => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_parsed_from_its_name() {
        // A new variant breaks this `match` at compile time, and the test fails until `ALL` contains the
        // variant.
        let count = |stage: StageType| match stage {
            StageType::Dummy
            | StageType::Email
            | StageType::Msisdn
            | StageType::Password
            | StageType::Recaptcha
            | StageType::RegistrationToken
            | StageType::Terms => 7,
        };
        assert_eq!(StageType::ALL.len(), count(StageType::Dummy));
        for stage in StageType::ALL {
            assert_eq!(StageType::parse(stage.as_str()), Some(stage));
        }
    }

    #[test]
    fn uia_30_removed_stages_of_r0_are_rejected() {
        for name in ["m.login.token", "m.login.oauth2", ""] {
            assert_eq!(StageType::parse(name), None, "{name}");
        }
    }
}
