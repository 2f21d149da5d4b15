//! Consistency of the project's files, and an independent parser of every response.

mod cargo_lambda;
mod costs;
mod errcodes;
mod events;
pub(crate) mod files;
mod generated;
mod homeserver_routes;
mod incidents;
mod layering;
mod observability;
mod operations;
mod requirements;
mod ruma;
mod ruma_account_threepids;
mod ruma_identity;

mod ruma_oauth;
mod ruma_request_tokens;
mod ruma_requests;
mod ruma_sessions;
mod ruma_threepids;
mod template;
