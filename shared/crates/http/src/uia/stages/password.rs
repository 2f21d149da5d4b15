//! `m.login.password`: somebody knows the password of an account (UIA-40 to UIA-46).
//!
//! Where a token says whose account it is, whoever else is named is refused before anything is
//! hashed (UIA-25), an address that nobody has included: that it is nobody's is not told. Without a token
//! the one who is named is the one whose account it is about.

use super::{Prefetched, StageContext, StageOutcome, StageResult};
use crate::{
    app::App,
    credentials::{self, CredentialError, Identifier},
    error::{ErrorCode, MatrixError, Rejection},
    http::{ClientNetwork, Query},
    ids::Localpart,
    passwords::PasswordHash,
    secrets::Secret,
    store::StoreError,
    uia::{
        StageError, VerifiedPassword,
        fallback::{Field, Form},
        session::SessionState,
    },
};

const MISSING: StageError = StageError {
    code: "M_MISSING_PARAM",
    message: "`identifier` or `password` is missing",
};
const WRONG: StageError = StageError {
    code: "M_FORBIDDEN",
    message: "The user or the password is wrong",
};

pub(super) async fn attempt(
    context: StageContext<'_>,
    prepared: &Prefetched,
) -> Result<StageOutcome, Rejection> {
    let StageContext { app, members, .. } = context;
    let who = match Identifier::parse(app, members) {
        Ok(Some(who)) => who,
        Ok(None) => return Ok(StageOutcome::Refused(MISSING)),
        Err(error) if error.code == ErrorCode::MissingParam => {
            return Ok(StageOutcome::Refused(MISSING));
        }
        Err(error) => return Err(error.into()),
    };
    let Some(password) = members.optional::<String>("password")?.map(Secret::new) else {
        return Ok(StageOutcome::Refused(MISSING));
    };
    let verified = match &context.binding.user {
        Some((user, epoch)) => {
            if !is(app, &who, user).await? {
                let message = "That is not the user whose token this is";
                return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
            }
            let hash = match prepared {
                Prefetched::Password(hash) => hash.clone(),
                _ => read(app, user, context.network).await?,
            };
            let set = hash.as_ref().map(|hash| hash.set).unwrap_or_default();
            let known = VerifiedPassword {
                user: user.clone(),
                epoch: *epoch,
                set,
            };
            credentials::verify_own(app, user, hash, &password, context.network)
                .await
                .map(|refund| (known, Some(refund)))
        }
        None => credentials::verify(app, &who, &password, context.network)
            .await
            .map(|found| {
                let known = VerifiedPassword {
                    user: found.localpart,
                    epoch: found.account.epoch,
                    set: found.password_set,
                };
                (known, None)
            }),
    };
    match verified {
        Ok((known, refund)) => Ok(StageOutcome::Passed {
            evidence: StageResult::Password(known),
            refund,
        }),
        Err(CredentialError::Wrong) => Ok(StageOutcome::Refused(WRONG)),
        Err(error) => Err(error.into()),
    }
}

/// The stored hash, where nobody has read it yet, with the guess charged beside that.
async fn read(
    app: &App,
    user: &Localpart,
    network: ClientNetwork,
) -> Result<Option<PasswordHash>, Rejection> {
    let (charged, facts) = tokio::join!(
        credentials::charge_own(app, user, network),
        app.store.find_login(user)
    );
    charged?;
    Ok(facts?.and_then(|facts| facts.password))
}

/// Whether the one who is named is this user.
async fn is(app: &App, who: &Identifier, user: &Localpart) -> Result<bool, StoreError> {
    Ok(match who {
        Identifier::User(named) => named == user,
        Identifier::ThreePid(threepid) => {
            app.store.find_owner(threepid).await?.as_ref() == Some(user)
        }
        Identifier::Nobody(_) => false,
    })
}

/// The page's form: who they are is asked only where no token has said so.
pub(super) fn form(state: &SessionState) -> Form {
    let password = Field {
        help: "type=\"password\" autocomplete=\"current-password\"",
        ..Field::word("password", "Password")
    };
    let user = Field {
        help: "type=\"text\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\"",
        ..Field::word("user", "User name")
    };
    let fields = match state.binding.user {
        Some(_) => vec![password],
        None => vec![user, password],
    };
    Form {
        text: "Please enter your password.".into(),
        fields,
        button: "Continue",
        ..Form::default()
    }
}

/// What the form says, in the legacy words of an `auth` member (UIA-44).
pub(super) fn members_of_form(form: &Query, state: &SessionState) -> Vec<(&'static str, String)> {
    let field = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let user = match &state.binding.user {
        Some((user, _)) => user.as_str().to_owned(),
        None => field("user").trim().to_owned(),
    };
    vec![("user", user), ("password", field("password"))]
}
