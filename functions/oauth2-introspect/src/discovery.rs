//! Discovery: the metadata of this server, which the homeserver passes on to its clients.

use serde::Serialize;
use shared::{config::Config, http::Response as HttpResponse};

/// The time in seconds for which the homeserver passes the metadata on without a new request.
const MAX_AGE: u32 = 600;

/// The response body (HS-08).
#[derive(Debug, Serialize)]
pub struct Metadata {
    /// The name of this server, with a trailing slash, as the metadata of other account services has it.
    pub issuer: String,
    /// The URL of the page on which users read how they change their account.
    pub account_management_uri: String,
}

/// Answers the request for the metadata.
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
