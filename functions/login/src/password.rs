//! With a password (LOGIN-04).

use shared::{
    app::App,
    credentials::{self, Identifier, Verified},
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
    let who = Identifier::parse(app, body)?.ok_or_else(|| missing("identifier"))?;
    let password = body.optional::<String>("password")?.map(Secret::new);
    let password = password.ok_or_else(|| missing("password"))?;
    let (found, guess) =
        credentials::verify_to_log_in(app, &who, &password, request.network).await?;
    // TOK-14: said to nobody who does not know the password.
    if found.account.status == AccountStatus::Locked {
        guess.refund(app).await;
        return Err(AuthenticationError::Locked.into());
    }
    let (response, (), (), ()) = tokio::join!(
        super::finish(app, &found.localpart, &found.account, &login),
        guess.refund(app),
        guess.remember(app, &found.localpart),
        improve(app, &found, &password)
    );
    response
}

/// Hashes the password anew if the stored hash is not what a new one would be. That it fails is no
/// reason not to log in.
async fn improve(app: &App, found: &Verified, password: &Secret) {
    let Some(before) = &found.outdated else {
        return;
    };
    if let Ok(hash) = app.hasher.hash(password, &*app.rng).await {
        let store = &app.store;
        let _ = store
            .replace_password_hash(&found.localpart, before, &hash)
            .await;
    }
}
