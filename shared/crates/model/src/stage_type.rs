//! The stages of User-Interactive Authentication by name.

use serde::{Deserialize, Serialize};

use crate::threepid::Medium;

/// A stage that this server can offer. The removed stages of r0, `m.login.token` and
/// `m.login.oauth2`, are not among them (UIA-30).
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

    /// The stage of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }

    /// The stage that validates a 3PID of this medium.
    pub const fn of_medium(medium: Medium) -> Self {
        match medium {
            Medium::Email => Self::Email,
            Medium::Msisdn => Self::Msisdn,
        }
    }

    /// The medium of the 3PID that the stage validates.
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

    /// The name of the stage in the Matrix specification.
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

    /// Whether the stage keeps bots from registering accounts in large numbers.
    pub const fn verifies(self) -> bool {
        match self {
            Self::Email | Self::Msisdn | Self::Recaptcha | Self::RegistrationToken => true,
            Self::Dummy | Self::Password | Self::Terms => false,
        }
    }

    /// Whether clients poll until the stage is completed.
    pub const fn is_polled(self) -> bool {
        self.medium().is_some()
    }

    /// Whether an external service accepts the client's response only once.
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

    /// Whether an attempt can be rejected because a concurrent duplicate of the request has used the same response,
    /// token or validation session.
    pub const fn is_refused_after_duplicate(self) -> bool {
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
    fn every_stage_is_found_by_its_name() {
        // The test does not compile until a new variant is added here, and fails until `ALL` contains the variant.
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
    fn uia_30_the_removed_stages_of_r0_are_unknown() {
        for name in ["m.login.token", "m.login.oauth2", ""] {
            assert_eq!(StageType::parse(name), None, "{name}");
        }
    }
}
