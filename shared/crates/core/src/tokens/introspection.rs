//! Introspection: whether the homeserver may serve requests with a token.

use super::{AuthenticationError, Session, Token, TokenKind, authenticate_token, check_not_guest};
use crate::{
    app::App,
    secrets::Secret,
    store::{AccountStatus, HomeserverState, StoreError},
};

/// The session of an active access token. Returns `None` for every other text (HS-04). A refresh token authenticates no
/// request, application services authenticate at the homeserver itself, and the homeserver has no guests (HS-23).
///
/// A malformed token causes no read (HS-03). The first introspection of a new token is its first use, because a client
/// of a homeserver may use the token there only (HS-07).
pub async fn introspect(app: &App, text: &Secret) -> Result<Option<Session>, StoreError> {
    let Some(token) = Token::parse(TokenKind::Access, text, &app.config.server_name) else {
        return Ok(None);
    };
    let session = match authenticate_token(app, token).await {
        Ok(session) => session,
        Err(AuthenticationError::Store(error)) => return Err(error),
        Err(
            AuthenticationError::Unknown
            | AuthenticationError::Expired
            | AuthenticationError::Locked
            | AuthenticationError::Appservice,
        ) => return Ok(None),
    };
    // HS-12: until the account has been created at the homeserver, a user there with its name is another one. The tokens
    // of such an account are older than the configuration of the homeserver.
    let is_active = session.account.status == AccountStatus::Active
        && session.account.homeserver == HomeserverState::Provisioned
        && check_not_guest(&session.account).is_ok();
    Ok(is_active.then_some(session))
}
