//! `POST /_matrix/client/{r0,v3}/account/password`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3accountpassword);
//! PWD-01 to PWD-19, UIA-13 to UIA-25, TOK-10, TOK-13. With a token the user's password is changed once they have
//! given the old one; without a token it is set anew for whoever proves an address of the account.

mod reset;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{
    accounts::{self, DeviceLogout, PasswordChange},
    app::App,
    credentials,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Request as HttpRequest, Response as HttpResponse},
    ids::Localpart,
    limits::LimitError,
    outbox::{NewMessage, Notice},
    passwords,
    secrets::Secret,
    security_notifications,
    store::{AccountRow, StoreError},
    threepids::{ThreePid, proofs::ValidatedThreePid},
    uia::{FlowSet, Operation, UiaCompletion},
    uia_request::{self, ProtectedRequest, RequestOutcome, RequestSpec, Requester},
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
    proven: Option<ValidatedThreePid>,
}

/// Answers the request.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    accounts::ensure_password_changes_enabled(&app.config)?;
    let wanted = RequestSpec {
        operation: Operation::ChangePassword,
        target: String::new(),
        anonymous: Some(FlowSet::Address),
        without_password: Some(FlowSet::Address),
        addresses: true,
    };
    let mut uia_request = match uia_request::open(&app, &request, wanted).await? {
        RequestOutcome::Answered(response) => return Ok(response),
        RequestOutcome::New(uia_request) => uia_request,
    };
    if let Requester::Appservice { .. } = uia_request.who {
        let message = "An application service's users have no passwords";
        return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
    }
    let asked = Request {
        new_password: uia_request.body.optional("new_password")?,
        logout_devices: uia_request.body.optional("logout_devices")?,
    };
    let asked = uia_request.settle(&asked)?;
    judge(&app, &uia_request, &asked)?;
    let proof = uia_request.prove(&app, &asked).await?;
    Box::pin(finish(&app, &uia_request, &asked, proof)).await
}

/// PWD-14: before UIA, with the user's own words where they are known.
fn judge(app: &App, uia_request: &ProtectedRequest, asked: &Request) -> Result<(), Rejection> {
    let Some(password) = asked.new_password.clone().map(Secret::new) else {
        return Ok(());
    };
    let user = uia_request.user().map(Localpart::as_str);
    let own: Vec<&str> = user
        .into_iter()
        .chain([app.config.server_name.as_str()])
        .collect();
    Ok(passwords::validate(&app.config.passwords, &password, &own)?)
}

/// Sets the password: one hash, one transaction.
async fn finish(
    app: &App,
    uia_request: &ProtectedRequest,
    asked: &Request,
    proof: UiaCompletion,
) -> Result<HttpResponse, Rejection> {
    let Some(password) = asked.new_password.clone().map(Secret::new) else {
        proof.keep(app).await;
        return Err(MatrixError::new(ErrorCode::MissingParam, "`new_password` is missing").into());
    };
    let (subject, mut proof) = match Box::pin(reset::subject(app, uia_request, proof)).await? {
        reset::Found::Subject(subject, proof) => (subject, *proof),
        reset::Found::Answered(response) => return Ok(response),
    };
    let addresses = addresses(app, &subject).await?;
    let device_logout = device_logout(uia_request, asked);
    // Whoever sets the password is the owner, and strangers do not keep them from logging in with it.
    let ((), hash, messages, ()) = tokio::join!(
        proof.settle(app),
        app.hasher.hash(&password, &*app.rng),
        messages(app, &subject.user, &addresses, &device_logout),
        credentials::remember(app, &subject.user, uia_request.network)
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
        device_logout,
        known: proof.gains.password.as_ref().map(|known| known.set),
        proof: subject.proven,
        messages,
        now: app.clock.now(),
    };
    let write = |session| app.store.change_password(&change, session);
    uia_request.finish(app, proof, DONE, write).await
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
fn device_logout(uia_request: &ProtectedRequest, asked: &Request) -> DeviceLogout {
    match &uia_request.who {
        _ if asked.logout_devices == Some(false) => DeviceLogout::None,
        Requester::User(caller) => DeviceLogout::AllExcept {
            id: caller.device.clone(),
            epoch: caller.device_epoch,
            access: caller.access_hash.clone(),
        },
        Requester::Nobody | Requester::Appservice { .. } => DeviceLogout::All,
    }
}

/// Tells the owner, and has the rows of dead devices removed.
async fn messages(
    app: &App,
    user: &Localpart,
    addresses: &[ThreePid],
    device_logout: &DeviceLogout,
) -> Result<Vec<NewMessage>, LimitError> {
    let mut messages =
        security_notifications::notify(app, user, addresses, Notice::PasswordChanged).await?;
    if *device_logout != DeviceLogout::None {
        messages.push(NewMessage::purge(user, app.clock.now(), &*app.rng));
    }
    Ok(messages)
}
