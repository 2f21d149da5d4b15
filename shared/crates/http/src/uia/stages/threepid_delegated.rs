//! Validation sessions of identity servers in the 3PID stages, if the operator has enabled delegation
//! (IDS-08, IDS-09). A session that a trusted identity server reports as validated can be used once, like
//! a session of this server.

use super::{StageContext, StageOutcome, StageResult, StageType, threepid};
use crate::{
    app::App,
    config::Validation,
    error::{ErrorCode, Rejection},
    identity_servers::{self, IdServerError, Validated},
    limits::{self, Limit},
    threepid_creds::ThreePidCreds,
    threepid_validation::{DelegatedSession, ValidatedThreePid},
    uia::StageError,
};

const NOT_TRUSTED: StageError = StageError {
    code: ErrorCode::ServerNotTrusted,
    message: "This server does not trust that identity server",
};
const NO_TOKEN: StageError = StageError {
    code: ErrorCode::MissingParam,
    message: "`id_access_token` of `threepid_creds` is missing or not a valid token",
};

/// A validation session at an identity server.
#[derive(Clone)]
pub struct DelegatedLookup {
    /// The session ID from the identity server.
    pub(super) sid: String,
    /// The identity server and the credentials of the session.
    pub(super) session: DelegatedSession,
}

crate::opaque_debug!(DelegatedLookup);

/// The session at the identity server that the client names, or the reason why that server is not
/// called. Returns `None` if the client does not name an identity server or this server validates 3PIDs itself.
pub(super) fn lookup(
    app: &App,
    credentials: &ThreePidCreds,
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
        session: DelegatedSession {
            id_server: server.name.as_str().to_owned(),
            client_secret: credentials.client_secret.reveal().clone(),
            token: token.map(|token| token.reveal().clone()),
        },
    }))
}

/// Calls the identity server. Until the identity server reports the session as validated, the response is the same
/// as for a session of this server, regardless of the reason, because clients poll.
pub(super) async fn attempt(
    context: StageContext<'_>,
    stage: StageType,
    lookup: &DelegatedLookup,
) -> Result<StageOutcome, Rejection> {
    let app = context.app;
    let not_yet = threepid::NOT_YET;
    // The operator may have removed the identity server from the trusted servers in the meantime.
    let server = identity_servers::trusted(&app.config, &lookup.session.id_server);
    let (Ok(server), Some(_)) = (server, threepid::purpose(context.scope)) else {
        return Ok(StageOutcome::Refused(not_yet));
    };
    limits::consume(app, Limit::IdServer, context.network).await?;
    let found = identity_servers::find_validated(app, server, &lookup.sid, &lookup.session).await;
    match found {
        Ok(Some(Validated { threepid, at })) if stage.medium() == Some(threepid.medium) => {
            Ok(StageOutcome::passed(StageResult::ThreePid(
                ValidatedThreePid {
                    sid: lookup.sid.clone(),
                    session_nonce: String::new(),
                    threepid,
                    // The identity server does not disclose when the message was requested.
                    started_at: at,
                    validated_at: at,
                    delegated: Some(lookup.session.clone()),
                },
            )))
        }
        // The session has another medium or has expired, or the identity server does not disclose it.
        Ok(_) => Ok(StageOutcome::Refused(not_yet)),
        Err(IdServerError::Refused(error)) if !error.is_not_validated_yet() => {
            Ok(StageOutcome::Refused(not_yet))
        }
        Err(_) => Ok(StageOutcome::Waiting {
            sid: lookup.sid.clone(),
            delegated: Some(lookup.session.clone()),
            error: not_yet,
        }),
    }
}
