//! `GET` and `POST /_matrix/client/{r0,v3}/login`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#login). No login gets a UIA challenge
//! (UIA-28). An access token in the request has no effect, except the token of an application service that
//! logs in one of its users.

mod appservice;
mod password;

use std::sync::Arc;

use ::http::Method;
use serde::Serialize;
use serde_json::json;
use shared::{
    app::App,
    devices,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    ids::Localpart,
    metrics::{self, Metric},
    store::AccountRow,
    tokens::{self, Issued, Login},
};

const PASSWORD: &str = "m.login.password";
const APPSERVICE: &str = "m.login.application_service";

/// The response body of a login (LOGIN-03).
#[derive(Debug, Serialize)]
pub struct Response {
    /// The complete user ID: `@localpart:server`.
    pub user_id: String,
    /// The server name. The member is deprecated, but still sent (DIS-22).
    pub home_server: String,
    /// The device and its tokens.
    #[serde(flatten)]
    pub issued: Issued,
}

/// Handles the request: `GET` lists the login types, `POST` logs in.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    if request.method == Method::GET {
        // LOGIN-01
        let flows = types(&app).iter().map(|kind| json!({ "type": kind }));
        let flows: Vec<_> = flows.collect();
        return Ok(HttpResponse::ok(&json!({ "flows": flows })));
    }
    let body = Body::parse(&request.body);
    // OA-145
    if !app.config.oauth.apis.include_account_api() {
        let is_appservice = body.is_ok_and(|body| has_type(&body, APPSERVICE));
        return Err(if is_appservice {
            MatrixError::without_appservice_login()
        } else {
            MatrixError::unknown_path()
        }
        .into());
    }
    let body = body?;
    let kind = body
        .optional::<String>("type")?
        .ok_or_else(|| MatrixError::new(ErrorCode::MissingParam, "`type` is missing"))?;
    // LOGIN-02: the type is checked first, because a login of another type may have other parameters.
    if !types(&app).contains(&kind.as_str()) {
        let message = "This login type is not supported. GET lists the supported types";
        return Err(MatrixError::new(ErrorCode::UnknownLoginType, message).into());
    }
    let login = device_parameters(&app, &body)?;
    if kind == PASSWORD {
        Box::pin(password::log_in(&app, &request, &body, login)).await
    } else {
        appservice::log_in(&app, &request, &body, login).await
    }
}

fn has_type(body: &Body, kind: &str) -> bool {
    body.optional::<String>("type")
        .is_ok_and(|own| own.as_deref() == Some(kind))
}

/// The login types. With a homeserver, application services do not log in here (HS-23).
fn types(app: &App) -> &'static [&'static str] {
    match app.config.homeserver {
        Some(_) => &[PASSWORD],
        None => &[PASSWORD, APPSERVICE],
    }
}

/// Reads the parameters of the device from the body.
fn device_parameters(app: &App, body: &Body) -> Result<Login, MatrixError> {
    // REG-17
    let device_id = devices::device_id(body)?;
    // REG-19
    let display_name = devices::display_name(body, "initial_device_display_name")?;
    // TOK-16
    let refreshable = body.optional::<bool>("refresh_token")? == Some(true);
    Ok(Login {
        device_id,
        display_name,
        refreshable,
        lifetime: app.config.tokens.of(refreshable),
    })
}

/// Creates the device and returns the response. Fails if the account has changed since it was read.
async fn finish(
    app: &App,
    localpart: &Localpart,
    account: &AccountRow,
    login: &Login,
) -> Result<HttpResponse, Rejection> {
    // TOK-09: the older tokens of an existing device become invalid.
    let issued = tokens::log_in(app, localpart, account, login).await?;
    metrics::count(Metric::Logins);
    metrics::user(localpart);
    let server = &app.config.server_name;
    Ok(HttpResponse::ok(&Response {
        user_id: localpart.user_id(server),
        home_server: server.as_str().to_owned(),
        issued,
    }))
}
