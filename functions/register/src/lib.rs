//! `POST /_matrix/client/{r0,v3}/register`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3register);
//! REG-01 to REG-25, REG-29, REG-31, REG-35, REG-36, GUEST-01 to GUEST-08, UIA-01 to UIA-22, TOK-08, TOK-09, TOK-11. A user token is
//! not looked at; only an application service's means anything (TOK-11).
//!
//! Three kinds of account, a file each: `user` goes through UIA, `guest` and `appservice` do
//! not (UIA-28).

mod answer;
mod appservice;
mod guest;
mod parameters;
mod user;

use std::sync::Arc;

use shared::{
    accounts,
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
};

pub use answer::Response;
pub use parameters::Parameters;

/// What `type` must be for an application service's user (REG-31).
const APPSERVICE_TYPE: &str = "m.login.application_service";

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    match request.query.get("kind") {
        None | Some("user") => {}
        Some("guest") => return guest::register(&app, &request).await,
        Some(_) => {
            accounts::ensure_registration_open(&app.config)?;
            let message = "`kind` must be `user` or `guest`";
            return Err(MatrixError::new(ErrorCode::InvalidParam, message).into());
        }
    }
    let body = Body::parse(&request.body);
    let is_appservice = |body: &Body| matches!(body.optional::<String>("type"), Ok(Some(name)) if name == APPSERVICE_TYPE);
    if body.as_ref().is_ok_and(is_appservice) {
        return appservice::register(&app, &request, &body?).await;
    }
    // A closed server says nothing else, not even what is wrong with the request.
    accounts::ensure_registration_open(&app.config)?;
    Box::pin(user::register(&app, &request, &body?)).await
}
