//! Gatehouse: a serverless account service for Matrix homeservers.
//!
//! Every function depends on this crate. It re-exports the modules of four crates below `crates/`, each of which
//! depends only on those before it: `model` (values), `store` (DynamoDB), `core` (the account domain) and `http`
//! (the HTTP layer).

pub use gatehouse_core::{
    accounts, app, captcha, config, homeserver, homeserver_client, id_server_client,
    identity_servers, key_ring, limits, oauth, passwords, security_notifications,
    threepid_validation, threepids, tokens,
};
pub use gatehouse_http::{
    account_changes, account_threepids, callers, credentials, devices, error, http, lambda,
    oauth_http, oauth_pages, pages, password_change, recipients, registration, request_token,
    threepid_creds, uia, validation_pages,
};
pub use gatehouse_model::opaque_debug;
pub use gatehouse_model::{
    appservices, client_network, clock, format_date, host_name, id_server_name, ids, metrics,
    outbox, password_hash, rng, secrets, signing, stage_type, threepid, validation_session,
};
pub use gatehouse_store::{aws, store};
