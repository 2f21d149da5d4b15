//! Identity servers: bind a 3PID to a user, unbind it and, if the operator chose so, validate it.
//!
//! By default, no identity server is used. Only identity servers that the operator trusts are called (IDS-01,
//! IDS-02). Bindings through this server are recorded, so that they can be removed when the account is deactivated
//! (IDS-12). This module depends neither on request bodies nor on responses to clients.
//! [Specification](https://spec.matrix.org/v1.15/identity-service-api/).

mod bind;
mod keys;
mod unbind;
mod validate;

pub use crate::{
    id_server_client::{Client, IdServerError, IdServerRejection},
    id_server_name::{IdServerName, IdServerNameError, TrustedServer},
    signing::{SigningKey, SigningKeys},
};
pub use bind::{BindError, BindRequest, bind, bind_validated};
pub use keys::server_keys;
pub use unbind::{UnbindError, UnbindResult, UnbindScope, unbind, unbind_all};
pub use validate::{IdTokenError, Validated, find_validated, read_token, request_validation};

use serde_json::{Map, Value};

use crate::{config::Config, id_server_name, threepid::Medium};

/// The maximum length of an address, in bytes.
const MAX_ADDRESS_BYTES: usize = 320;

/// The trusted identity server with the name `id_server` (IDS-02, IDS-03).
pub fn trusted<'a>(
    config: &'a Config,
    id_server: &str,
) -> Result<&'a TrustedServer, IdServerNameError> {
    id_server_name::find(&config.identity_servers.trusted, id_server)
}

/// The name in `id_server`, for requests that accept an untrusted identity server. Such a server is not called
/// (IDS-03).
pub fn named(
    config: &Config,
    id_server: Option<&str>,
) -> Result<Option<IdServerName>, IdServerNameError> {
    let Some(text) = id_server else {
        return Ok(None);
    };
    match trusted(config, text) {
        Ok(server) => Ok(Some(server.name.clone())),
        Err(IdServerNameError::Untrusted) => Ok(IdServerName::parse(text)),
        Err(error) => Err(error),
    }
}

/// The medium and the address in a response, in the identity server's own form.
fn address_in(answer: &Map<String, Value>) -> Option<(Medium, String)> {
    let medium = Medium::parse(answer.get("medium")?.as_str()?)?;
    let address = answer.get("address")?.as_str()?;
    is_address(address).then(|| (medium, address.to_owned()))
}

/// Whether a text has the form of an address in a record or a request: 1 to 320 bytes without control
/// characters.
pub fn is_address(text: &str) -> bool {
    (1..=MAX_ADDRESS_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}
