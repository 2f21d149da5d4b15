//! Authorization codes: a code is a keyed hash of the authorization request and the user, so that a repeated consent
//! gives the same code (OA-66). Only its hash is stored, and the grant is sealed with the code.

use std::time::Duration;

use super::Grant;
use crate::{
    app::App,
    secrets::{KeyPurpose, Secret, TokenHash, fields, sha256_base64},
    store::{CodeRow, StoreError},
};

/// The lifetime of a code (OA-75).
const LIFETIME: Duration = Duration::from_mins(5);
/// The maximum length of a code: the ID of a key, a dot, and 32 bytes in base64.
const MAX_CODE_CHARS: usize = 64;

/// Issues a code after the user gave consent. `context` is the sealed authorization request: the same request, user and
/// epoch give the same code. Returns `None` if the client has exchanged the code already. One write.
pub async fn issue_code(
    app: &App,
    context: &[u8],
    grant: &Grant,
) -> Result<Option<Secret>, StoreError> {
    let keys = &app.config.keys;
    let epoch = grant.epoch.to_be_bytes();
    let about = fields(&[context, grant.user.as_bytes(), &epoch]);
    let code = Secret::new(keys.hash(KeyPurpose::AuthorizationCode, &about));
    let hash = hash_of(&code);
    // Serialisation cannot fail: every member is a string or a number.
    let plaintext = Secret::new(serde_json::to_vec(grant).unwrap_or_default());
    let sealed = keys.seal(
        KeyPurpose::AuthorizationGrant,
        code.reveal().as_bytes(),
        hash.0.as_bytes(),
        plaintext.reveal(),
        &*app.rng,
    );
    let row = CodeRow {
        hash,
        expires: app.clock.now().plus(LIFETIME),
        sealed,
        session: None,
    };
    Ok(app.store.issue_code(&row).await?.then_some(code))
}

/// A code that a client presents, with the grant that it was issued for.
#[derive(Debug)]
pub struct PresentedCode {
    /// The row of the code.
    pub row: CodeRow,
    /// The grant.
    pub grant: Grant,
}

/// The code with this text. One strongly consistent read; none for a text that this server never issues. The code may have
/// expired or have been exchanged.
pub async fn find_code(app: &App, text: &Secret) -> Result<Option<PresentedCode>, StoreError> {
    if text.reveal().len() > MAX_CODE_CHARS {
        return Ok(None);
    }
    let Some(row) = app.store.find_code(&hash_of(text)).await? else {
        return Ok(None);
    };
    let (salt, place) = (text.reveal().as_bytes(), row.hash.0.as_bytes());
    let keys = &app.config.keys;
    let opened = keys.open(KeyPurpose::AuthorizationGrant, salt, place, &row.sealed);
    // A code does not survive two changes of the root secret in its lifetime.
    let Ok(plaintext) = opened.map(Secret::new) else {
        return Ok(None);
    };
    let grant = serde_json::from_slice(plaintext.reveal()).ok();
    Ok(grant.map(|grant| PresentedCode { row, grant }))
}

fn hash_of(code: &Secret) -> TokenHash {
    TokenHash(sha256_base64(code.reveal().as_bytes()))
}
