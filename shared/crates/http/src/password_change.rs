//! Changes of a password: the checks before UIA, UIA itself, and the one transaction that changes the password. A client
//! with an access token authenticates with the old password. A client without an access token, or of an account without a
//! password, validates a 3PID of the account (`reset`).

mod browser;
mod reset;

use serde::{Deserialize, Serialize};

use crate::{
    account_changes,
    accounts::{self, DeviceLogout, PasswordChange},
    app::App,
    credentials,
    error::{ErrorCode, MatrixError, Rejection},
    homeserver::Change,
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    ids::Localpart,
    limits::LimitError,
    outbox::{NewMessage, Notice},
    secrets::Secret,
    security_notifications,
    store::{AccountRow, StoreError},
    threepid_validation::ValidatedThreePid,
    threepids::ThreePid,
    uia::{
        FlowSet, Operation, ParametersChangedError, RequestParameters, UiaCompletion,
        merge_unchanged,
        request::{
            Authentication, CarriedChange, ProtectedRequest, RequestOutcome, RequestSpec, Requester,
        },
        sealed_secret,
    },
};

pub use browser::{BrowserReset, reset_in_browser};

/// The response: an empty object (PWD-02).
const DONE: &str = "{}";

/// The parameters. They are serialised only into the sealed state of the UIA session.
#[derive(Default, Serialize, Deserialize)]
struct Parameters {
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "sealed_secret"
    )]
    new_password: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logout_devices: Option<bool>,
}

impl Parameters {
    fn parse(body: &Body) -> Result<Self, MatrixError> {
        Ok(Self {
            new_password: body.optional::<String>("new_password")?.map(Secret::new),
            logout_devices: body.optional("logout_devices")?,
        })
    }
}

impl RequestParameters for Parameters {
    fn merge(self, remembered: Self) -> Result<Self, ParametersChangedError> {
        Ok(Self {
            new_password: merge_unchanged(self.new_password, remembered.new_password)?,
            logout_devices: merge_unchanged(self.logout_devices, remembered.logout_devices)?,
        })
    }
}

/// The account whose password is changed.
struct Subject {
    user: Localpart,
    account: AccountRow,
    /// The 3PIDs of the account, if they have been read.
    threepids: Option<Vec<ThreePid>>,
    /// The validated 3PID that authenticated the request, if the request was not authenticated by a password.
    validated: Option<ValidatedThreePid>,
    /// Whether that 3PID is recent.
    is_by_recent_threepid: bool,
}

/// The UIA requirements of a password change.
fn spec() -> RequestSpec {
    RequestSpec {
        anonymous: Some(FlowSet::Address),
        without_password: Some(FlowSet::Address),
        threepids: true,
        ..RequestSpec::new(Operation::ChangePassword)
    }
}

/// Changes the password for a client, or returns a challenge as the error.
pub async fn change_password(app: &App, request: &HttpRequest) -> Result<HttpResponse, Rejection> {
    // PWD-15
    accounts::ensure_password_changes_enabled(&app.config)?;
    let protected = match ProtectedRequest::open(app, request, spec()).await? {
        RequestOutcome::Replay(response) => return Ok(response),
        RequestOutcome::New(protected) => *protected,
    };
    if let Requester::Appservice { .. } = protected.requester {
        let message = "Users of application services have no password";
        return Err(MatrixError::new(ErrorCode::Forbidden, message).into());
    }
    let given = Parameters::parse(&protected.body)?;
    Box::pin(carry_out(app, protected, given)).await
}

/// The password change from the checks before UIA to the last transaction.
async fn carry_out(
    app: &App,
    mut protected: ProtectedRequest,
    given: Parameters,
) -> Result<HttpResponse, Rejection> {
    let remembered: Parameters = protected.remembered()?;
    let parameters = protected.merge_parameters(given)?;
    // The password in the session was checked when it was stored.
    if parameters.new_password != remembered.new_password {
        check_password(app, &protected, &parameters)?;
    }
    let completion = match protected.authenticate(app, &parameters).await? {
        Authentication::Completed(completion) => *completion,
        Authentication::Replay(response) => return Ok(response),
    };
    Box::pin(finish(app, &protected, &parameters, completion)).await
}

