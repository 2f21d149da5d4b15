//! Tests of scenarios across several endpoints, with races and faults.

pub(crate) mod account_threepids;
mod addition_messages;
mod cost;
mod deliver;
mod faults;
pub(crate) mod homeserver;
mod identity;
mod incidents;
mod key_ring;
mod leaks;
mod log_lines;
mod logins;
mod message_limits;
mod no_enumeration;
mod notifications;
mod oauth_sequences;
mod operator;
mod password_resets;
mod privileges;
mod purge;
mod races;
mod random_faults;
mod refunds;
mod reset_messages;
pub(crate) mod support;
mod takeovers;
mod uia;
