//! A validation session: its ID, its link token and codes, and its start.

use super::{LIFETIME, ValidationPurpose, ValidationState};
use crate::{
    clock::Timestamp,
    rng::Rng,
    secrets::{KeyPurpose, KeyRing, Secret, fields},
    store::ValidationRow,
    threepid::ThreePid,
};

/// The maximum length of a `client_secret` in characters (3PID-01).
const MAX_CLIENT_SECRET: usize = 255;

/// Whether `text` matches the grammar of a `client_secret` or a `sid` (3PID-01, 3PID-04).
pub fn is_opaque_id(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b".=_-".contains(&b);
    (1..=MAX_CLIENT_SECRET).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// The session ID. It is a keyed hash of the purpose, the 3PID and the `client_secret`. A session can therefore not
/// be used for another purpose or 3PID, and the ID does not show whether the 3PID belongs to an account.
pub fn sid(
    keys: &KeyRing,
    purpose: ValidationPurpose,
    threepid: &ThreePid,
    client_secret: &Secret,
) -> String {
    let fields = sid_fields(purpose, threepid, client_secret);
    keys.hash(KeyPurpose::ValidationSessionId, &fields)
}

/// Whether the session was requested with this `client_secret`.
pub fn has_client_secret(keys: &KeyRing, row: &ValidationRow, client_secret: &Secret) -> bool {
    let fields = sid_fields(row.purpose, &row.threepid, client_secret);
    keys.hash_matches(KeyPurpose::ValidationSessionId, &fields, &row.sid)
}

fn sid_fields(purpose: ValidationPurpose, threepid: &ThreePid, client_secret: &Secret) -> Vec<u8> {
    fields(&[
        purpose.as_str().as_bytes(),
        threepid.medium.as_str().as_bytes(),
        threepid.address.as_bytes(),
        client_secret.reveal().as_bytes(),
    ])
}

/// The token of the link in all e-mails of a session with this nonce.
pub fn link_token(keys: &KeyRing, sid: &str, session_nonce: &str) -> Secret {
    Secret::new(keys.hash(
        KeyPurpose::ValidationToken,
        &link_fields(sid, session_nonce),
    ))
}

pub(super) fn link_fields(sid: &str, session_nonce: &str) -> Vec<u8> {
    fields(&[b"link", sid.as_bytes(), session_nonce.as_bytes()])
}

/// The code in text message number `send` of a session with this nonce.
pub fn code(keys: &KeyRing, sid: &str, session_nonce: &str, send: i64) -> Secret {
    let mut codes = keys.codes(
        KeyPurpose::ValidationToken,
        &code_fields(sid, session_nonce, send),
    );
    codes.swap_remove(0)
}

pub(super) fn code_fields(sid: &str, session_nonce: &str, send: i64) -> Vec<u8> {
    fields(&[
        b"code",
        sid.as_bytes(),
        session_nonce.as_bytes(),
        &send.to_be_bytes(),
    ])
}

/// The link in an e-mail. It contains the session ID and the link token, but not the `client_secret`.
pub fn email_link(keys: &KeyRing, submit_url: &str, sid: &str, session_nonce: &str) -> Secret {
    let token = link_token(keys, sid, session_nonce);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("sid", sid)
        .append_pair("token", token.reveal())
        .finish();
    Secret::new(format!("{submit_url}?{query}"))
}

/// The field of a session's row with the sealed URL to which the browser is redirected after the validation.
pub(super) const NEXT_LINK: &str = "next_link";

/// The context that a sealed value of a session's row is bound to: the session and the field.
pub(super) fn seal_context(row: &ValidationRow, field: &str) -> Vec<u8> {
    fields(&[
        row.sid.as_bytes(),
        row.session_nonce.as_bytes(),
        field.as_bytes(),
    ])
}

/// Whether the session is pending or validated and has not expired. Otherwise the next request starts it again.
pub fn is_active(row: &ValidationRow, now: Timestamp) -> bool {
    let is_open = match row.state {
        ValidationState::Pending | ValidationState::Validated => true,
        ValidationState::Spent | ValidationState::Invalidated => false,
    };
    is_open && now < row.expires
}

/// A new session whose first message is due.
pub(super) fn start(
    sid: &str,
    purpose: ValidationPurpose,
    to: &ThreePid,
    send_attempt: i64,
    now: Timestamp,
    rng: &dyn Rng,
) -> ValidationRow {
    ValidationRow {
        sid: sid.to_owned(),
        version: 1,
        purpose,
        threepid: to.clone(),
        session_nonce: rng.base64::<16>(),
        state: ValidationState::Pending,
        send_attempt,
        sends: 1,
        first_valid_send: 1,
        wrong_guesses: 0,
        started_at: now,
        expires: now.plus(LIFETIME),
        validated_at: None,
        next_link: None,
        suppressed: false,
        requested_at: None,
        network: None,
        is_known_network: false,
        country: None,
    }
}

/// A new session for a password reset that the operator starts for a user. No message is sent: the operator gives the
/// link to the user.
pub fn admin_session(
    keys: &KeyRing,
    to: &ThreePid,
    client_secret: &Secret,
    now: Timestamp,
    rng: &dyn Rng,
) -> ValidationRow {
    let sid = sid(keys, ValidationPurpose::Reset, to, client_secret);
    start(&sid, ValidationPurpose::Reset, to, 1, now, rng)
}
