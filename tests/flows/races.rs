//! Concurrent requests.

mod account_threepids;
mod concurrent_duplicates;
mod logins;
mod refreshes;
mod registration;
mod validation;
