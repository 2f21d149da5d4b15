//! Property tests: any request gets a Matrix response and no 5xx. `TestServer::send` checks both on every response,
//! with CORS headers and content type.

mod bodies;
mod requests;
mod threepids;

use http::StatusCode;
use proptest::sample::{Select, select};
use test_support::Reply;

/// The number of cases of each property.
const CASES: u32 = 192;

/// Asserts that a response has a body and is a success, a client error, or a redirect of a page to another page of this
/// server.
fn check(reply: &Reply) {
    assert!(!reply.body.is_empty(), "an empty response: {reply:?}");
    check_status(reply);
}

fn check_status(reply: &Reply) {
    let status = reply.status;
    let location = reply.headers.get("location");
    let is_own = location.is_some_and(|url| url.as_bytes().starts_with(b"/"));
    let is_redirect = status == StatusCode::SEE_OTHER && is_own;
    assert!(
        status.is_success() || status.is_client_error() || is_redirect,
        "{status} is neither a success nor a client error"
    );
}

/// One of these values.
pub(crate) fn one_of<T: Clone + std::fmt::Debug>(items: &[T]) -> Select<T> {
    select(items.to_vec())
}
