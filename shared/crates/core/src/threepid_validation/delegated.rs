//! The checks before an identity server validates a 3PID instead of this server.

use super::{
    RequestError, ValidationRequest, quotas,
    request::{check_owner, first_error},
};
use crate::{
    app::App,
    client_network::ClientNetwork,
    limits::{self, Limit},
};

/// Checks a request before an identity server is asked to send a message (IDS-06): the quotas of a message of this
/// server, and the ownership of the 3PID. The identity server sends a message to every 3PID, so ownership is
/// always disclosed here, even if the operator has chosen `quiet`.
pub async fn before_delegating(
    app: &App,
    request: &ValidationRequest<'_>,
    network: ClientNetwork,
) -> Result<(), RequestError> {
    let quotas = quotas::of(request, network);
    let (counted, charged, allowed) = tokio::join!(
        limits::consume(app, Limit::RequestToken, network),
        limits::consume_all(app, &quotas),
        check_owner(app, request)
    );
    let is_charged = charged.is_ok();
    let outcome = first_error(counted, allowed).and(charged.map_err(RequestError::from));
    if outcome.is_err() && is_charged {
        limits::refund_all(app, &quotas).await;
    }
    outcome
}
