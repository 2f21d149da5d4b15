//! As an application service, for one of its users (REG-31).

use shared::{
    accounts::NameError,
    app::App,
    credentials::Identifier,
    error::{ErrorCode, MatrixError, Rejection},
    http::{self, Body, Request, Response},
    limits::{self, Limit},
    store::AccountStatus,
    tokens::{self, AuthenticationError, Login},
};

pub(crate) async fn log_in(
    app: &App,
    request: &Request,
    body: &Body,
    login: Login,
) -> Result<Response, Rejection> {
    let token = http::access_token(request, app.config.query_tokens)?;
    let Some(appservice) = tokens::authenticate_appservice(app, &token).await? else {
        let message = "The token is no application service's";
        return Err(MatrixError::new(ErrorCode::UnknownToken, message).into());
    };
    let who = Identifier::parse(app, body)?;
    let who =
        who.ok_or_else(|| MatrixError::new(ErrorCode::MissingParam, "`identifier` is missing"))?;
    let forbidden = || MatrixError::new(ErrorCode::Forbidden, "There is no such user");
    let Identifier::User(localpart) = who else {
        return Err(forbidden().into());
    };
    if !appservice.may_use(&localpart, &app.config.server_name) {
        return Err(NameError::OutsideNamespace.into());
    }
    let (spent, account) = tokio::join!(
        limits::spend(app, Limit::Login, request.network),
        app.store.find_account(&localpart)
    );
    spent?;
    let account = account?.ok_or_else(forbidden)?;
    match account.status {
        AccountStatus::Active | AccountStatus::Suspended => {}
        AccountStatus::Locked => return Err(AuthenticationError::Locked.into()),
        AccountStatus::Deactivated => return Err(forbidden().into()),
    }
    super::finish(app, &localpart, &account, &login).await
}
