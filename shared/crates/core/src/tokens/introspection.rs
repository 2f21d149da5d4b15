//! Introspection: whether an access token is active.

use super::{AuthenticationError, Session, Token, TokenKind, authenticate_token, check_not_guest};
use crate::{
    app::App,
    secrets::Secret,
    store::{AccountStatus, HomeserverState, StoreError},
};

/// The session of an active access token. Returns `None` for every other text (HS-04). A refresh token is inactive,
/// because it authenticates no request. The tokens of application services and guests are inactive, because application
/// services authenticate at the homeserver, which has no guests (HS-23).
///
/// A malformed token causes no read (HS-03). The first introspection of a new token is its first use, because a client
/// may use the token at the homeserver only (HS-07).
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
    // A user of the homeserver that was not created by this server belongs to another person (HS-12).
    let is_active = session.account.status == AccountStatus::Active
        && session.account.homeserver == HomeserverState::Provisioned
        && check_not_guest(&session.account).is_ok();
    Ok(is_active.then_some(session))
}
