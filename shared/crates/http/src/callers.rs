//! The caller of an endpoint that requires an access token, and the rate limits of the request.

use crate::{
    app::App,
    error::MatrixError,
    http::{self, Request},
    tokens::{self, Caller, Token, TokenKind, TokenLimits},
};

/// Authenticates the caller and, at the same time, charges the request to the quotas of its network and of its access
/// token. The result of the lookup has no effect on the charge, and a request above a limit gets 429 in any case.
pub async fn identify(
    app: &App,
    request: &Request,
    limits: TokenLimits,
) -> Result<Caller, MatrixError> {
    let token = http::access_token(request, app.config.query_tokens)?;
    let of_device = Token::parse(TokenKind::Access, &token, &app.config.server_name);
    let (charged, caller) = tokio::join!(
        tokens::charge(app, limits, request.network, of_device.as_ref()),
        tokens::identify(app, &token, request.query.get("user_id"))
    );
    charged?;
    Ok(caller?)
}
