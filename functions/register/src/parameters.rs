//! The members of a registration's body, and how those of several requests come together.

use serde::{Deserialize, Serialize};
use shared::{
    devices,
    error::{ErrorCode, MatrixError},
    http::Body,
    ids::DeviceId,
};

/// No guest access token is longer.
const MAX_TOKEN_BYTES: usize = 2048;

/// What a client asks for. All of it is remembered in the UIA session (UIA-19), sealed.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// The name, as typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password (REG-23: may come at any step).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The device's id; the empty one is absent (REG-17).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// What a new device is called (REG-19).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_device_display_name: Option<String>,
    /// Whether no device and no tokens are wanted (REG-20).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inhibit_login: Option<bool>,
    /// Whether the client can refresh tokens (TOK-16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<bool>,
    /// The token of the guest who is to become this user (GUEST-08).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_access_token: Option<String>,
    /// r0: whether to bind the e-mail address at the identity server that validated it (REG-26).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_email: Option<bool>,
    /// r0: whether to bind the phone number there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_msisdn: Option<bool>,
}

shared::opaque_debug!(Parameters);

impl Parameters {
    /// Reads a body: types and sizes (HTTP-16). Names and passwords are judged later.
    pub fn parse(body: &Body) -> Result<Self, MatrixError> {
        let device_id = devices::id_in(body)?;
        let display_name = devices::name_in(body, "initial_device_display_name")?;
        let guest_access_token = body.optional::<String>("guest_access_token")?;
        if guest_access_token
            .as_ref()
            .is_some_and(|token| token.len() > MAX_TOKEN_BYTES)
        {
            return Err(invalid("`guest_access_token` is too long"));
        }
        Ok(Self {
            username: body.optional("username")?,
            password: body.optional("password")?,
            device_id,
            initial_device_display_name: display_name,
            inhibit_login: body.optional("inhibit_login")?,
            refresh_token: body.optional("refresh_token")?,
            guest_access_token,
            bind_email: body.optional("bind_email")?,
            bind_msisdn: body.optional("bind_msisdn")?,
        })
    }

    /// These parameters on top of remembered ones: present replaces, absent keeps (UIA-19, UIA-20,
    /// REG-36).
    #[must_use]
    pub fn over(self, remembered: Self) -> Self {
        Self {
            username: self.username.or(remembered.username),
            password: self.password.or(remembered.password),
            device_id: self.device_id.or(remembered.device_id),
            initial_device_display_name: self
                .initial_device_display_name
                .or(remembered.initial_device_display_name),
            inhibit_login: self.inhibit_login.or(remembered.inhibit_login),
            refresh_token: self.refresh_token.or(remembered.refresh_token),
            guest_access_token: self.guest_access_token.or(remembered.guest_access_token),
            bind_email: self.bind_email.or(remembered.bind_email),
            bind_msisdn: self.bind_msisdn.or(remembered.bind_msisdn),
        }
    }
}

fn invalid(message: &'static str) -> MatrixError {
    MatrixError::new(ErrorCode::InvalidParam, message)
}
