//! The checks before an identity server validates a 3PID instead of this server.

use super::{
    RequestError, ValidationRequest, quotas,
    request::{charge, check_owner},
};
use crate::{app::App, client_network::ClientNetwork, limits};

/// Checks a request before an identity server is asked to send a message (IDS-06): the quotas of a message of this
/// server, and the ownership of the 3PID. The identity server sends a message to every 3PID, so ownership is always
/// disclosed here, even if the operator has chosen `quiet`. The message does not pass through `deliver`, so the shared
/// quotas are charged here. They are charged last, because a request that is rejected earlier causes no message.
pub async fn before_delegating(
    app: &App,
    request: &ValidationRequest<'_>,
    network: ClientNetwork,
) -> Result<(), RequestError> {
    let own = quotas::of_network(request, network);
    let (charged, allowed) = tokio::join!(charge(app, &own, network), check_owner(app, request));
    let charged = charged?;
    let is_charged = charged.is_ok();
    let mut outcome = allowed.and(charged.map_err(RequestError::from));
    if outcome.is_ok() {
        let shared = quotas::shared_quotas(request.purpose, request.to, request.country, false);
        outcome = limits::consume_in_order(app, &shared)
            .await
            .map_err(RequestError::from);
    }
    if outcome.is_err() && is_charged {
        own.refund(app).await;
    }
    outcome
}