/// Checks the new password before UIA.
fn check_password(
    app: &App,
    protected: &ProtectedRequest,
    parameters: &Parameters,
) -> Result<(), Rejection> {
    let Some(password) = &parameters.new_password else {
        return Ok(());
    };
    Ok(account_changes::check_new_password(
        app,
        protected.user(),
        password,
    )?)
}

/// Changes the password with one hash and one transaction.
async fn finish(
    app: &App,
    protected: &ProtectedRequest,
    parameters: &Parameters,
    completion: UiaCompletion,
) -> Result<HttpResponse, Rejection> {
    let Some(password) = &parameters.new_password else {
        completion.save_progress(app).await;
        return Err(MatrixError::new(ErrorCode::MissingParam, "`new_password` is missing").into());
    };
    let found = Box::pin(reset::subject(app, protected, completion)).await?;
    let (subject, mut completion) = match found {
        reset::Found::Subject(subject, completion) => (subject, *completion),
        reset::Found::Replay(response) => return Ok(response),
    };
    let threepids = threepids(app, &subject).await?;
    let logout = device_logout(protected, parameters);
    let ((), hash, messages) = tokio::join!(
        completion.refund_attempt(app),
        app.hasher.hash(password, &*app.rng),
        messages(app, &subject, &threepids, &logout)
    );
    let messages = match messages {
        Ok(messages) => messages,
        Err(error) => {
            completion.save_progress(app).await;
            return Err(error.into());
        }
    };
    let verified = completion.result.password.as_ref();
    let change = PasswordChange {
        user: subject.user,
        account: subject.account,
        password: hash?,
        device_logout: logout,
        known: verified.map(|verified| verified.password_changed_at),
        validated: subject.validated,
        is_by_recent_threepid: subject.is_by_recent_threepid,
        messages,
        now: app.clock.now(),
    };
    let write = |session| app.store.change_password(&change, session);
    // The client has authenticated as the account owner. In a known network, password attempts of attackers cannot lock
    // the owner out. The network is recorded after the time of the change, because after a reset the networks that were
    // recorded earlier are no longer known.
    let kept = match &change.device_logout {
        DeviceLogout::AllExcept { id, .. } => Some(id),
        DeviceLogout::None | DeviceLogout::All => None,
    };
    let carried = CarriedChange {
        user: &change.user,
        account: Some(&change.account).filter(|_| change.device_logout != DeviceLogout::None),
        change: Change::DevicesLoggedOut { kept },
    };
    let (response, ()) = tokio::join!(
        protected.finish_with(app, completion, DONE, carried, write),
        credentials::trust_network(app, &change.user, protected.network)
    );
    response
}

async fn threepids(app: &App, subject: &Subject) -> Result<Vec<ThreePid>, StoreError> {
    match &subject.threepids {
        Some(threepids) => Ok(threepids.clone()),
        None => account_changes::threepids(app, &subject.user).await,
    }
}

/// The devices that the change logs out (PWD-07 to PWD-10).
fn device_logout(protected: &ProtectedRequest, parameters: &Parameters) -> DeviceLogout {
    match &protected.requester {
        _ if parameters.logout_devices == Some(false) => DeviceLogout::None,
        Requester::User(caller) => DeviceLogout::AllExcept {
            id: caller.device.clone(),
            epoch: caller.device_epoch,
            access: caller.access_hash.clone(),
        },
        Requester::Anonymous | Requester::Appservice { .. } => DeviceLogout::All,
    }
}

/// Returns the outbox rows: the security notifications of the account owner, and the purge of logged-out devices.
async fn messages(
    app: &App,
    subject: &Subject,
    threepids: &[ThreePid],
    logout: &DeviceLogout,
) -> Result<Vec<NewMessage>, LimitError> {
    let user = &subject.user;
    let notices = match &subject.validated {
        Some(validated) => {
            security_notifications::notify_of_reset(app, &validated.threepid, threepids).await?
        }
        None => {
            security_notifications::notify(app, user, threepids, Notice::PasswordChanged).await?
        }
    };
    Ok(account_changes::password_messages(
        app, user, notices, logout,
    ))
}
