//! The actions of the account page: the values of its parameter `action`.
//!
//! [Specification](https://spec.matrix.org/v1.18/client-server-api/#account-management-url-actions).

use crate::config::Config;

/// An action of the account page that the server metadata lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountAction {
    /// The e-mail addresses, the phone numbers and the password.
    Profile,
    /// The list of devices.
    DevicesList,
    /// One device.
    DeviceView,
    /// Signing out a device.
    DeviceDelete,
    /// Deactivating the account.
    AccountDeactivate,
    /// Permitting the reset of the cross-signing keys.
    CrossSigningReset,
}

impl AccountAction {
    const ALL: [Self; 6] = [
        Self::Profile,
        Self::DevicesList,
        Self::DeviceView,
        Self::DeviceDelete,
        Self::AccountDeactivate,
        Self::CrossSigningReset,
    ];

    /// The names of the actions that the settings permit (OA-125).
    pub fn of(config: &Config) -> Vec<&'static str> {
        let possible = Self::ALL.into_iter().filter(|own| own.is_possible(config));
        possible.map(Self::as_str).collect()
    }

    /// Whether the settings permit the action.
    pub fn is_possible(self, config: &Config) -> bool {
        match self {
            Self::AccountDeactivate => config.deactivation,
            Self::CrossSigningReset => config.homeserver.is_some(),
            Self::Profile | Self::DevicesList | Self::DeviceView | Self::DeviceDelete => true,
        }
    }

    /// The value of the parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "org.matrix.profile",
            Self::DevicesList => "org.matrix.devices_list",
            Self::DeviceView => "org.matrix.device_view",
            Self::DeviceDelete => "org.matrix.device_delete",
            Self::AccountDeactivate => "org.matrix.account_deactivate",
            Self::CrossSigningReset => "org.matrix.cross_signing_reset",
        }
    }

    /// Parses the value of the parameter, which older clients spell in another way.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "org.matrix.sessions_list" => Some(Self::DevicesList),
            "org.matrix.session_view" => Some(Self::DeviceView),
            "org.matrix.session_end" => Some(Self::DeviceDelete),
            _ => Self::ALL.into_iter().find(|own| own.as_str() == text),
        }
    }
}
