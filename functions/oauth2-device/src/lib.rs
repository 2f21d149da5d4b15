//! `POST /oauth2/device`
//!
//! [RFC 8628](https://www.rfc-editor.org/rfc/rfc8628#section-3.1); OA-112, OA-113. A device requests two codes: it shows one
//! to the user, who enters it on the page of the function `oauth2-link`, and polls with the other one at the token
//! endpoint.

use std::sync::Arc;

use http::header;
use serde::Serialize;
use shared::{
    app::App,
    error::Rejection,
    http::{Request, Response as HttpResponse},
    oauth::{self, DeviceAuthorization, Requester},
    oauth_http::{OAuthError, Parameters},
    oauth_pages::link,
};

/// The response body.
#[derive(Serialize)]
pub struct Response<'a> {
    /// The code with which the device polls.
    pub device_code: &'a str,
    /// The code that the device shows.
    pub user_code: &'a str,
    /// The page on which the user enters the code.
    pub verification_uri: &'a str,
    /// The same page with the code.
    pub verification_uri_complete: String,
    /// The lifetime of the codes in seconds.
    pub expires_in: u64,
    /// The shortest time between two polls in seconds.
    pub interval: u64,
}

shared::opaque_debug!(Response<'_>);

/// Handles the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<HttpResponse, Rejection> {
    let issued = authorize(&app, &request).await;
    Ok(issued.map_or_else(|error| error.response(), |codes| response(&app, &codes)))
}

async fn authorize(app: &App, request: &Request) -> Result<DeviceAuthorization, OAuthError> {
    let parameters = Parameters::of_form(request)?;
    let client_id = parameters.required("client_id")?;
    let scope = parameters.required("scope")?;
    let agent = request.headers.get(header::USER_AGENT);
    let agent = agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let requester = Requester::new(request.network, agent.as_deref());
    Ok(oauth::authorize_device(app, client_id, scope, &requester).await?)
}

fn response(app: &App, codes: &DeviceAuthorization) -> HttpResponse {
    let user_code = codes.user_code.display();
    let page = format!("{}{}", app.config.public_url, link::PATH);
    HttpResponse::ok(&Response {
        device_code: codes.device_code.reveal(),
        user_code: &user_code,
        verification_uri: &page,
        verification_uri_complete: format!("{page}?user_code={user_code}"),
        expires_in: codes.expires_in.as_secs(),
        interval: codes.interval.as_secs(),
    })
}
