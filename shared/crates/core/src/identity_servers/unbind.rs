//! Unbinding: the identity server removes the association of a 3PID with a user. The identity server accepts the
//! signature of this server, so no credentials of the client are needed (IDS-13, DEACT-10).

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;

use super::{IdServerError, IdServerName, TrustedServer};
use crate::{
    app::App,
    id_server_client::Call,
    id_server_name,
    ids::Localpart,
    secrets::Secret,
    signing::{DestinationForm, SignedRequest},
    store::{IdentityBinding, StoreError},
    threepid::{Medium, ThreePid},
};

/// The path for unbinding. Identity servers support it regardless of their other API versions.
const PATH: &str = "/_matrix/identity/v2/3pid/unbind";
/// The timeout for all unbind requests of an operation.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The maximum number of concurrent requests to identity servers.
const MAX_CONCURRENT: usize = 16;

/// The result of unbinding: the value of `id_server_unbind_result` (DEACT-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnbindResult {
    /// No binding remains.
    Success,
    /// A binding may remain.
    NoSupport,
}

/// The 3PIDs to unbind.
#[derive(Debug, Clone, Copy)]
pub enum UnbindScope<'a> {
    /// All recorded bindings. At the identity server that the request names, also all 3PIDs of the account
    /// (DEACT-06).
    All {
        /// The 3PIDs of the account.
        addresses: &'a [ThreePid],
    },
    /// One 3PID, at every identity server where it is bound.
    One(&'a ThreePid),
}

/// A 3PID to unbind at an identity server.
pub(super) struct Target<'a> {
    /// The identity server. `None` if it is no longer trusted.
    pub(super) server: Option<&'a TrustedServer>,
    pub(super) medium: Medium,
    /// The address in the identity server's own form.
    pub(super) address: String,
    pub(super) record: Option<IdentityBinding>,
}

/// Unbinds 3PIDs as part of another operation, which must not wait for identity servers or fail because of
/// them: every error gives `no-support` (DEACT-08, DEACT-11, IDS-14), and this function returns after at most eight
/// seconds.
///
/// If nothing is bound, the result is `success` for [`UnbindScope::All`] (DEACT-09) and `no-support` for
/// [`UnbindScope::One`] (ACC3-05). If the request names an identity server, that server receives a request for each
/// of the 3PIDs. With [`UnbindScope::All`], bindings at other identity servers are removed too, because no later
/// request can remove them.
pub async fn unbind_all(
    app: &App,
    user: &Localpart,
    scope: UnbindScope<'_>,
    id_server: Option<&IdServerName>,
) -> UnbindResult {
    let work = async {
        let Ok(bindings) = app.store.find_bindings(user).await else {
            tracing::warn!("the bindings at identity servers could not be read");
            return UnbindResult::NoSupport;
        };
        let targets = targets(app, scope, id_server, bindings);
        if targets.is_empty() {
            return match scope {
                UnbindScope::All { .. } => UnbindResult::Success,
                UnbindScope::One(_) => UnbindResult::NoSupport,
            };
        }
        let outcomes = undo_all(app, user, &targets).await;
        let all = outcomes
            .iter()
            .all(|outcome| matches!(outcome, Ok(UnbindResult::Success)));
        if all {
            UnbindResult::Success
        } else {
            UnbindResult::NoSupport
        }
    };
    let outcome = tokio::time::timeout(TIMEOUT, work).await;
    outcome.unwrap_or(UnbindResult::NoSupport)
}

/// The recorded bindings in scope, and the requests to the named identity server in addition to them.
fn targets<'a>(
    app: &'a App,
    scope: UnbindScope<'_>,
    id_server: Option<&IdServerName>,
    bindings: Vec<IdentityBinding>,
) -> Vec<Target<'a>> {
    let trusted = &app.config.identity_servers.trusted;
    let in_scope = |binding: &IdentityBinding| match scope {
        UnbindScope::All { .. } => true,
        UnbindScope::One(threepid) => {
            is_same(binding, threepid.medium, &threepid.address)
                && id_server.is_none_or(|named| named.as_str() == binding.id_server)
        }
    };
    let mut targets: Vec<Target<'a>> = bindings
        .into_iter()
        .filter(in_scope)
        .map(|binding| Target::of(trusted, binding))
        .collect();
    let Some(named) = id_server else {
        return targets;
    };
    let addresses = match scope {
        UnbindScope::All { addresses } => addresses,
        UnbindScope::One(threepid) => std::slice::from_ref(threepid),
    };
    for threepid in addresses {
        let is_there = targets.iter().any(|target| {
            target.record.as_ref().is_some_and(|record| {
                record.id_server == named.as_str()
                    && is_same(record, threepid.medium, &threepid.address)
            })
        });
        if !is_there {
            targets.push(Target {
                server: trusted.iter().find(|server| server.name == *named),
                medium: threepid.medium,
                address: threepid.address.clone(),
                record: None,
            });
        }
    }
    targets
}

