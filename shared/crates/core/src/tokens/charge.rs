//! The rate limits of requests with an access token.

use super::Token;
use crate::{
    app::App,
    client_network::ClientNetwork,
    limits::{self, Limit, LimitError},
};

/// The two quotas of a request with an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLimits {
    /// The quota of the client network.
    pub network: Limit,
    /// The quota of the access token.
    pub token: Limit,
}

impl TokenLimits {
    /// The quotas of a request that only reads.
    pub const READ: Self = Self {
        network: Limit::Read,
        token: Limit::TokenRead,
    };
    /// The quotas of a request that changes the account or starts a UIA session.
    pub const WRITE: Self = Self {
        network: Limit::Account,
        token: Limit::TokenWrite,
    };
    /// The quotas of a request that calls an identity server.
    pub const ID_SERVER: Self = Self {
        network: Limit::IdServer,
        token: Limit::TokenWrite,
    };
}

/// Charges a request to both quotas, or to none if one is used up. Needs no lookup, so the lookup of the token can be
/// concurrent. `token` is `None` if the request has no token of a device.
///
/// The second quota belongs to the token and not to the user. Reasons: a forged token can name any user, and an
/// attacker with a stolen token must not use up the quota of the owner's other devices. A token of an application
/// service has no such quota, because the service acts for many users.
pub async fn charge(
    app: &App,
    limits: TokenLimits,
    network: ClientNetwork,
    token: Option<&Token>,
) -> Result<(), LimitError> {
    let mut charges = vec![(limits.network, network.to_string())];
    charges.extend(token.map(|token| (limits.token, token.hash().0)));
    limits::consume_all(app, &charges).await
}
