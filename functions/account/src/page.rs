//! The pages, and the parameters of the URL that select one. A parameter only selects a page (OA-128).

use shared::{
    config::Config, http::Query, ids::DeviceId, oauth::AccountAction, oauth_pages,
    threepid_validation,
};

use crate::PATH;

/// The value of `action` of the page for a new password. The specification has no action for it.
const PASSWORD: &str = "password";

/// The value of `action` of the page that confirms a new 3PID.
const CONFIRM: &str = "confirm";

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    /// The links to the other pages.
    Start,
    /// The 3PIDs.
    Profile,
    /// The form that confirms a new 3PID, with the ID of its validation session.
    ConfirmAddress(String),
    /// The form for a new password.
    Password,
    /// The list of devices.
    Devices,
    /// One device.
    Device(DeviceId),
    /// The question before a device is signed out.
    SignOut(DeviceId),
    /// The question before the account is deactivated.
    Deactivate,
    /// The question before the reset of the cross-signing keys is permitted.
    CrossSigning,
}

impl Page {
    /// The page that a query selects. An unknown action, an action that the settings do not permit, and a missing or
    /// invalid device ID select the start page (OA-127).
    pub(crate) fn parse(config: &Config, query: &Query) -> Self {
        let Some(name) = query.get("action") else {
            return Self::Start;
        };
        if name == PASSWORD && config.password_changes {
            return Self::Password;
        }
        if name == CONFIRM {
            return Self::confirm(query).unwrap_or(Self::Start);
        }
        let action = AccountAction::parse(name).filter(|action| action.is_possible(config));
        let device = query.get("device_id").and_then(DeviceId::parse);
        match (action, device) {
            (Some(AccountAction::Profile), _) => Self::Profile,
            (Some(AccountAction::DevicesList), _) => Self::Devices,
            (Some(AccountAction::DeviceView), Some(id)) => Self::Device(id),
            (Some(AccountAction::DeviceDelete), Some(id)) => Self::SignOut(id),
            (Some(AccountAction::AccountDeactivate), _) => Self::Deactivate,
            (Some(AccountAction::CrossSigningReset), _) => Self::CrossSigning,
            (Some(AccountAction::DeviceView | AccountAction::DeviceDelete) | None, _) => {
                Self::Start
            }
        }
    }

    /// The form that confirms a new 3PID, for the validation session that a query or a form names.
    pub(crate) fn confirm(query: &Query) -> Option<Self> {
        let sid = query.get("sid")?;
        threepid_validation::is_opaque_id(sid).then(|| Self::ConfirmAddress(sid.to_owned()))
    }

    /// The query that selects the page.
    pub(crate) fn query(&self) -> String {
        let (action, parameter) = match self {
            Self::Start => return String::new(),
            Self::Password => (PASSWORD, None),
            Self::ConfirmAddress(sid) => (CONFIRM, Some(("sid", sid.as_str()))),
            Self::Profile => (AccountAction::Profile.as_str(), None),
            Self::Devices => (AccountAction::DevicesList.as_str(), None),
            Self::Device(id) => (
                AccountAction::DeviceView.as_str(),
                Some(("device_id", id.as_str())),
            ),
            Self::SignOut(id) => (
                AccountAction::DeviceDelete.as_str(),
                Some(("device_id", id.as_str())),
            ),
            Self::Deactivate => (AccountAction::AccountDeactivate.as_str(), None),
            Self::CrossSigning => (AccountAction::CrossSigningReset.as_str(), None),
        };
        let pairs: Vec<_> = [("action", action)].into_iter().chain(parameter).collect();
        oauth_pages::query_of(&pairs)
    }

    /// The URL of the page.
    pub(crate) fn url(&self, config: &Config) -> String {
        let path = oauth_pages::path_of(config, PATH);
        match self.query() {
            query if query.is_empty() => path,
            query => format!("{path}?{query}"),
        }
    }

    /// Whether the page is the last one before a change, so that the user must have entered the password recently.
    pub(crate) const fn requires_password(&self) -> bool {
        match self {
            Self::Start | Self::Profile | Self::Devices | Self::Device(_) => false,
            Self::Password
            | Self::ConfirmAddress(_)
            | Self::SignOut(_)
            | Self::Deactivate
            | Self::CrossSigning => true,
        }
    }
}