/// Unbinds a 3PID at the request of its owner and returns the error of the identity server (IDS-14). If `server` is
/// `None`, the 3PID is unbound at every identity server where it is bound (IDS-20).
pub async fn unbind(
    app: &App,
    user: &Localpart,
    medium: Medium,
    address: &str,
    server: Option<&TrustedServer>,
) -> Result<UnbindResult, UnbindError> {
    let trusted = &app.config.identity_servers.trusted;
    let bindings = app.store.find_bindings(user).await?;
    let mut targets: Vec<_> = bindings
        .into_iter()
        .filter(|binding| is_same(binding, medium, address))
        .filter(|binding| server.is_none_or(|named| named.name.as_str() == binding.id_server))
        .map(|binding| Target::of(trusted, binding))
        .collect();
    if targets.is_empty() {
        let Some(server) = server else {
            return Ok(UnbindResult::NoSupport);
        };
        targets.push(Target {
            server: Some(server),
            medium,
            address: address.to_owned(),
            record: None,
        });
    }
    let mut result = UnbindResult::Success;
    for outcome in undo_all(app, user, &targets).await {
        if outcome? == UnbindResult::NoSupport {
            result = UnbindResult::NoSupport;
        }
    }
    Ok(result)
}

/// The reason why a 3PID could not be unbound.
#[derive(Debug, thiserror::Error)]
pub enum UnbindError {
    /// The identity server failed or rejected the request.
    #[error(transparent)]
    IdServer(#[from] IdServerError),
    /// The recorded bindings could not be read or removed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<'a> Target<'a> {
    fn of(trusted: &'a [TrustedServer], binding: IdentityBinding) -> Self {
        Self {
            server: id_server_name::find(trusted, &binding.id_server).ok(),
            medium: binding.medium,
            address: binding.address.clone(),
            record: Some(binding),
        }
    }
}

/// Whether a record has this address. E-mail addresses are compared without case, phone numbers without a leading
/// `+`.
fn is_same(binding: &IdentityBinding, medium: Medium, address: &str) -> bool {
    let normalize = |address: &str| match medium {
        Medium::Email => caseless::default_case_fold_str(address),
        Medium::Msisdn => address.trim_start_matches('+').to_owned(),
    };
    binding.medium == medium && normalize(&binding.address) == normalize(address)
}

/// Unbinds all targets, at most [`MAX_CONCURRENT`] at a time. The results are in the order of the targets.
async fn undo_all(
    app: &App,
    user: &Localpart,
    targets: &[Target<'_>],
) -> Vec<Result<UnbindResult, UnbindError>> {
    let work: Vec<_> = targets
        .iter()
        .map(|target| undo(app, user, target))
        .collect();
    stream::iter(work).buffered(MAX_CONCURRENT).collect().await
}

/// Unbinds one target and then removes its record.
pub(super) async fn undo(
    app: &App,
    user: &Localpart,
    target: &Target<'_>,
) -> Result<UnbindResult, UnbindError> {
    let Some(server) = target.server else {
        return Ok(UnbindResult::NoSupport);
    };
    match ask(app, user, server, target).await {
        Ok(()) => {}
        // The identity server rejected the request without a Matrix error. A retry would not help (IDS-14).
        Err(IdServerError::UnexpectedResponse(400 | 404 | 501)) => {
            return Ok(UnbindResult::NoSupport);
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(record) = &target.record {
        app.store.remove_binding(user, record).await?;
    }
    Ok(UnbindResult::Success)
}

/// Sends a signed request. If the signature is rejected, sends a second request, which has the destination under
/// its other name (IDS-17).
async fn ask(
    app: &App,
    user: &Localpart,
    server: &TrustedServer,
    target: &Target<'_>,
) -> Result<(), IdServerError> {
    let first = signed(app, user, server, target, DestinationForm::DestinationIs).await;
    let Err(IdServerError::Refused(refusal)) = &first else {
        return first;
    };
    if ![401, 403].contains(&refusal.status) {
        return first;
    }
    match signed(app, user, server, target, DestinationForm::Destination).await {
        // The second rejection gives no more information than the first.
        Err(IdServerError::Refused(second)) if [401, 403].contains(&second.status) => first,
        other => other,
    }
}

async fn signed(
    app: &App,
    user: &Localpart,
    server: &TrustedServer,
    target: &Target<'_>,
    form: DestinationForm,
) -> Result<(), IdServerError> {
    let origin = &app.config.server_name;
    let content = json!({
        "mxid": user.user_id(origin),
        "threepid": { "medium": target.medium, "address": target.address },
    });
    let request = SignedRequest {
        method: "POST",
        uri: PATH,
        origin,
        destination: server.name.as_str(),
        content: &content,
    };
    let key = &app.config.identity_servers.keys.current;
    let unreachable = IdServerError::Unreachable("the request cannot be signed");
    let call = Call {
        server,
        method: "POST",
        uri: PATH,
        authorization: Some(Secret::new(
            request.authorization(key, form).ok_or(unreachable)?,
        )),
        body: Some(content.to_string()),
    };
    match app.identity_client().call(call).await {
        Ok(_) | Err(IdServerError::UnexpectedResponse(200)) => Ok(()),
        Err(error) => Err(error),
    }
}
