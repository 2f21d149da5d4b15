//! The grant of a user to a client: the content of an authorization code.

use serde::{Deserialize, Serialize};

use super::ClientId;

/// A grant. Every member is checked when the code is exchanged (OA-75).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The client.
    pub client_id: ClientId,
    /// The redirect URI of the authorization request.
    pub redirect_uri: String,
    /// The PKCE challenge: the unpadded base64url SHA-256 of the verifier.
    pub code_challenge: String,
    /// The granted scope, in the spelling of the request (OA-82).
    pub scope: String,
    /// The device ID in the scope.
    pub device_id: String,
    /// The localpart of the user.
    pub user: String,
    /// The epoch of the account when the user gave consent.
    pub epoch: i64,
}
