//! The parameters of a registration.

use crate::{
    devices,
    error::{ErrorCode, MatrixError},
    http::Body,
    ids::DeviceId,
    secrets::Secret,
    uia::{ParametersChangedError, RequestParameters, sealed_secret},
};
use serde::{Deserialize, Serialize};

/// The maximum length of a guest access token. Every valid token is shorter.
const MAX_TOKEN_BYTES: usize = 2048;

/// The parameters of a registration. They are serialised only into the sealed state of the UIA
/// session (UIA-19).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// The username, as the client sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password. It may be sent at any step (REG-23).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "sealed_secret"
    )]
    pub password: Option<Secret>,
    /// The device ID. An empty ID is treated as absent (REG-17).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    /// The display name of a new device (REG-19).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_device_display_name: Option<String>,
    /// Whether the response must have no device and no tokens (REG-20).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inhibit_login: Option<bool>,
    /// Whether the client can refresh tokens (TOK-16).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<bool>,
    /// The access token of the guest who becomes this user (GUEST-08).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "sealed_secret"
    )]
    pub guest_access_token: Option<Secret>,
    /// r0: whether to bind the e-mail address at the identity server that validated it (REG-26).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_email: Option<bool>,
    /// r0: whether to bind the phone number at the identity server that validated it (REG-26).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_msisdn: Option<bool>,
}

crate::opaque_debug!(Parameters);

impl Parameters {
    /// Reads a body and checks types and sizes (HTTP-16). Names and passwords are checked later.
    pub fn parse(body: &Body) -> Result<Self, MatrixError> {
        let device_id = devices::device_id(body)?;
        let display_name = devices::display_name(body, "initial_device_display_name")?;
        let guest_access_token = secret(body, "guest_access_token")?;
        if guest_access_token
            .as_ref()
            .is_some_and(|token| token.reveal().len() > MAX_TOKEN_BYTES)
        {
            return Err(MatrixError::new(
                ErrorCode::InvalidParam,
                "`guest_access_token` is too long",
            ));
        }
        Ok(Self {
            username: body.optional("username")?,
            password: secret(body, "password")?,
            device_id,
            initial_device_display_name: display_name,
            inhibit_login: body.optional("inhibit_login")?,
            refresh_token: body.optional("refresh_token")?,
            guest_access_token,
            bind_email: body.optional("bind_email")?,
            bind_msisdn: body.optional("bind_msisdn")?,
        })
    }
}

impl RequestParameters for Parameters {
    /// A parameter of a later request replaces the stored value. An absent parameter keeps it (UIA-19,
    /// UIA-20, REG-36).
    fn merge(self, remembered: Self) -> Result<Self, ParametersChangedError> {
        Ok(Self {
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
        })
    }
}

fn secret(body: &Body, name: &'static str) -> Result<Option<Secret>, MatrixError> {
    Ok(body.optional::<String>(name)?.map(Secret::new))
}
