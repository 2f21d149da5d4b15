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
    accounts::Deactivation,
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    guarded::{self, Guarded, Opened, Wanted, Who},
    http::{Request as HttpRequest, Response as HttpResponse},
    identity_servers::{self, IdServerFault, IdServerName, Which},
    ids::Localpart,
    notices,
    outbox::{Content, NewMessage, Notice},
    store::StoreError,
    threepids::ThreePid,
    uia::{Offer, Operation, Proof},
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
    fn id_server(&self, app: &App) -> Result<Option<IdServerName>, IdServerFault> {
        identity_servers::named(&app.config, self.id_server.as_deref())
    }
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    if !app.config.deactivation {
        let message = "Accounts cannot be deactivated on this server";
        return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
    }
    let wanted = Wanted {
        operation: Operation::Deactivate,
        target: String::new(),
        anonymous: Some(Offer::Password),
        // Who has no password sets one first: a proof that may set a password may do no more.
        without_password: None,
        addresses: true,
    };
    let mut guarded = match guarded::open(&app, &request, wanted).await? {
        Opened::Answered(response) => return Ok(response),
        Opened::New(guarded) => guarded,
    };
    let asked = Request {
        erase: guarded.body.optional("erase")?,
        id_server: guarded.body.optional("id_server")?,
    };
    asked.id_server(&app)?;
    if let Who::Appservice { user, account } = &guarded.who {
        let Some(account) = account else {
            let message = "There is no such account";
            return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
        };
        let subject = (user.clone(), account.epoch);
        return Box::pin(finish(&app, &guarded, &asked, subject, None)).await;
    }
    let asked = guarded.settle(&asked)?;
    let proof = guarded.prove(&app, &asked).await?;
    let subject = match (&guarded.who, &proof.gains.user) {
        (Who::User(caller), _) => (caller.localpart.clone(), caller.account.epoch),
        (_, Some(user)) => user.clone(),
        (_, None) => {
            proof.keep(&app).await;
            return Err(MatrixError::new(ErrorCode::Forbidden, "Nobody has been proven").into());
        }
    };
    Box::pin(finish(&app, &guarded, &asked, subject, Some(proof))).await
}

/// Ends the account.
async fn finish(
    app: &App,
    guarded: &Guarded,
    asked: &Request,
    (user, epoch): (Localpart, i64),
    mut proof: Option<Proof>,
) -> Result<HttpResponse, Rejection> {
    let settle = async {
        if let Some(proof) = &mut proof {
            proof.settle(app).await;
        }
    };
    let addresses = addresses(app, guarded, &user).await?;
    // DEACT-06 to DEACT-11: whatever they say, the account ends.
    let which = Which::All {
        addresses: &addresses,
    };
    let id_server = asked.id_server(app)?;
    let (unbound, messages, ()) = tokio::join!(
        identity_servers::unbind_all(app, &user, which, id_server.as_ref()),
        messages(app, &user, &addresses),
        settle
    );
    let answer = json!({ "id_server_unbind_result": unbound }).to_string();
    let end = Deactivation {
        messages,
        user,
        epoch,
        addresses,
        erase: asked.erase == Some(true),
        now: app.clock.now(),
    };
    if let Some(proof) = proof {
        let write = |session| app.store.deactivate(&end, session);
        return guarded.finish(app, proof, &answer, write).await;
    }
    app.store.deactivate(&end, None).await?;
    Ok(HttpResponse::json_text(StatusCode::OK, answer))
}

async fn addresses(
    app: &App,
    guarded: &Guarded,
    user: &Localpart,
) -> Result<Vec<ThreePid>, StoreError> {
    let own = match &guarded.addresses {
        Some(own) => own.clone(),
        None => app.store.addresses_of(user).await?,
    };
    Ok(own.into_iter().map(|own| own.threepid).collect())
}

/// Tells the owner, and has every row but the account's own removed.
async fn messages(app: &App, user: &Localpart, addresses: &[ThreePid]) -> Vec<NewMessage> {
    let mut messages = notices::notify(app, user, addresses, Notice::Deactivated).await;
    let content = Content::Purge { user: user.clone() };
    messages.push(NewMessage::new(content, app.clock.now(), &*app.chance));
    messages
}
