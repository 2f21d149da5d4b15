//! Login with a password (LOGIN-04).

use shared::{
    app::App,
    credentials::{self, Identifier},
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request, Response},
    secrets::Secret,
    store::AccountStatus,
    tokens::{AuthenticationError, Login},
};

pub(crate) async fn log_in(
    app: &App,
    request: &Request,
    body: &Body,
    login: Login,
) -> Result<Response, Rejection> {
    let missing =
        |name: &str| MatrixError::new(ErrorCode::MissingParam, format!("`{name}` is missing"));
    // UIA-41 to UIA-45
    let identifier = Identifier::parse(app, body)?.ok_or_else(|| missing("identifier"))?;
    let password = body.optional::<String>("password")?.map(Secret::new);
    let password = password.ok_or_else(|| missing("password"))?;
    // UIA-46, DIS-23
    let (verified, attempt) =
        credentials::verify_login(app, &identifier, &password, request.network).await?;
    // TOK-14: the response discloses that the account is locked only if the password is correct.
    if verified.account.status == AccountStatus::Locked {
        attempt.refund(app).await;
        return Err(AuthenticationError::Locked.into());
    }
    let (response, (), (), ()) = tokio::join!(
        super::finish(app, &verified.localpart, &verified.account, &login),
        attempt.refund(app),
        attempt.trust_network(app, &verified.localpart),
        credentials::upgrade_hash(app, &verified, &password)
    );
    response
}
