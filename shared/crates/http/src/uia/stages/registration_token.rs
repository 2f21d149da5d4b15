//! `m.login.registration_token`: somebody was given a token by the operator (UIA-60).
//!
//! The stage proves that the token is good now; its use is spent by the transaction that makes the
//! account, and only by that. A guess is charged before it is compared and refunded if it was
//! right.

use super::{Prefetched, StageContext, StageOutcome, StageResult};
use crate::{
    app::App,
    error::MatrixError,
    http::{Body, ClientNetwork, Query},
    limits::{self, Limit},
    secrets::KeyPurpose,
    store::{RegistrationTokenRow, StoreError, TokenUse},
    uia::{
        StageError,
        fallback::{Field, Form},
    },
};

/// The longest token the specification allows.
pub const MAX_TOKEN_CHARS: usize = 64;

/// The one answer to every token that is not good, whatever is wrong with it.
pub(in crate::uia) const REFUSED: StageError = StageError {
    code: "M_UNAUTHORIZED",
    message: "The registration token is not valid",
};
const MISSING: StageError = StageError {
    code: "M_MISSING_PARAM",
    message: "The registration token is missing",
};

/// Whether `token` is of the specification's grammar.
pub fn is_lawful(token: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
    (1..=MAX_TOKEN_CHARS).contains(&token.len()) && token.bytes().all(legal)
}

/// Charges the guess and looks the token up.
pub(super) async fn prepare(
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

/// The token's row, if there is such a token, after charging the guess.
pub async fn look_up(
    app: &App,
    token: &str,
    network: ClientNetwork,
) -> Result<Option<RegistrationTokenRow>, MatrixError> {
    let (charged, found) = tokio::join!(
        limits::spend(app, Limit::RegistrationToken, network),
        find(app, token)
    );
    charged?;
    Ok(found?)
}

async fn find(app: &App, token: &str) -> Result<Option<RegistrationTokenRow>, StoreError> {
    if !is_lawful(token) {
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

pub(super) fn attempt(context: StageContext<'_>, prepared: &Prefetched) -> StageOutcome {
    match prepared {
        Prefetched::Nothing
        | Prefetched::Password(_)
        | Prefetched::UiaCompletion(_)
        | Prefetched::DelegatedSession(_) => StageOutcome::Refused(MISSING),
        Prefetched::RegistrationToken(Some(row)) if row.is_good(context.app.clock.now()) => {
            StageOutcome::Passed {
                evidence: StageResult::RegistrationToken {
                    hash: row.token.hash.clone(),
                },
                refund: Some((Limit::RegistrationToken, context.network.to_string())),
            }
        }
        Prefetched::RegistrationToken(_) => StageOutcome::Refused(REFUSED),
    }
}

/// The use to be spent: of a share that has one left, drawn by chance so that sign-ups do not wait
/// for each other; none for an unlimited token. A row that this very request has read is not read
/// again.
pub(super) async fn redeem(
    app: &App,
    hash: &str,
    prepared: &Prefetched,
) -> Result<Result<Option<TokenUse>, StageError>, StoreError> {
    let row = match prepared {
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
        fields: vec![Field::word("token", "Registration token")],
        button: "Continue",
        ..Form::default()
    }
}

pub(super) fn members_of_form(form: &Query) -> Vec<(&'static str, String)> {
    form.get("token")
        .map(|token| ("token", token.trim().to_owned()))
        .into_iter()
        .collect()
}
