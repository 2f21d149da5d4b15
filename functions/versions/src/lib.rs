//! `GET /_matrix/client/versions`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientversions). An access
//! token in the request has no effect (VER-01).

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use shared::{
    app::App,
    error::Rejection,
    http::{Request, Response as HttpResponse},
};

/// The versions of the specification whose account endpoints this server implements (VER-02). All of
/// them allow access tokens in the query (TOK-02). r0.5.0 is the first version in which a
/// missing `submit_url` means that there is no code to submit.
const VERSIONS: [&str; 18] = [
    "r0.5.0", "r0.6.0", "r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8",
    "v1.9", "v1.10", "v1.11", "v1.12", "v1.13", "v1.14", "v1.15",
];

/// The flags that clients of r0.5 read (VER-03).
const FEATURES: [(&str, bool); 3] = [
    ("m.require_identity_server", false),
    ("m.id_access_token", true),
    ("m.separate_add_and_bind", true),
];

/// The response body.
#[derive(Debug, Serialize)]
pub struct Response {
    /// The supported versions, such as `r0.6.1` and `v1.15`.
    pub versions: &'static [&'static str],
    /// The names of features, and whether they are supported.
    pub unstable_features: BTreeMap<&'static str, bool>,
}

/// Handles the request.
#[expect(clippy::unused_async, reason = "every handler has this shape")]
pub async fn handle(_app: Arc<App>, _request: Request) -> Result<HttpResponse, Rejection> {
    Ok(HttpResponse::ok(&Response {
        versions: &VERSIONS,
        unstable_features: BTreeMap::from(FEATURES),
    }))
}
