//! The keys of all rows. No other module builds a key.

use crate::{
    ids::{DeviceId, Localpart},
    secrets::{TokenHash, fields, sha256_base64},
    threepid::{Medium, ThreePid},
};

/// The partition key attribute of every table.
pub(in crate::store) const PK: &str = "pk";
/// The sort key attribute of `accounts`.
pub(in crate::store) const SK: &str = "sk";
/// The sort key of the main row of an account, of a registration token and of the application services,
/// and of the reservation of a 3PID.
pub(in crate::store) const MAIN: &str = "A";
/// The sort key of the password row of an account.
pub(in crate::store) const PASSWORD: &str = "PW";
/// The prefix of the partition keys of accounts.
pub(in crate::store) const USERS: &str = "USER#";
/// The prefix of the sort keys of an account's 3PIDs.
pub(in crate::store) const THREEPIDS: &str = "3PID#";
/// The prefix of the sort keys of an account's devices.
pub(in crate::store) const DEVICES: &str = "DEV#";
/// The prefix of the sort keys of an account's imported tokens.
pub(in crate::store) const IMPORTED_TOKENS: &str = "TOKEN#";
/// The prefix of the sort keys of the policies that a user has accepted.
pub(in crate::store) const TERMS: &str = "TERMS#";
/// The prefix of the sort keys of the 3PIDs that a user has bound at identity servers.
pub(in crate::store) const BINDINGS: &str = "BIND#";
/// The partition key of the row of all application services.
pub(in crate::store) const APPSERVICES: &str = "APPSERVICES";
/// The partition key of the list of all registration tokens.
pub(in crate::store) const REGISTRATION_TOKENS: &str = "REGTOKENS";

/// The prefix of the partition keys of registered clients.
pub(in crate::store) const CLIENTS: &str = "CLIENT#";

/// The prefix of the partition keys of browser sessions.
pub(in crate::store) const BROWSERS: &str = "BROWSER#";

pub(in crate::store) fn oauth_client(id: &str) -> String {
    format!("{CLIENTS}{id}")
}

pub(in crate::store) fn authorization_code(hash: &TokenHash) -> String {
    format!("CODE#{}", hash.0)
}

/// The key of a device code contains only the hash of the code.
pub(in crate::store) fn device_code(hash: &TokenHash) -> String {
    format!("DEVICECODE#{}", hash.0)
}

/// The key of a user code contains only a keyed hash, because all user codes could be tried.
pub(in crate::store) fn user_code(hash: &str) -> String {
    format!("USERCODE#{hash}")
}

/// The key of a browser session contains only the hash of the cookie.
pub(in crate::store) fn browser_session(hash: &TokenHash) -> String {
    format!("{BROWSERS}{}", hash.0)
}

pub(in crate::store) fn user(localpart: &Localpart) -> String {
    format!("{USERS}{}", localpart.as_str())
}

pub(in crate::store) fn device(id: &DeviceId) -> String {
    format!("{DEVICES}{}", id.as_str())
}

/// The sort key of the row that names the device of an imported token.
pub(in crate::store) fn imported_token(hash: &TokenHash) -> String {
    format!("{IMPORTED_TOKENS}{}", hash.0)
}

pub(in crate::store) fn terms(policy: &str) -> String {
    format!("{TERMS}{policy}")
}

/// The partition key of the reservation of a 3PID, and sort key of the 3PID's row under its
/// owner.
pub(in crate::store) fn threepid(threepid: &ThreePid) -> String {
    format!("{THREEPIDS}{}#{}", threepid.medium, threepid.address)
}

/// The sort key of the record that a 3PID is bound at an identity server.
pub(in crate::store) fn binding(id_server: &str, medium: Medium, address: &str) -> String {
    format!("{BINDINGS}{id_server}#{medium}#{address}")
}

/// The partition key of the row that marks a validation session of an identity server as spent. No
/// validation session of this server can have such an ID.
pub(in crate::store) fn delegated_validation(id_server: &str, sid: &str) -> String {
    let about = fields(&[id_server.as_bytes(), sid.as_bytes()]);
    format!("IDSERVER#{}", sha256_base64(&about))
}

/// The partition key of the second row of that kind. It does not depend on the session ID, because an identity server
/// may accept several spellings of one, such as `7`, `07` and `7.0`. A session has one address and one client secret,
/// and `threepid` is in canonical form. The case of the secret is ignored, because an identity server may compare
/// secrets without regard to case.
pub(in crate::store) fn delegated_threepid(
    id_server: &str,
    threepid: &ThreePid,
    client_secret: &str,
) -> String {
    let about = fields(&[
        id_server.as_bytes(),
        threepid.medium.as_str().as_bytes(),
        threepid.address.as_bytes(),
        client_secret.to_ascii_lowercase().as_bytes(),
    ]);
    format!("IDSERVER#{}", sha256_base64(&about))
}

pub(in crate::store) fn registration_token(hash: &str) -> String {
    format!("REGTOKEN#{hash}")
}

/// The sort key of a share of the uses of a limited registration token.
pub(in crate::store) fn shard(number: u32) -> String {
    format!("S#{number:02}")
}
