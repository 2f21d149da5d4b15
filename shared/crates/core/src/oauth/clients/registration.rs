//! Registration of clients.

use std::time::Duration;

use super::{Client, ClientId, ClientMetadata, find_client};
use crate::{
    app::App,
    client_network::ClientNetwork,
    limits::{self, Limit, LimitError},
    store::{ClientRow, StoreError},
};

/// The lifetime of a registration until its first use (OA-26).
const UNUSED_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// The key of the limit for all networks together.
const ALL: &str = "all";

/// The reason why a client is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterClientError {
    /// A limit is exceeded, or could not be charged.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// DynamoDB failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Registers a client. Equal metadata gives the same client, and a known registration causes no write and is charged to
/// its network only, so that no flood of new clients keeps the users of known clients from a login (OA-27).
pub async fn register_client(
    app: &App,
    network: ClientNetwork,
    metadata: ClientMetadata,
) -> Result<Client, RegisterClientError> {
    limits::consume(app, Limit::ClientRegistration, network).await?;
    let id = ClientId::of(&metadata);
    if let Some(known) = find_client(app, &id).await? {
        return Ok(known);
    }
    limits::consume(app, Limit::NewClient, ALL).await?;
    let now = app.clock.now();
    let row = ClientRow {
        metadata: metadata.canonical(),
        created: now,
        expires: Some(now.plus(UNUSED_LIFETIME)),
    };
    if !app.store.create_client(id.as_str(), &row, now).await? {
        // A concurrent request has written the row.
        limits::refund_all(app, &[(Limit::NewClient, ALL.to_owned())]).await;
    }
    Ok(Client {
        id,
        metadata,
        registered_at: now,
        is_permanent: false,
    })
}
