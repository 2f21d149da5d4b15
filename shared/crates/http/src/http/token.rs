//! Extraction of access tokens from requests (TOK-01 to TOK-04). The module `tokens` authenticates
//! them.

use ::http::header::AUTHORIZATION;

use super::Request;
use crate::{
    error::{ErrorCode, MatrixError},
    secrets::Secret,
};

/// The token of the `Authorization` header. Returns `None` unless there is exactly one such header, with
/// the scheme `Bearer`.
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

/// The access token of a request that requires one: from the header (TOK-01) or, if `query_tokens`
/// is set, from the query (TOK-02). A request with no token, or with more than one in header and
/// query together (TOK-03), is rejected with 401 M_MISSING_TOKEN (TOK-04).
pub fn access_token(request: &Request, query_tokens: bool) -> Result<Secret, MatrixError> {
    let headers = request.headers.get_all(AUTHORIZATION).iter().count();
    let mut from_query = request.query.pairs().filter_map(|(name, token)| {
        (query_tokens && name == "access_token" && !token.is_empty()).then_some(token)
    });
    match (bearer(request), from_query.next()) {
        (Some(token), None) => Ok(token),
        (None, Some(token)) if headers < 2 && from_query.next().is_none() => {
            Ok(Secret::new(token.to_owned()))
        }
        (None, None) => Err(MatrixError::new(
            ErrorCode::MissingToken,
            "The access token is missing: send it in the `Authorization` header",
        )),
        _ => Err(MatrixError::new(
            ErrorCode::MissingToken,
            "The request has more than one access token: send it once, in the `Authorization` header",
        )),
    }
}

/// The access token of a request that does not require one. Returns `None` if neither header nor query has
/// one. A token that is present must be valid (TOK-10).
pub fn optional_access_token(
    request: &Request,
    query_tokens: bool,
) -> Result<Option<Secret>, MatrixError> {
    let from_query = || request.query.get("access_token").is_some();
    let is_there = request.headers.contains_key(AUTHORIZATION) || (query_tokens && from_query());
    is_there
        .then(|| access_token(request, query_tokens))
        .transpose()
}
