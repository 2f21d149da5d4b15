//! Discovery: the metadata of this server, which the homeserver returns to its clients.

use serde::Serialize;
use shared::{config::Config, http::Response as HttpResponse};

/// The time in seconds for which a cache may keep the metadata.
const MAX_AGE: u32 = 600;

/// The response body (HS-08).
#[derive(Debug, Serialize)]
pub struct Metadata {
    /// The URL of this server, with a trailing slash as in the metadata of other account services.
    pub issuer: String,
    /// The URL of the page that describes how users change their account.
    pub account_management_uri: String,
}

/// Responds with the metadata.
pub(crate) fn answer(config: &Config) -> HttpResponse {
    let url = &config.public_url;
    let metadata = Metadata {
        issuer: format!("{url}/"),
        account_management_uri: format!("{url}/account"),
    };
    HttpResponse {
        max_age: Some(MAX_AGE),
        ..HttpResponse::ok(&metadata)
    }
}
