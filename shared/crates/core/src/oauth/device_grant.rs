//! The device authorization grant: a device shows a code, and the user enters it on a page of this server, on another
//! device. [RFC 8628](https://www.rfc-editor.org/rfc/rfc8628)
//!
//! The device polls with a secret code, of which only the hash is stored. The code that the user enters is short. It is
//! therefore stored as a keyed hash, and its look-up needs a login and has rate limits (OA-120). A decision is one
//! conditional write, and so is the exchange, which checks the account again (OA-121).

mod link;
mod link_context;
mod poll;
mod request;
mod user_code;

pub use link::{DecideError, LinkedDevice, LookUpError, decide, look_up};
pub use link_context::LinkContext;
pub use poll::poll_device;
pub use request::{DeviceAuthorization, DeviceRequestError, Requester, authorize_device};
pub use user_code::UserCode;

use crate::secrets::{Secret, TokenHash, sha256_base64};

/// The random bytes of a device code (OA-113).
const CODE_BYTES: usize = 32;
/// The length of these bytes in base64.
const CODE_CHARS: usize = 43;

/// The hash of a device code. `None` for a text that this server never issues, so that it causes no call.
fn parse_code(code: &Secret) -> Option<TokenHash> {
    let text = code.reveal();
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_valid = text.len() == CODE_CHARS && text.bytes().all(is_base64);
    is_valid.then(|| hash_of(code))
}

fn hash_of(code: &Secret) -> TokenHash {
    TokenHash(sha256_base64(code.reveal().as_bytes()))
}
