//! Login of an application service as one of its users (REG-31).

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
        let message = "The access token does not belong to an application service";
        return Err(MatrixError::new(ErrorCode::UnknownToken, message).into());
    };
    let identifier = Identifier::parse(app, body)?
        .ok_or_else(|| MatrixError::new(ErrorCode::MissingParam, "`identifier` is missing"))?;
    let forbidden = || MatrixError::new(ErrorCode::Forbidden, "The user does not exist");
    let Identifier::User(localpart) = identifier else {
        return Err(forbidden().into());
    };
    if !appservice.may_use(&localpart, &app.config.server_name) {
        return Err(NameError::OutsideNamespace.into());
    }
    let (spent, account) = tokio::join!(
        limits::consume(app, Limit::Login, request.network),
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
