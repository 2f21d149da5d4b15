//! `POST /_matrix/client/{r0,v3}/account/deactivate`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3accountdeactivate)
//!
//! If the request has no access token, the identifier of the password stage selects the account. The function
//! first asks the identity servers to unbind the 3PIDs, within a time limit. One transaction then
//! deactivates the account, regardless of their responses.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{
    accounts::{ChangeAccountError, Deactivation},
    app::App,
    clock::Timestamp,
    error::{ErrorCode, MatrixError, Rejection},
    homeserver::{self, Change},
    http::{Request as HttpRequest, Response as HttpResponse},
    identity_servers::{self, IdServerName, IdServerNameError, UnbindResult, UnbindScope},
    ids::Localpart,
    outbox::{NewMessage, Notice},
    security_notifications,
    store::{AccountRow, AccountStatus, StoreError},
    threepids::ThreePid,
    tokens::AuthenticationError,
    uia::{
        FlowSet, Operation, ParametersChangedError, RequestParameters, UiaCompletion,
        merge_unchanged,
        request::{
            Authentication, CarriedChange, ProtectedRequest, RequestOutcome, RequestSpec, Requester,
        },
    },
};

/// The parameters. The UIA session stores them.
#[derive(Default, Serialize, Deserialize)]
struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    erase: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_server: Option<String>,
}

impl RequestParameters for Parameters {
    fn merge(self, remembered: Self) -> Result<Self, ParametersChangedError> {
        Ok(Self {
            erase: merge_unchanged(self.erase, remembered.erase)?,
            id_server: merge_unchanged(self.id_server, remembered.id_server)?,
        })
    }
}

impl Parameters {
    /// The identity server that must unbind the 3PIDs.
    fn id_server(&self, app: &App) -> Result<Option<IdServerName>, IdServerNameError> {
        identity_servers::named(&app.config, self.id_server.as_deref())
    }
}

/// Handles the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    if !app.config.deactivation {
        let message = "Accounts cannot be deactivated on this server";
        return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
    }
    // An account without a password must get one first, because a validated 3PID authorises nothing but
    // a new password.
    let spec = RequestSpec {
        anonymous: Some(FlowSet::Password),
        ..RequestSpec::new(Operation::Deactivate)
    };
    let mut protected = match ProtectedRequest::open(&app, &request, spec).await? {
        RequestOutcome::Replay(response) => return Ok(response),
        RequestOutcome::New(protected) => protected,
    };
    let given = Parameters {
        erase: protected.body.optional("erase")?,
        id_server: protected.body.optional("id_server")?,
    };
    given.id_server(&app)?;
    if let Requester::Appservice { user, account } = &protected.requester {
        let Some(account) = account else {
            let message = "The account does not exist";
            return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
        };
        let subject = Subject {
            user: user.clone(),
            account: account.clone(),
            verified_password: None,
        };
        return Box::pin(finish(&app, &protected, &given, subject, None)).await;
    }
    let parameters = protected.merge_parameters(given)?;
    let completion = match protected.authenticate(&app, &parameters).await? {
        Authentication::Completed(completion) => *completion,
        Authentication::Replay(response) => return Ok(response),
    };
    let subject = match Subject::find(&app, &protected, &completion).await {
        Ok(subject) => subject,
        // A concurrent duplicate of the request may have deactivated the account.
        Err(error) => return protected.or_replay(&app, error).await,
    };
    Box::pin(finish(
        &app,
        &protected,
        &parameters,
        subject,
        Some(completion),
    ))
    .await
}

/// The account, as it was read.
struct Subject {
    user: Localpart,
    account: AccountRow,
    /// The time of the last change of the verified password.
    verified_password: Option<Timestamp>,
}

impl Subject {
    /// Finds the account. If the request has no access token, the account is read again, because it may have
    /// changed since the password was verified. The owner must not be notified of a deactivation that does
    /// not happen.
    async fn find(
        app: &App,
        protected: &ProtectedRequest,
        completion: &UiaCompletion,
    ) -> Result<Self, Rejection> {
        let verified = completion.result.password.as_ref();
        let moved = ChangeAccountError::AccountChanged;
        let (user, account) = match (&protected.requester, verified) {
            (Requester::User(caller), _) => (caller.localpart.clone(), caller.account.clone()),
            (_, Some(verified)) => {
                let facts = app.store.find_login(&verified.user).await?;
                let facts = facts.ok_or(ChangeAccountError::AccountChanged)?;
                if facts.account.status == AccountStatus::Locked {
                    return Err(AuthenticationError::Locked.into());
                }
                let changed_at = facts.password.map(|password| password.changed_at);
                if facts.account.epoch != verified.epoch
                    || changed_at != Some(verified.password_changed_at)
                {
                    return Err(moved.into());
                }
                (verified.user.clone(), facts.account)
            }
            (_, None) => return Err(moved.into()),
        };
        Ok(Self {
            user,
            account,
            verified_password: verified.map(|verified| verified.password_changed_at),
        })
    }
}

/// Deactivates the account. Its 3PIDs are read after the account. If a 3PID has been added since, the transaction
/// fails, so that no 3PID is left behind.
async fn finish(
    app: &App,
    protected: &ProtectedRequest,
    parameters: &Parameters,
    subject: Subject,
    mut completion: Option<UiaCompletion>,
) -> Result<HttpResponse, Rejection> {
    let refund = async {
        if let Some(completion) = &mut completion {
            completion.refund_attempt(app).await;
        }
    };
    let user = &subject.user;
    let id_server = parameters.id_server(app)?;
    let ((), threepids, unbound) = tokio::join!(refund, threepids(app, user), async {
        match id_server {
            None => Some(unbind(app, user, &[], None).await),
            Some(_) => None,
        }
    });
    let threepids = threepids?;
    let unbound = match unbound {
        Some(result) => result,
        None => unbind(app, user, &threepids, id_server.as_ref()).await,
    };
    let answer = json!({ "id_server_unbind_result": unbound }).to_string();
    let mut messages = security_notifications::mails(app, &threepids, Notice::Deactivated);
    messages.push(NewMessage::purge(user, app.clock.now(), &*app.rng));
    let end = Deactivation {
        messages,
        user: subject.user,
        account: subject.account,
        known: subject.verified_password,
        addresses: threepids,
        erase: parameters.erase == Some(true),
        now: app.clock.now(),
    };
    let change = Change::Deactivated { erase: end.erase };
    let (user, account) = (&end.user, Some(&end.account));
    if let Some(completion) = completion {
        let carried = CarriedChange {
            user,
            account,
            change,
        };
        let write = |session| app.store.deactivate(&end, session);
        return protected
            .finish_with(app, completion, &answer, carried, write)
            .await;
    }
    let ended = app.store.deactivate(&end, None);
    homeserver::carry_over(app, user, account, change, ended).await?;
    Ok(HttpResponse::json_text(StatusCode::OK, answer))
}

async fn threepids(app: &App, user: &Localpart) -> Result<Vec<ThreePid>, StoreError> {
    let own = app.store.addresses_of(user).await?;
    Ok(own.into_iter().map(|own| own.threepid).collect())
}

/// Unbinds the 3PIDs. The account is deactivated regardless of the result (DEACT-06 to DEACT-11). 3PIDs that were
/// not bound through this server are unbound only at the identity server that the client names.
async fn unbind(
    app: &App,
    user: &Localpart,
    threepids: &[ThreePid],
    id_server: Option<&IdServerName>,
) -> UnbindResult {
    identity_servers::unbind_all(
        app,
        user,
        UnbindScope::All {
            addresses: threepids,
        },
        id_server,
    )
    .await
}
