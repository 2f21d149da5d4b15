//! Where a token stands in a request (TOK-01 to TOK-04). What it is worth, `tokens` knows.

use ::http::header::AUTHORIZATION;

use super::Request;
use crate::{
    error::{ErrorCode, MatrixError},
    secrets::Secret,
};

/// The token of the `Authorization` header, if there is exactly one with the scheme `Bearer`.
pub fn bearer(request: &Request) -> Option<Secret> {
    let mut values = request.headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
        .then(|| Secret::new(token.to_owned()))
}

/// The access token of a request that needs one: from the header (TOK-01) or, while
/// `query_tokens` allows it, from the query (TOK-02). With neither, or with both (TOK-03), it is
/// 401 M_MISSING_TOKEN (TOK-04).
pub fn access_token(request: &Request, query_tokens: bool) -> Result<Secret, MatrixError> {
    let from_query = request
        .query
        .get("access_token")
        .filter(|token| query_tokens && !token.is_empty());
    match (bearer(request), from_query) {
        (Some(token), None) => Ok(token),
        (None, Some(token)) => Ok(Secret::new(token.to_owned())),
        (Some(_), Some(_)) => Err(MatrixError::new(
            ErrorCode::MissingToken,
            "The access token must be given either in the header or in the query, not in both",
        )),
        (None, None) => Err(MatrixError::new(
            ErrorCode::MissingToken,
            "An access token is needed",
        )),
    }
}
