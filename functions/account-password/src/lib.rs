//! `POST /_matrix/client/{r0,v3}/account/password`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3accountpassword);
//! PWD-01 to PWD-19, UIA-13 to UIA-25, TOK-10, TOK-13. With a token the user's password is changed once they have
//! given the old one; without a token it is set anew for whoever proves an address of the account.

mod reset;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    accounts::{self, PasswordChange, Sparing},
    app::App,
    credentials,
    error::{ErrorCode, MatrixError, Rejection},
    guarded::{self, Guarded, Opened, Wanted, Who},
    http::{Request as HttpRequest, Response as HttpResponse},
    ids::Localpart,
    limits::LimitError,
    notices,
    outbox::{NewMessage, Notice},
    passwords,
    secrets::Secret,
    store::{AccountRow, StoreError},
    threepids::{ThreePid, proofs::Proven},
    uia::{Offer, Operation, Proof},
};

/// The answer: nothing (PWD-02).
const DONE: &str = "{}";

/// What is asked for; remembered in the UIA session, sealed.
#[derive(Default, Serialize, Deserialize)]
struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    new_password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logout_devices: Option<bool>,
}

/// Whose password is set, and what lives on.
struct Subject {
    user: Localpart,
    account: AccountRow,
    /// Their addresses, if they have been read.
    addresses: Option<Vec<ThreePid>>,
    /// What it is proven by, if there is no token.
    proven: Option<Proven>,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    accounts::demand_password_changes(&app.config)?;
    let wanted = Wanted {
        operation: Operation::ChangePassword,
        target: String::new(),
        anonymous: Some(Offer::Address),
        without_password: Some(Offer::Address),
        addresses: true,
    };
    let mut guarded = match guarded::open(&app, &request, wanted).await? {
        Opened::Answered(response) => return Ok(response),
        Opened::New(guarded) => guarded,
    };
    if let Who::Appservice { .. } = guarded.who {
        let message = "An application service's users have no passwords";
        return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
    }
    let asked = Request {
        new_password: guarded.body.optional("new_password")?,
        logout_devices: guarded.body.optional("logout_devices")?,
    };
    let asked = guarded.settle(&asked)?;
    judge(&app, &guarded, &asked)?;
    let proof = guarded.prove(&app, &asked).await?;
    Box::pin(finish(&app, &guarded, &asked, proof)).await
}

/// PWD-14: before UIA, with the user's own words where they are known.
fn judge(app: &App, guarded: &Guarded, asked: &Request) -> Result<(), Rejection> {
    let Some(password) = asked.new_password.clone().map(Secret::new) else {
        return Ok(());
    };
    let user = guarded.user().map(Localpart::as_str);
    let own: Vec<&str> = user
        .into_iter()
        .chain([app.config.server_name.as_str()])
        .collect();
    Ok(passwords::judge(&app.config.passwords, &password, &own)?)
}

/// Sets the password: one hash, one transaction.
async fn finish(
    app: &App,
    guarded: &Guarded,
    asked: &Request,
    proof: Proof,
) -> Result<HttpResponse, Rejection> {
    let Some(password) = asked.new_password.clone().map(Secret::new) else {
        proof.keep(app).await;
        return Err(MatrixError::new(ErrorCode::MissingParam, "`new_password` is missing").into());
    };
    let (subject, mut proof) = match Box::pin(reset::subject(app, guarded, proof)).await? {
        reset::Found::Subject(subject, proof) => (subject, *proof),
        reset::Found::Answered(response) => return Ok(response),
    };
    let addresses = addresses(app, &subject).await?;
    let sparing = sparing(guarded, asked);
    // Whoever sets the password is the owner, and strangers do not keep them from logging in with it.
    let ((), hash, messages, ()) = tokio::join!(
        proof.settle(app),
        app.hasher.hash(&password, &*app.chance),
        messages(app, &subject.user, &addresses, &sparing),
        credentials::remember(app, &subject.user, guarded.network)
    );
    let messages = match messages {
        Ok(messages) => messages,
        Err(error) => {
            proof.keep(app).await;
            return Err(error.into());
        }
    };
    let hash = hash?;
    let change = PasswordChange {
        user: subject.user,
        epoch: subject.account.epoch,
        password: hash,
        sparing,
        known: proof.gains.password.as_ref().map(|known| known.set),
        proof: subject.proven,
        messages,
        now: app.clock.now(),
    };
    let write = |session| app.store.change_password(&change, session);
    guarded.finish(app, proof, DONE, write).await
}

async fn addresses(app: &App, subject: &Subject) -> Result<Vec<ThreePid>, StoreError> {
    match &subject.addresses {
        Some(addresses) => Ok(addresses.clone()),
        None => Ok(app
            .store
            .addresses_of(&subject.user)
            .await?
            .into_iter()
            .map(|own| own.threepid)
            .collect()),
    }
}

/// PWD-07 to PWD-10.
fn sparing(guarded: &Guarded, asked: &Request) -> Sparing {
    match &guarded.who {
        _ if asked.logout_devices == Some(false) => Sparing::Everybody,
        Who::User(caller) => Sparing::Device {
            id: caller.device.clone(),
            epoch: caller.device_epoch,
            access: caller.access_hash.clone(),
        },
        Who::Nobody | Who::Appservice { .. } => Sparing::Nobody,
    }
}

/// Tells the owner, and has the rows of dead devices removed.
async fn messages(
    app: &App,
    user: &Localpart,
    addresses: &[ThreePid],
    sparing: &Sparing,
) -> Result<Vec<NewMessage>, LimitError> {
    let mut messages = notices::notify(app, user, addresses, Notice::PasswordChanged).await?;
    if *sparing != Sparing::Everybody {
        messages.push(NewMessage::purge(user, app.clock.now(), &*app.chance));
    }
    Ok(messages)
}
