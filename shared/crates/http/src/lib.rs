//! HTTP layer: requests, responses, Matrix errors, User-Interactive Authentication, HTML pages and the Lambda runtime.

use gatehouse_core::{
    accounts, app, captcha, config, homeserver, identity_servers, key_ring, limits, oauth,
    passwords, security_notifications, threepid_validation, threepids, tokens,
};
use gatehouse_model::{
    appservices, client_network, clock, ids, metrics, opaque_debug, outbox, rng, secrets,
    stage_type,
};
use gatehouse_store::{aws, store};

pub mod account_changes;
pub mod account_threepids;
mod auth_apis;
pub mod callers;
pub mod credentials;
pub mod devices;
pub mod error;
pub mod http;
pub mod lambda;
pub mod oauth_http;
pub mod oauth_pages;
pub mod pages;
pub mod password_change;
pub mod recipients;
pub mod registration;
pub mod request_token;
pub mod threepid_creds;
pub mod uia;
pub mod validation_pages;
