//! The lowest layer of Gatehouse: value types and pure functions, without input or output.
//!
//! Identifiers, secrets and sealed values, time and randomness, addresses, and the types that the store and the
//! domain share.

pub mod appservices;
pub mod client_network;
pub mod clock;
pub mod format_date;
pub mod host_name;
pub mod id_server_name;
pub mod ids;
pub mod metrics;
pub mod outbox;
pub mod password_hash;
pub mod rng;
pub mod secrets;
pub mod signing;
pub mod stage_type;
pub mod threepid;
pub mod validation_session;
