//! `GET /_matrix/client/{r0,v3}/account/whoami`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#get_matrixclientv3accountwhoami);
//! WHO-01, TOK-01 to TOK-05, GUEST-06.

use std::sync::Arc;

use serde::Serialize;
use shared::{
    app::App,
    appservices::Appservice,
    error::{ErrorCode, MatrixError, Rejection},
    http::{self, Request, Response as HttpResponse},
    ids::Localpart,
    store::{AccountKind, AccountStatus},
    tokens,
};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Response {
    /// Whose token it is.
    pub user_id: String,
    /// The device it belongs to; an application service has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Whether that is a guest.
    pub is_guest: bool,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: Request) -> Result<HttpResponse, Rejection> {
    let token = http::access_token(&request, app.config.query_tokens)?;
    let server = &app.config.server_name;
    if let Some(appservice) = tokens::authenticate_appservice(&app, &token).await? {
        let user_id = asserted_user(&app, &appservice, &request).await?;
        return Ok(HttpResponse::ok(&Response {
            user_id,
            device_id: None,
            is_guest: false,
        }));
    }
    let session = tokens::authenticate(&app, &token).await?;
    Ok(HttpResponse::ok(&Response {
        user_id: session.localpart.user_id(server),
        device_id: Some(session.device.as_str().to_owned()),
        is_guest: session.account.kind == AccountKind::Guest,
    }))
}

/// The user as whom an application service asks: its own, or one of its namespace that exists
/// and has not been deactivated.
async fn asserted_user(
    app: &App,
    appservice: &Appservice,
    request: &Request,
) -> Result<String, Rejection> {
    let server = &app.config.server_name;
    let Some(asserted) = request.query.get("user_id") else {
        return Ok(format!("@{}:{server}", appservice.sender_localpart()));
    };
    let forbidden = || {
        MatrixError::new(
            ErrorCode::Forbidden,
            "The application service may not act as this user",
        )
    };
    let localpart = asserted
        .strip_prefix('@')
        .and_then(|rest| rest.strip_suffix(server.as_str())?.strip_suffix(':'))
        .and_then(|text| Localpart::parse(text, server).ok())
        .filter(|name| appservice.may_use(name, server))
        .ok_or_else(forbidden)?;
    let own = localpart.as_str() == appservice.sender_localpart();
    if !own {
        let account = app.store.find_account(&localpart).await?;
        if account.is_none_or(|account| account.status == AccountStatus::Deactivated) {
            return Err(forbidden().into());
        }
    }
    Ok(localpart.user_id(server))
}
