//! Authorization requests: their parameters, checked against the registration of the client.

use serde::{Deserialize, Serialize};

use super::{
    Client, ClientId, GrantType,
    redirects::{self, ResponseMode, ResponseTarget},
    scope::{GrantedScope, ScopeError},
};

/// The maximum length of `state` in bytes (OA-32).
const MAX_STATE_BYTES: usize = 1024;
/// The maximum length of `login_hint` in bytes (OA-45). A longer one is ignored.
const MAX_HINT_BYTES: usize = 255;
/// The length of a PKCE challenge: a SHA-256 hash in base64.
const CHALLENGE_CHARS: usize = 43;

/// The error of a request for which no response may be sent to the client (OA-32): either the client is unknown, or the
/// place where it expects the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnanswerableError {
    /// The client is not registered, its registration has expired, or `client_id` is missing or repeated.
    #[error("The app is not registered here. Update the app, or start again in it")]
    Client,
    /// The client has not registered the redirect URI, or it is missing or repeated.
    #[error("The app did not register the address that it wants to return to")]
    RedirectUri,
    /// The response mode is unknown or repeated.
    #[error("The app asks for a response mode that this server does not support")]
    ResponseMode,
    /// The state is too long or repeated.
    #[error("The app sent a state that is longer than 1,024 bytes, or more than one")]
    State,
}

/// The value of `error` in a response to the client (OA-34).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationErrorCode {
    /// A parameter is missing, repeated or invalid.
    InvalidRequest,
    /// The response type is not `code`.
    UnsupportedResponseType,
    /// The client did not register the grant.
    UnauthorizedClient,
    /// The scope is invalid.
    InvalidScope,
    /// `request` is not supported.
    RequestNotSupported,
    /// `request_uri` is not supported.
    RequestUriNotSupported,
    /// The client does not permit a page.
    LoginRequired,
    /// The user has refused.
    AccessDenied,
    /// A call failed. The client may try again.
    TemporarilyUnavailable,
    /// The server failed.
    ServerError,
}

impl AuthorizationErrorCode {
    /// The value of `error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::InvalidScope => "invalid_scope",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::LoginRequired => "login_required",
            Self::AccessDenied => "access_denied",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// The error of an invalid request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The page has no link to the client.
    #[error(transparent)]
    Unanswerable(#[from] UnanswerableError),
    /// The page has a link that takes the error to the client (OA-33).
    #[error("{}: {text}", code.as_str())]
    Refused {
        /// The place where the client expects the response.
        target: Box<ResponseTarget>,
        /// The value of `error`.
        code: AuthorizationErrorCode,
        /// The text on the page.
        text: &'static str,
    },
}

/// The page that the client asks for first (OA-42, OA-43).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Nothing special. `consent`, `select_account` and unknown values change nothing: every authorization needs consent,
    /// and every consent page offers another account.
    #[default]
    Default,
    /// Sign-up first.
    Create,
    /// Login, also with a browser session.
    Login,
}

/// A valid authorization request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// The client.
    pub client_id: ClientId,
    /// The place where the client expects the response.
    pub target: ResponseTarget,
    /// The PKCE challenge.
    pub code_challenge: String,
    /// The scope.
    pub scope: GrantedScope,
    /// The page that the client asks for.
    #[serde(default)]
    pub prompt: Prompt,
    /// The name for the login form, without the prefix `mxid:`. It is never looked up (OA-45).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
}

crate::opaque_debug!(AuthorizationRequest);

/// The parameters of an authorization request, as they were sent.
#[derive(Debug)]
pub struct RequestParameters<'a>(Vec<(&'a str, &'a str)>);

/// A parameter occurs more than once (OA-30).
struct RepeatedError;

