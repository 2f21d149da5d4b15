//! The metadata of this server: the endpoints and the features of the OAuth 2.0 API.
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#server-metadata-discovery),
//! [RFC 8414](https://www.rfc-editor.org/rfc/rfc8414). Every value comes from settings (OA-06).

use serde::Serialize;

use super::{AccountAction, GrantType};
use crate::{
    config::{Config, Registration},
    stage_type::StageType,
};

/// The metadata. It has no key set, no endpoint for user information and no members of ID tokens, because this server
/// issues no ID tokens (OA-08).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerMetadata {
    /// The URL of this server with one slash at its end. Clients resolve other URLs relative to it, and without the slash
    /// the last segment of its path would be lost (OA-05).
    pub issuer: String,
    /// The account page. It has no query, because the homeserver appends one (OA-140).
    pub account_management_uri: String,
    /// The members of the OAuth 2.0 API.
    #[serde(flatten)]
    pub authorization: Option<AuthorizationMembers>,
}

/// The members that exist only while the OAuth 2.0 API is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuthorizationMembers {
    /// The page for authorization requests.
    pub authorization_endpoint: String,
    /// The endpoint that issues tokens.
    pub token_endpoint: String,
    /// The endpoint that revokes tokens.
    pub revocation_endpoint: String,
    /// The endpoint that registers clients.
    pub registration_endpoint: String,
    /// The endpoint of the device authorization grant, if the grant is on (OA-112).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_authorization_endpoint: Option<String>,
    /// The response types.
    pub response_types_supported: [&'static str; 1],
    /// The parts of a redirect URI that can carry a response.
    pub response_modes_supported: [&'static str; 2],
    /// The grants.
    pub grant_types_supported: Vec<GrantType>,
    /// The methods of PKCE.
    pub code_challenge_methods_supported: [&'static str; 1],
    /// The scopes, without the scope of a device, which contains its ID.
    pub scopes_supported: [&'static str; 2],
    /// The actions of the account page (OA-125).
    pub account_management_actions_supported: Vec<&'static str>,
    /// The authentication methods of clients at the token endpoint.
    pub token_endpoint_auth_methods_supported: [&'static str; 1],
    /// The authentication methods of clients at the revocation endpoint.
    pub revocation_endpoint_auth_methods_supported: [&'static str; 1],
    /// Whether a response to an authorization request has the parameter `iss`.
    pub authorization_response_iss_parameter_supported: bool,
    /// The prompts. Absent while nobody can register: a client must then offer no registration (OA-03).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_values_supported: Option<[&'static str; 1]>,
}

impl ServerMetadata {
    /// The metadata of a server with these settings. `None` if it serves neither the OAuth 2.0 API nor a homeserver.
    pub fn of(config: &Config) -> Option<Self> {
        let url = &config.public_url;
        let authorization = config
            .oauth
            .apis
            .include_oauth()
            .then(|| AuthorizationMembers::of(config));
        (authorization.is_some() || config.homeserver.is_some()).then(|| Self {
            issuer: issuer(config),
            account_management_uri: format!("{url}/account"),
            authorization,
        })
    }
}

impl AuthorizationMembers {
    fn of(config: &Config) -> Self {
        let endpoint = |name: &str| format!("{}/oauth2/{name}", config.public_url);
        Self {
            authorization_endpoint: endpoint("authorize"),
            token_endpoint: endpoint("token"),
            revocation_endpoint: endpoint("revoke"),
            registration_endpoint: endpoint("registration"),
            device_authorization_endpoint: config
                .oauth
                .has_device_grant
                .then(|| endpoint("device")),
            response_types_supported: ["code"],
            response_modes_supported: ["query", "fragment"],
            grant_types_supported: GrantType::supported(&config.oauth),
            code_challenge_methods_supported: ["S256"],
            scopes_supported: [
                "urn:matrix:client:api:*",
                "urn:matrix:org.matrix.msc2967.client:api:*",
            ],
            account_management_actions_supported: AccountAction::of(config),
            token_endpoint_auth_methods_supported: ["none"],
            revocation_endpoint_auth_methods_supported: ["none"],
            authorization_response_iss_parameter_supported: true,
            prompt_values_supported: is_sign_up_possible(config).then_some(["create"]),
        }
    }
}

/// The issuer: the public URL, which never ends with a slash, and one slash.
pub(super) fn issuer(config: &Config) -> String {
    format!("{}/", config.public_url)
}

/// Whether the pages of this server can complete a registration: it is open, and all stages of a flow are possible. The
/// pages cannot request a message from an identity server.
pub fn is_sign_up_possible(config: &Config) -> bool {
    let is_possible = |stage: &StageType| match stage {
        StageType::Email => config.mail.is_some(),
        StageType::Msisdn => config.sms.is_some(),
        StageType::Dummy
        | StageType::Password
        | StageType::Recaptcha
        | StageType::RegistrationToken
        | StageType::Terms => true,
    };
    match &config.registration {
        Registration::Closed => false,
        Registration::Open(flows) => flows.iter().any(|flow| flow.iter().all(is_possible)),
    }
}
