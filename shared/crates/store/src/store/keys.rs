//! Every key of every row is spelt here and nowhere else.

use crate::{
    ids::{DeviceId, Localpart},
    secrets::{fields, sha256_base64},
    threepid::{Medium, ThreePid},
};

/// Partition key attribute of every table.
pub(super) const PK: &str = "pk";
/// Sort key attribute of `accounts`.
pub(super) const SK: &str = "sk";
/// Sort key of an account's, a registration token's and the application services' main row.
pub(super) const MAIN: &str = "A";
/// Sort key of an account's password.
pub(super) const PASSWORD: &str = "PW";
/// How the sort keys of an account's addresses begin.
pub(super) const THREEPIDS: &str = "3PID#";
/// How the sort keys of an account's devices begin.
pub(super) const DEVICES: &str = "DEV#";
/// How the sort keys of the policies that a user accepted begin.
pub(super) const TERMS: &str = "TERMS#";
/// What the sort keys of a user's bindings begin with.
pub(super) const BINDINGS: &str = "BIND#";
/// Partition of all application services.
pub(super) const APPSERVICES: &str = "APPSERVICES";
/// Partition that lists all registration tokens.
pub(super) const REGISTRATION_TOKENS: &str = "REGTOKENS";

pub(super) fn user(localpart: &Localpart) -> String {
    format!("USER#{}", localpart.as_str())
}

pub(super) fn device(id: &DeviceId) -> String {
    format!("{DEVICES}{}", id.as_str())
}

pub(super) fn terms(policy: &str) -> String {
    format!("{TERMS}{policy}")
}

/// The claim of an address, and the row of it under its owner.
pub(super) fn threepid(threepid: &ThreePid) -> String {
    format!("{THREEPIDS}{}#{}", threepid.medium, threepid.address)
}

/// The record that an address is bound at an identity server.
pub(super) fn binding(id_server: &str, medium: Medium, address: &str) -> String {
    format!("{BINDINGS}{id_server}#{medium}#{address}")
}

/// The row by which a proof of an identity server is spent. No session of ours has such an id, and
/// no client can name it as one.
pub(super) fn proof_elsewhere(id_server: &str, sid: &str) -> String {
    let about = fields(&[id_server.as_bytes(), sid.as_bytes()]);
    format!("IDSERVER#{}", sha256_base64(&about))
}

pub(super) fn registration_token(hash: &str) -> String {
    format!("REGTOKEN#{hash}")
}

/// A share of a limited registration token's uses.
pub(super) fn shard(number: u32) -> String {
    format!("S#{number:02}")
}
