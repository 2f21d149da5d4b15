//! Addresses that an identity server validates in this server's place: what comes before that, and
//! what is remembered of it.

use super::{RequestError, ValidationRequest, judge_owner, quotas};
use crate::{
    app::App,
    client_network::ClientNetwork,
    limits::{self, Limit},
};

/// What comes before an identity server is asked to write to an address (IDS-06): the budgets of
/// a message of ours, and whose the address is. The identity server writes to whomever it is told
/// to, so nobody can be kept in the dark here, whatever the operator chose otherwise.
pub async fn before_delegating(
    app: &App,
    wish: &ValidationRequest<'_>,
    network: ClientNetwork,
) -> Result<(), RequestError> {
    let budgets = quotas::of(wish, network);
    let (counted, charged, told) = tokio::join!(
        limits::spend(app, Limit::RequestToken, network),
        limits::spend_all(app, &budgets),
        judge_owner(app, wish)
    );
    let paid = charged.is_ok();
    let outcome = match (counted, told, charged) {
        (Err(error), _, _) | (Ok(()), Ok(()), Err(error)) => Err(error.into()),
        (Ok(()), Err(error), _) => Err(error),
        (Ok(()), Ok(()), Ok(())) => Ok(()),
    };
    if outcome.is_err() && paid {
        limits::refund_all(app, &budgets).await;
    }
    outcome
}
