//! Sessions of identity servers in the address stages, where the operator chose that (IDS-08,
//! IDS-09): the word of a trusted server counts like a session of ours, once.

use super::{StageContext, StageOutcome, StageResult, StageType, threepid};
use crate::{
    app::App,
    config::Validation,
    error::Rejection,
    identity_servers::{self, IdServerError, Validated},
    limits::{self, Limit},
    threepid_validation::{DelegatedSession, ValidatedThreePid},
    uia::StageError,
};

const NOT_TRUSTED: StageError = StageError {
    code: "M_SERVER_NOT_TRUSTED",
    message: "This server does not trust that identity server",
};
const NO_TOKEN: StageError = StageError {
    code: "M_MISSING_PARAM",
    message: "`id_access_token` is missing from `threepid_creds`, or is no token",
};

/// A validation session at an identity server.
#[derive(Clone)]
pub struct DelegatedLookup {
    /// Its id there.
    pub(super) sid: String,
    /// What else there is to know of it.
    pub(super) elsewhere: DelegatedSession,
}

crate::opaque_debug!(DelegatedLookup);

/// The session that the credentials name, if identity servers validate here and one is named; or why
/// nobody is asked about it.
pub(super) fn named(
    app: &App,
    credentials: &threepid::Credentials,
) -> Option<Result<DelegatedLookup, StageError>> {
    if app.config.identity_servers.validation == Validation::Own {
        return None;
    }
    let id_server = credentials.id_server.as_deref()?;
    let Ok(server) = identity_servers::trusted(&app.config, id_server) else {
        return Some(Err(NOT_TRUSTED));
    };
    let Ok(token) = identity_servers::read_token(app, credentials.id_access_token.clone()) else {
        return Some(Err(NO_TOKEN));
    };
    Some(Ok(DelegatedLookup {
        sid: credentials.sid.clone(),
        elsewhere: DelegatedSession {
            id_server: server.name.as_str().to_owned(),
            client_secret: credentials.client_secret.reveal().clone(),
            token: token.map(|token| token.reveal().clone()),
        },
    }))
}

/// Asks the identity server. As long as it has nothing good to say the answer is the one of our own
/// sessions, whatever the reason: clients ask again.
pub(super) async fn attempt(
    context: StageContext<'_>,
    stage: StageType,
    session: &DelegatedLookup,
) -> Result<StageOutcome, Rejection> {
    let app = context.app;
    let not_yet = threepid::NOT_YET;
    // Its trust may have ended since.
    let server = identity_servers::trusted(&app.config, &session.elsewhere.id_server);
    let (Ok(server), Some(_)) = (server, threepid::purpose(context.binding)) else {
        return Ok(StageOutcome::Refused(not_yet));
    };
    limits::spend(app, Limit::IdServer, context.network).await?;
    let found =
        identity_servers::find_validated(app, server, &session.sid, &session.elsewhere).await;
    match found {
        Ok(Some(Validated { threepid, at })) if stage.medium() == Some(threepid.medium) => {
            Ok(StageOutcome::passed(StageResult::ThreePid(
                ValidatedThreePid {
                    sid: session.sid.clone(),
                    session_nonce: String::new(),
                    threepid,
                    // When it was asked for, only the identity server knows.
                    started_at: at,
                    validated_at: at,
                    delegated: Some(session.elsewhere.clone()),
                },
            )))
        }
        // Of another medium, too old, or none that it would speak of.
        Ok(_) => Ok(StageOutcome::Refused(not_yet)),
        Err(IdServerError::Refused(refusal)) if refusal.errcode != "M_SESSION_NOT_VALIDATED" => {
            Ok(StageOutcome::Refused(not_yet))
        }
        Err(_) => Ok(StageOutcome::Waiting {
            sid: session.sid.clone(),
            elsewhere: Some(session.elsewhere.clone()),
            why: not_yet,
        }),
    }
}
