//! Secret-leak tests: no password, token or other secret is in a table or a log line, in any state of
//! any flow.

mod account_threepids;
mod accounts;
mod identity_server;
mod logins;
pub(crate) mod registration;
mod validation;
