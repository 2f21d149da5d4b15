//! Gatehouse: the account front door of a Matrix homeserver.
//!
//! The crate every function is built from. Its rooms, and what each may import, are drawn in
//! `ARCHITECTURE.md`; the arrows point from the edge (`lambda`, `http`) through the domain
//! (`accounts`, `uia`, `passwords`, `tokens`, `appservices`, `limits`) to the tables (`store`) and
//! the parsed types below them (`ids`, `secrets`, `clock`, `rng`, `config`).

pub mod accounts;
pub mod app;
pub mod appservices;
pub mod aws;
pub mod captcha;
pub mod client_network;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod devices;
pub mod error;
pub mod host_name;
pub mod http;
pub mod id_server_client;
pub mod id_server_name;
pub mod identity_servers;
pub mod ids;
pub mod key_ring;
pub mod lambda;
pub mod limits;
pub mod metrics;
pub mod notices;
pub mod outbox;
pub mod own_addresses;
pub mod pages;
pub mod password_hash;
pub mod passwords;
pub mod request_token;
pub mod rng;
pub mod secrets;
pub mod signing;
pub mod stage_type;
pub mod store;
pub mod threepid;
pub mod threepids;
pub mod tokens;
pub mod uia;
pub mod uia_request;
pub mod validation_pages;
pub mod validation_session;
