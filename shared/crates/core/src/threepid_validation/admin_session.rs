//! A session that the operator begins in a user's place, who is handed its link: no message goes out.

use super::{ValidationPurpose, link_token, session::begin, sid};
use crate::{
    clock::Timestamp,
    rng::Rng,
    secrets::{KeyRing, Secret},
    store::ValidationRow,
    threepid::ThreePid,
};

/// A session for a reset, as if its mail had been sent already.
pub fn hand_over(
    keys: &KeyRing,
    to: &ThreePid,
    client_secret: &Secret,
    now: Timestamp,
    rng: &dyn Rng,
) -> ValidationRow {
    let sid = sid(keys, ValidationPurpose::Reset, to, client_secret);
    begin(&sid, ValidationPurpose::Reset, to, 1, now, rng)
}

/// The link of a session's mail, which holds the session's id and token and nothing of the client's.
pub fn link(keys: &KeyRing, submit_url: &str, sid: &str, generation: &str) -> Secret {
    let token = link_token(keys, sid, generation);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("sid", sid)
        .append_pair("token", token.reveal())
        .finish();
    Secret::new(format!("{submit_url}?{query}"))
}
