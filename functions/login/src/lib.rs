//! `GET` and `POST /_matrix/client/{r0,v3}/login`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#login); LOGIN-01 to LOGIN-04,
//! UIA-28, UIA-41 to UIA-46, REG-17, REG-19, TOK-09, TOK-16, DIS-22, DIS-23. A token that comes along is not
//! looked at, unless it is an application service's that logs one of its users in.

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

/// The answer to a login (LOGIN-03).
#[derive(Debug, Serialize)]
pub struct Response {
    /// Who is logged in.
    pub user_id: String,
    /// The server's name; deprecated and still sent (DIS-22).
    pub home_server: String,
    /// The device and its tokens.
    #[serde(flatten)]
    pub issued: Issued,
}

/// Answers the request: the ways to log in to a `GET`, a login to a `POST`.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    if request.method == Method::GET {
        let flows = [PASSWORD, APPSERVICE].map(|kind| json!({ "type": kind }));
        return Ok(HttpResponse::ok(&json!({ "flows": flows })));
    }
    let body = Body::parse(&request.body)?;
    let kind = body
        .optional::<String>("type")?
        .ok_or_else(|| MatrixError::new(ErrorCode::MissingParam, "`type` is missing"))?;
    // First: what else there is in a login of another type is not ours to judge.
    if ![PASSWORD, APPSERVICE].contains(&kind.as_str()) {
        let message = "There is no such way to log in";
        return Err(MatrixError::new(ErrorCode::UnknownLoginType, message).into());
    }
    let login = wanted(&app, &body)?;
    if kind == PASSWORD {
        Box::pin(password::log_in(&app, &request, &body, login)).await
    } else {
        appservice::log_in(&app, &request, &body, login).await
    }
}

/// What the client wants of its device.
fn wanted(app: &App, body: &Body) -> Result<Login, MatrixError> {
    let device_id = devices::id_in(body)?;
    let display_name = devices::name_in(body, "initial_device_display_name")?;
    let refreshable = body.optional::<bool>("refresh_token")? == Some(true);
    Ok(Login {
        device_id,
        display_name,
        refreshable,
        lifetime: app.config.tokens.of(refreshable),
    })
}

/// Makes the device, unless the account has been changed since it was looked at, and answers.
async fn finish(
    app: &App,
    localpart: &Localpart,
    account: &AccountRow,
    login: &Login,
) -> Result<HttpResponse, Rejection> {
    let (issued, device) = tokens::issue(app, localpart, login);
    app.store
        .save_device(localpart, &device, account.epoch, app.clock.now())
        .await?;
    metrics::count(Metric::Logins);
    metrics::user(localpart);
    let server = &app.config.server_name;
    Ok(HttpResponse::ok(&Response {
        user_id: localpart.user_id(server),
        home_server: server.as_str().to_owned(),
        issued,
    }))
}
