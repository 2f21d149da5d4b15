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
    account_changes::{self, DeactivationSubject},
    accounts::ChangeAccountError,
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    homeserver::{self, Change},
    http::{Request as HttpRequest, Response as HttpResponse},
    identity_servers::{self, IdServerName, IdServerNameError},
    store::AccountStatus,
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
        let subject = DeactivationSubject {
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
    let subject = match find_subject(&app, &protected, &completion).await {
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

/// Finds the account. If the request has no access token, the account is read again, because it may have
/// changed since the password was verified. The owner must not be notified of a deactivation that does
/// not happen.
async fn find_subject(
    app: &App,
    protected: &ProtectedRequest,
    completion: &UiaCompletion,
) -> Result<DeactivationSubject, Rejection> {
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
    Ok(DeactivationSubject {
        user,
        account,
        verified_password: verified.map(|verified| verified.password_changed_at),
    })
}

/// Deactivates the account.
async fn finish(
    app: &App,
    protected: &ProtectedRequest,
    parameters: &Parameters,
    subject: DeactivationSubject,
    mut completion: Option<UiaCompletion>,
) -> Result<HttpResponse, Rejection> {
    let refund = async {
        if let Some(completion) = &mut completion {
            completion.refund_attempt(app).await;
        }
    };
    let id_server = parameters.id_server(app)?;
    let erase = parameters.erase == Some(true);
    let ((), prepared) = tokio::join!(
        refund,
        account_changes::prepare_deactivation(app, subject, erase, id_server.as_ref())
    );
    let (end, unbound) = prepared?;
    let answer = json!({ "id_server_unbind_result": unbound }).to_string();
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
