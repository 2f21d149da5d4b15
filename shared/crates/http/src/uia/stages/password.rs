//! `m.login.password`: the client sends the password of an account (UIA-40 to UIA-46).
//!
//! If the request has an access token, an identifier of any other user is rejected before anything is
//! hashed (UIA-25). A 3PID without an account is rejected too: otherwise the response would reveal which
//! 3PIDs have an account. If the request has no access token, the identifier selects the account.

use super::{Prefetched, StageContext, StageOutcome, StageResult};
use crate::{
    app::App,
    credentials::{self, CredentialError, Identifier},
    error::{ErrorCode, MatrixError, Rejection},
    http::Query,
    ids::Localpart,
    secrets::Secret,
    store::StoreError,
    threepids::trim,
    uia::{
        SessionState, StageError, VerifiedPassword,
        stage_page::{Field, Form},
    },
};

const MISSING: StageError = StageError {
    code: ErrorCode::MissingParam,
    message: "`identifier` or `password` is missing",
};
const WRONG: StageError = StageError {
    code: ErrorCode::Forbidden,
    message: credentials::WRONG,
};

pub(super) async fn attempt(
    context: StageContext<'_>,
    prefetched: &Prefetched,
) -> Result<StageOutcome, Rejection> {
    let StageContext { app, members, .. } = context;
    let identifier = match Identifier::parse(app, members) {
        Ok(Some(identifier)) => identifier,
        Ok(None) => return Ok(StageOutcome::Refused(MISSING)),
        Err(error) if error.code == ErrorCode::MissingParam => {
            return Ok(StageOutcome::Refused(MISSING));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(password) = members.optional::<String>("password")?.map(Secret::new) else {
        return Ok(StageOutcome::Refused(MISSING));
    };
    let verified = match &context.scope.user {
        Some((user, epoch)) => {
            if !names_user(app, &identifier, user).await? {
                let message = "The identifier and the access token belong to different users";
                return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
            }
            // Every request of a user's session has read the hash and charged the attempt.
            let hash = match prefetched {
                Prefetched::Password(hash) => hash.clone(),
                _ => None,
            };
            let changed_at = hash.as_ref().map(|hash| hash.changed_at);
            let verified = VerifiedPassword {
                user: user.clone(),
                epoch: *epoch,
                password_changed_at: changed_at.unwrap_or_default(),
            };
            credentials::verify_token_holder(app, user, hash, &password, context.network)
                .await
                .map(|refund| (verified, Some(refund)))
        }
        None => credentials::verify(app, &identifier, &password, context.network)
            .await
            .map(|found| {
                let verified = VerifiedPassword {
                    user: found.localpart,
                    epoch: found.account.epoch,
                    password_changed_at: found.password_changed_at,
                };
                (verified, None)
            }),
    };
    match verified {
        Ok((verified, refund)) => Ok(StageOutcome::Passed {
            result: StageResult::Password(verified),
            refund,
        }),
        Err(CredentialError::Wrong) => Ok(StageOutcome::Refused(WRONG)),
        Err(error) => Err(error.into()),
    }
}

/// Whether the identifier names this user.
async fn names_user(
    app: &App,
    identifier: &Identifier,
    user: &Localpart,
) -> Result<bool, StoreError> {
    Ok(match identifier {
        Identifier::User(named) => named == user,
        Identifier::ThreePid(threepid) => {
            app.store.find_owner(threepid).await?.as_ref() == Some(user)
        }
        Identifier::Unknown(_) => false,
    })
}

/// The form of the fallback page. It asks for the username only if no access token started the session. Otherwise it
/// shows the name, so that a password manager finds the right entry.
pub(super) fn form(state: &SessionState) -> Form {
    let password = Field {
        help: "type=\"password\" autocomplete=\"current-password\"",
        ..Field::text("password", "Password")
    };
    let user = Field {
        help: "type=\"text\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\"",
        is_kept: true,
        ..Field::text("user", "Username")
    };
    let user = match &state.scope.user {
        Some((name, _)) => Field {
            help: "type=\"text\" autocomplete=\"username\" readonly",
            value: name.as_str().to_owned(),
            is_kept: false,
            ..user
        },
        None => user,
    };
    let fields = vec![user, password];
    Form {
        text: "Please enter your password.".into(),
        fields,
        button: "Continue",
        ..Form::default()
    }
}

/// The submitted form as the deprecated members of `auth` (UIA-44).
pub(super) fn members_of_form(form: &Query, state: &SessionState) -> Vec<(&'static str, String)> {
    let field = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let user = match &state.scope.user {
        Some((user, _)) => user.as_str().to_owned(),
        None => trim(&field("user")).to_owned(),
    };
    vec![("user", user), ("password", field("password"))]
}
