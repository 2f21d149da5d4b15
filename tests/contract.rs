//! The files of the project held against each other, and an independent reader of every answer.

mod cargo_lambda;
mod events;
mod files;
mod generated;
mod incidents;
mod layering;
mod observability;
mod operations;
mod requirements;
mod ruma;
mod ruma_identity;
mod ruma_own_addresses;
mod ruma_request_tokens;
mod ruma_requests;
mod ruma_sessions;
mod ruma_threepids;
mod template;
