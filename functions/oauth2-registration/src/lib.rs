//! `POST /oauth2/registration`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#client-registration),
//! [RFC 7591](https://www.rfc-editor.org/rfc/rfc7591); OA-10 to OA-29. Clients register without credentials and get none:
//! every client is public. The ID is a hash of the metadata, so all installations of an app are one client.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use shared::{
    app::App,
    error::Rejection,
    http::{Request, Response as HttpResponse},
    oauth::{self, Client, ClientId, ClientMetadata, GrantType},
    oauth_http::{self, OAuthError, OAuthErrorCode},
};

/// The response body: the ID, and the accepted metadata (OA-10).
#[derive(Debug, Serialize)]
pub struct Response<'a> {
    /// The ID of the client.
    pub client_id: &'a ClientId,
    /// The time of the registration in seconds since 1970.
    pub client_id_issued_at: i64,
    /// The response types, which follow from the grants.
    pub response_types: &'a [&'a str],
    /// The authentication method of the client (OA-23).
    pub token_endpoint_auth_method: &'a str,
    /// The other members.
    #[serde(flatten)]
    pub metadata: &'a ClientMetadata,
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<HttpResponse, Rejection> {
    let client = register(&app, &request).await;
    Ok(client.map_or_else(|error| error.response(), |client| response(&client)))
}

async fn register(app: &App, request: &Request) -> Result<Client, OAuthError> {
    oauth_http::check_body(request, "application/json")?;
    let body: Value = serde_json::from_slice(&request.body).map_err(|_| {
        OAuthError::new(OAuthErrorCode::InvalidRequest, "the body is not valid JSON")
    })?;
    let metadata = ClientMetadata::accept(&body, &app.config.oauth)?;
    Ok(oauth::register_client(app, request.network, metadata).await?)
}

fn response(client: &Client) -> HttpResponse {
    let has_code = client.metadata.has_grant(GrantType::AuthorizationCode);
    let body = Response {
        client_id: &client.id,
        client_id_issued_at: client.registered_at.0.div_euclid(1000),
        response_types: if has_code { &["code"] } else { &[] },
        token_endpoint_auth_method: "none",
        metadata: &client.metadata,
    };
    HttpResponse::json(StatusCode::CREATED, &body)
}
