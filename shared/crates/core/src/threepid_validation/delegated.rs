//! The checks before an identity server validates a 3PID instead of this server.

use super::{
    RequestError, ValidationRequest, quotas,
    request::{charge, check_owner},
};
use crate::{app::App, client_network::ClientNetwork, clock::Timestamp, ids::Localpart, limits};

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
    let (charged, owner) = tokio::join!(charge(app, &own, network), check_owner(app, request));
    let charged = charged?;
    let is_charged = charged.is_ok();
    let outcome = match (owner, charged) {
        (Err(error), _) => Err(error),
        (Ok(_), Err(error)) => Err(error.into()),
        (Ok(owner), Ok(())) => charge_shared(app, request, owner.as_ref(), network).await,
    };
    if outcome.is_err() && is_charged {
        own.refund(app).await;
    }
    outcome
}

/// Charges the shared quotas. As for a message of this server, a network that the account owner has used has its own
/// quotas, even if it was used before the last password reset.
async fn charge_shared(
    app: &App,
    request: &ValidationRequest<'_>,
    owner: Option<&Localpart>,
    network: ClientNetwork,
) -> Result<(), RequestError> {
    let is_known = match owner.filter(|_| app.config.limits) {
        Some(owner) => {
            let until = limits::known_until(app, owner.as_str(), network).await?;
            limits::is_known(app, until, Timestamp::default())
        }
        None => false,
    };
    let shared = quotas::shared_quotas(request.purpose, request.to, request.country, is_known);
    Ok(limits::consume_in_order(app, &shared).await?)
}
