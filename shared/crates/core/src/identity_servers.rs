//! Identity servers: who is asked (`name`, `network`), how (`client`, `signing`), and what for:
//! to bind an address to a user and to undo that, and, where the operator chose that, to validate one.
//!
//! Off as Gatehouse comes: nobody is asked whom the operator does not trust (IDS-01, IDS-02). What
//! was bound through this server is recorded, so that it can be undone when the account goes
//! (IDS-12). Knows neither bodies nor answers.
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

/// The longest address of any medium, in bytes.
const MAX_ADDRESS_BYTES: usize = 320;

/// The trusted server that `id_server` names (IDS-02, IDS-03).
pub fn trusted<'a>(
    config: &'a Config,
    id_server: &str,
) -> Result<&'a TrustedServer, IdServerNameError> {
    id_server_name::find(&config.identity_servers.trusted, id_server)
}

/// The server that `id_server` names where one that is not trusted is no fault, only nobody to be
/// asked (IDS-03).
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
        Err(fault) => Err(fault),
    }
}

/// Medium and address in an answer, as the identity server writes them.
fn address_in(answer: &Map<String, Value>) -> Option<(Medium, String)> {
    let medium = Medium::parse(answer.get("medium")?.as_str()?)?;
    let address = answer.get("address")?.as_str()?;
    is_address(address).then(|| (medium, address.to_owned()))
}

/// Whether a text may stand for an address in a record or a request.
pub fn is_address(text: &str) -> bool {
    (1..=MAX_ADDRESS_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}
