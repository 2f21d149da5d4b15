//! Whatever is sent: no 5xx, and a Matrix answer. The kit checks both of every reply, with CORS
//! headers and content type; these tests think up what to send.

mod bodies;
mod requests;
mod threepids;

use proptest::sample::{Select, select};
use test_support::Reply;

/// How many cases of each property.
const CASES: u32 = 192;

/// An answer that says something.
fn check(reply: &Reply) {
    assert!(!reply.body.is_empty(), "an empty answer: {reply:?}");
    let status = reply.status;
    assert!(
        status.is_success() || status.is_client_error(),
        "{status} is no answer"
    );
}

fn one_of<T: Clone + std::fmt::Debug>(items: &[T]) -> Select<T> {
    select(items.to_vec())
}
