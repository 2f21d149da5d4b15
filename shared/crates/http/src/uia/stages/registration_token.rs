//! `m.login.registration_token`: the client has a token from the operator (UIA-60).
//!
//! The stage checks that the token is valid now. Only the transaction that creates the account
//! consumes a use of the token. An attempt is charged before the comparison and refunded if the token is
//! valid.

use super::{Prefetched, StageContext, StageOutcome, StageResult};
use crate::{
    app::App,
    error::{ErrorCode, MatrixError},
    http::{Body, ClientNetwork, Query},
    limits::{self, Limit},
    secrets::KeyPurpose,
    store::{RegistrationTokenRow, StoreError, TokenUse},
    threepids::trim,
    uia::{
        StageError,
        stage_page::{Field, Form},
    },
};

/// The maximum length of a token in the specification.
pub const MAX_TOKEN_CHARS: usize = 64;

/// The error for every invalid token, regardless of the reason.
pub(in crate::uia) const REFUSED: StageError = StageError {
    code: ErrorCode::Unauthorized,
    message: "The registration token is not valid",
};
const MISSING: StageError = StageError {
    code: ErrorCode::MissingParam,
    message: "The registration token is missing",
};

/// Whether `token` matches the grammar of the specification.
pub fn is_valid(token: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
    (1..=MAX_TOKEN_CHARS).contains(&token.len()) && token.bytes().all(is_allowed)
}

/// Charges the attempt and reads the token.
pub(super) async fn prefetch(
    app: &App,
    members: &Body,
    network: ClientNetwork,
) -> Result<Prefetched, MatrixError> {
    match members.optional::<String>("token")? {
        Some(token) => Ok(Prefetched::RegistrationToken(
            look_up(app, &token, network).await?,
        )),
        None => Ok(Prefetched::Nothing),
    }
}

/// Charges the attempt and reads the token's row, if it exists.
pub async fn look_up(
    app: &App,
    token: &str,
    network: ClientNetwork,
) -> Result<Option<RegistrationTokenRow>, MatrixError> {
    let (charged, found) = tokio::join!(
        limits::consume(app, Limit::RegistrationToken, network),
        find(app, token)
    );
    charged?;
    Ok(found?)
}

async fn find(app: &App, token: &str) -> Result<Option<RegistrationTokenRow>, StoreError> {
    if !is_valid(token) {
        return Ok(None);
    }
    for hash in app
        .config
        .keys
        .hashes(KeyPurpose::RegistrationToken, token.as_bytes())
    {
        if let Some(row) = app.store.find_registration_token(&hash).await? {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

pub(super) fn attempt(context: StageContext<'_>, prefetched: &Prefetched) -> StageOutcome {
    match prefetched {
        Prefetched::Nothing
        | Prefetched::Password(_)
        | Prefetched::Validation(_)
        | Prefetched::DelegatedSession(_) => StageOutcome::Refused(MISSING),
        Prefetched::RegistrationToken(Some(row)) if row.is_good(context.app.clock.now()) => {
            StageOutcome::Passed {
                result: StageResult::RegistrationToken {
                    hash: row.token.hash.clone(),
                },
                refund: Some((Limit::RegistrationToken, context.network.to_string())),
            }
        }
        Prefetched::RegistrationToken(_) => StageOutcome::Refused(REFUSED),
    }
}

/// The use that the final transaction spends. `None` for an unlimited token. The use is taken from a random
/// share that has uses left, so that concurrent registrations do not contend for one item. A row
/// that the same request has prefetched is not read again.
pub(super) async fn resolve(
    app: &App,
    hash: &str,
    prefetched: &Prefetched,
) -> Result<Result<Option<TokenUse>, StageError>, StoreError> {
    let row = match prefetched {
        Prefetched::RegistrationToken(Some(row)) if row.token.hash == hash => Some(row.clone()),
        _ => app.store.find_registration_token(hash).await?,
    };
    let Some(row) = row.filter(|row| row.is_good(app.clock.now())) else {
        return Ok(Err(REFUSED));
    };
    if row.token.uses.is_none() {
        return Ok(Ok(None));
    }
    let shares = u32::try_from(row.left.len()).unwrap_or(0).max(1);
    let share = row.left.get(app.rng.below(shares) as usize);
    Ok(share
        .map(|(shard, _)| {
            Some(TokenUse {
                hash: row.token.hash.clone(),
                shard: *shard,
            })
        })
        .ok_or(REFUSED))
}

pub(super) fn form() -> Form {
    Form {
        text: "Please enter the registration token that you were given.".into(),
        fields: vec![Field::text("token", "Registration token")],
        button: "Continue",
        ..Form::default()
    }
}

pub(super) fn members_of_form(form: &Query) -> Vec<(&'static str, String)> {
    form.get("token")
        .map(|token| ("token", trim(token).to_owned()))
        .into_iter()
        .collect()
}