impl<'a> RequestParameters<'a> {
    /// The parameters of a decoded query. Empty parameters are treated as absent (RFC 6749, section 3.1).
    pub fn new(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    fn single(&self, name: &str) -> Result<Option<&'a str>, RepeatedError> {
        let mut values = self.0.iter().filter(|(own, _)| *own == name);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(RepeatedError),
            (value, _) => Ok(value.map(|(_, value)| *value)),
        }
    }

    /// The value of a parameter. `None` if it is repeated, which [`validate`](Self::validate) rejects.
    fn get(&self, name: &str) -> Option<&'a str> {
        self.single(name).ok().flatten()
    }

    fn has_repetition(&self) -> bool {
        let mut names: Vec<_> = self.0.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The client of the request. A client ID that this server never issues causes no read.
    pub fn client_id(&self) -> Result<ClientId, UnanswerableError> {
        let id = self.single("client_id").ok().flatten();
        id.and_then(ClientId::parse)
            .ok_or(UnanswerableError::Client)
    }

    /// The place where the client expects the response (OA-31, OA-32).
    fn target(&self, client: &Client) -> Result<ResponseTarget, UnanswerableError> {
        let uri = self.single("redirect_uri").ok().flatten();
        let uri = uri
            .filter(|uri| redirects::is_registered(&client.metadata, uri))
            .ok_or(UnanswerableError::RedirectUri)?;
        let mode = match self.single("response_mode") {
            Ok(None | Some("query")) => ResponseMode::Query,
            Ok(Some("fragment")) => ResponseMode::Fragment,
            Ok(Some(_)) | Err(RepeatedError) => return Err(UnanswerableError::ResponseMode),
        };
        let state = self.single("state");
        let state = state.map_err(|RepeatedError| UnanswerableError::State)?;
        if state.is_some_and(|state| state.len() > MAX_STATE_BYTES) {
            return Err(UnanswerableError::State);
        }
        Ok(ResponseTarget::new(&client.metadata, uri, mode, state))
    }

    /// Checks the request of this client. An error says whether the client may get a response.
    pub fn validate(&self, client: &Client) -> Result<AuthorizationRequest, RequestError> {
        let target = self.target(client)?;
        match self.content(client) {
            Ok((code_challenge, scope)) => Ok(AuthorizationRequest {
                client_id: client.id.clone(),
                target,
                code_challenge,
                scope,
                prompt: self.prompt(),
                login_hint: self.login_hint(),
            }),
            Err((code, text)) => Err(RequestError::Refused {
                target: Box::new(target),
                code,
                text,
            }),
        }
    }

    /// Checks everything but the place of the response. Returns the challenge and the scope.
    fn content(
        &self,
        client: &Client,
    ) -> Result<(String, GrantedScope), (AuthorizationErrorCode, &'static str)> {
        use AuthorizationErrorCode as Code;
        if self.has_repetition() {
            let text = "The app sent a parameter twice.";
            return Err((Code::InvalidRequest, text));
        }
        if self.get("request").is_some() {
            let text = "The app sent a request object, which this server does not support.";
            return Err((Code::RequestNotSupported, text));
        }
        if self.get("request_uri").is_some() {
            let text = "The app sent the URL of a request, which this server does not support.";
            return Err((Code::RequestUriNotSupported, text));
        }
        match self.get("response_type") {
            Some("code") => {}
            Some(_) => {
                let text = "The app asks for a response type that this server does not support.";
                return Err((Code::UnsupportedResponseType, text));
            }
            None => {
                let text = "The app did not send a response type.";
                return Err((Code::InvalidRequest, text));
            }
        }
        let grants = &client.metadata.grant_types;
        if !grants.contains(&GrantType::AuthorizationCode) {
            let text = "The app did not register this way to sign in.";
            return Err((Code::UnauthorizedClient, text));
        }
        // OA-35
        let challenge = self.get("code_challenge").filter(|text| is_challenge(text));
        let (Some(challenge), Some("S256")) = (challenge, self.get("code_challenge_method")) else {
            let text = "The app did not send a valid proof key (PKCE).";
            return Err((Code::InvalidRequest, text));
        };
        let scope = GrantedScope::parse(self.get("scope").unwrap_or_default());
        let scope = scope.map_err(|error| (Code::InvalidScope, error.text()))?;
        if self.prompts().any(|prompt| prompt == "none") {
            let text = "The app asks to sign you in without a page, which this server does not do.";
            return Err((Code::LoginRequired, text));
        }
        Ok((challenge.to_owned(), scope))
    }

    fn prompts(&self) -> impl Iterator<Item = &'a str> {
        self.get("prompt").unwrap_or_default().split(' ')
    }

    fn prompt(&self) -> Prompt {
        let has = |name| self.prompts().any(|prompt| prompt == name);
        if has("create") {
            Prompt::Create
        } else if has("login") {
            Prompt::Login
        } else {
            Prompt::Default
        }
    }

    fn login_hint(&self) -> Option<String> {
        let hint = self.get("login_hint")?;
        let hint = hint.strip_prefix("mxid:").unwrap_or(hint);
        (hint.len() <= MAX_HINT_BYTES).then(|| hint.to_owned())
    }
}

fn is_challenge(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() == CHALLENGE_CHARS && text.bytes().all(is_base64)
}

impl ScopeError {
    /// The text on the page.
    fn text(self) -> &'static str {
        match self {
            Self::NoApi => "The app does not ask for access to the Matrix API.",
            Self::NotOneDevice => "The app must name exactly one valid device.",
            Self::Admin => "The app asks for the administration of the homeserver.",
        }
    }
}
