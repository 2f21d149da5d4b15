//! `POST /_matrix/client/{r0,v3}/account/deactivate`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3accountdeactivate);
//! DEACT-01 to DEACT-17, UIA-13 to UIA-28, TOK-10, TOK-13, TOK-15, IDS-03. Without a token the
//! password says whose account it is. First the identity servers are told, for as long as that may take;
//! whatever they say, one transaction then ends the account.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{
    accounts::{ChangeAccountError, Deactivation},
    app::App,
    clock::Timestamp,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request as HttpRequest, Response as HttpResponse},
    identity_servers::{self, IdServerName, IdServerNameError, UnbindResult, UnbindScope},
    ids::Localpart,
    outbox::{NewMessage, Notice},
    security_notifications,
    store::{AccountRow, AccountStatus, StoreError},
    threepids::ThreePid,
    tokens::AuthenticationError,
    uia::{FlowSet, Operation, UiaCompletion},
    uia_request::{self, ProtectedRequest, RequestOutcome, RequestSpec, Requester},
};

/// What is asked for; remembered in the UIA session, sealed.
#[derive(Default, Serialize, Deserialize)]
struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    erase: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_server: Option<String>,
}

impl Request {
    /// The identity server that is to forget the addresses.
    fn id_server(&self, app: &App) -> Result<Option<IdServerName>, IdServerNameError> {
        identity_servers::named(&app.config, self.id_server.as_deref())
    }
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    if !app.config.deactivation {
        let message = "Accounts cannot be deactivated on this server";
        return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
    }
    let wanted = RequestSpec {
        operation: Operation::Deactivate,
        target: String::new(),
        anonymous: Some(FlowSet::Password),
        // Who has no password sets one first: a proof that may set a password may do no more.
        without_password: None,
        addresses: false,
    };
    let mut uia_request = match uia_request::open(&app, &request, wanted).await? {
        RequestOutcome::Answered(response) => return Ok(response),
        RequestOutcome::New(uia_request) => uia_request,
    };
    let asked = Request {
        erase: uia_request.body.optional("erase")?,
        id_server: uia_request.body.optional("id_server")?,
    };
    asked.id_server(&app)?;
    if let Requester::Appservice { user, account } = &uia_request.who {
        let Some(account) = account else {
            let message = "There is no such account";
            return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
        };
        let subject = Subject {
            user: user.clone(),
            account: account.clone(),
            known: None,
        };
        return Box::pin(finish(&app, &uia_request, &asked, subject, None)).await;
    }
    let asked = uia_request.settle(&asked)?;
    let proof = uia_request.prove(&app, &asked).await?;
    let subject = match Subject::of(&app, &uia_request, &proof).await {
        Ok(subject) => subject,
        // A twin of the request may have ended it.
        Err(why) => return uia_request.answer_of_twin(&app).await?.ok_or(why),
    };
    Box::pin(finish(&app, &uia_request, &asked, subject, Some(proof))).await
}

/// Whose account it is, as it was read, and when the password was set that was given.
struct Subject {
    user: Localpart,
    account: AccountRow,
    known: Option<Timestamp>,
}

impl Subject {
    /// Without a token the account is read again: since the password was given it may have become
    /// another, and nobody is to be told of an end that does not come.
    async fn of(
        app: &App,
        uia_request: &ProtectedRequest,
        proof: &UiaCompletion,
    ) -> Result<Self, Rejection> {
        let known = proof.gains.password.as_ref();
        let moved = ChangeAccountError::AccountChanged;
        let (user, account) = match (&uia_request.who, known) {
            (Requester::User(caller), _) => (caller.localpart.clone(), caller.account.clone()),
            (_, Some(known)) => {
                let facts = app.store.find_login(&known.user).await?;
                let facts = facts.ok_or(ChangeAccountError::AccountChanged)?;
                if facts.account.status == AccountStatus::Locked {
                    return Err(AuthenticationError::Locked.into());
                }
                let set = facts.password.map(|password| password.set);
                if facts.account.epoch != known.epoch || set != Some(known.set) {
                    return Err(moved.into());
                }
                (known.user.clone(), facts.account)
            }
            (_, None) => return Err(moved.into()),
        };
        Ok(Self {
            user,
            account,
            known: known.map(|known| known.set),
        })
    }
}

/// Ends the account. Its addresses are read after itself: none that was added since is left behind.
async fn finish(
    app: &App,
    uia_request: &ProtectedRequest,
    asked: &Request,
    subject: Subject,
    mut proof: Option<UiaCompletion>,
) -> Result<HttpResponse, Rejection> {
    let settle = async {
        if let Some(proof) = &mut proof {
            proof.settle(app).await;
        }
    };
    let user = &subject.user;
    let id_server = asked.id_server(app)?;
    let ((), addresses, unbound) = tokio::join!(settle, addresses(app, user), async {
        match id_server {
            None => Some(unbind(app, user, &[], None).await),
            Some(_) => None,
        }
    });
    let addresses = addresses?;
    let unbound = match unbound {
        Some(result) => result,
        None => unbind(app, user, &addresses, id_server.as_ref()).await,
    };
    let answer = json!({ "id_server_unbind_result": unbound }).to_string();
    let mut messages = security_notifications::mails(app, &addresses, Notice::Deactivated);
    messages.push(NewMessage::purge(user, app.clock.now(), &*app.rng));
    let end = Deactivation {
        messages,
        user: subject.user,
        account: subject.account,
        known: subject.known,
        addresses,
        erase: asked.erase == Some(true),
        now: app.clock.now(),
    };
    if let Some(proof) = proof {
        let write = |session| app.store.deactivate(&end, session);
        return uia_request.finish(app, proof, &answer, write).await;
    }
    app.store.deactivate(&end, None).await?;
    Ok(HttpResponse::json_text(StatusCode::OK, answer))
}

async fn addresses(app: &App, user: &Localpart) -> Result<Vec<ThreePid>, StoreError> {
    let own = app.store.addresses_of(user).await?;
    Ok(own.into_iter().map(|own| own.threepid).collect())
}

/// DEACT-06 to DEACT-11: whatever comes of it, the account ends. Only a server that is named is told
/// of addresses that were never bound.
async fn unbind(
    app: &App,
    user: &Localpart,
    addresses: &[ThreePid],
    id_server: Option<&IdServerName>,
) -> UnbindResult {
    identity_servers::unbind_all(app, user, UnbindScope::All { addresses }, id_server).await
}
