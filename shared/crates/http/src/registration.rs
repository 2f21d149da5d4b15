//! Registers users: the checks before UIA, UIA itself, and the one transaction that creates the account.

mod answer;
mod browser;
mod name;
mod parameters;
mod transaction;

use crate::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request, Response as HttpResponse},
    passwords,
    secrets::Secret,
    threepids::{self, Medium, ThreePidDeniedError},
    uia::{
        UiaCompletion,
        request::{Authentication, ProtectedRequest, Registration, RequestOutcome},
    },
};

pub use answer::Response;
pub use browser::{BrowserRegistration, SignedUp, register_in_browser};
pub use parameters::Parameters;

use name::{Name, RequestedName};
use transaction::AccountCreation;

/// Registers a user for a client, or returns a challenge as the error.
pub async fn register(app: &App, request: &Request, body: Body) -> Result<HttpResponse, Rejection> {
    let protected = ProtectedRequest::for_registration(request, body)?;
    let given = Parameters::parse(&protected.body)?;
    Box::pin(carry_out(app, protected, given, NewLogin::Device)).await
}

/// The login of a new user.
#[derive(Debug, Clone, Copy)]
enum NewLogin<'a> {
    /// A device, unless the client inhibits the login.
    Device,
    /// A session of the browser that has this cookie.
    Browser(&'a Secret),
}

/// The registration from the first read to the last transaction.
async fn carry_out(
    app: &App,
    protected: ProtectedRequest,
    given: Parameters,
    login: NewLogin<'_>,
) -> Result<HttpResponse, Rejection> {
    let username = given.username.as_deref();
    let given_name = username.map(|text| RequestedName::parse(text, &app.config));
    let localpart = given_name.as_ref().and_then(RequestedName::localpart);
    let read = Box::pin(protected.read_registration(app, localpart)).await?;
    let Registration {
        request: mut protected,
        holder,
        appservices,
    } = match read {
        RequestOutcome::Replay(response) => return Ok(response),
        RequestOutcome::New(registration) => *registration,
    };
    let remembered: Parameters = protected.remembered()?;
    // REG-36: a later request may change every parameter.
    let parameters = protected.merge_parameters(given)?;
    let remembered_name = remembered.username.as_deref();
    let requested = match given_name {
        Some(name) => Some(name),
        None => remembered_name.map(|text| RequestedName::parse(text, &app.config)),
    };
    let is_new_name = parameters.username != remembered.username;
    let checked = name::check(
        app,
        &parameters,
        requested.as_ref(),
        holder.as_ref(),
        &appservices,
        is_new_name,
    );
    let name = match checked.await {
        Ok(name) => name,
        // Between the two reads a concurrent duplicate may have claimed the name or upgraded the
        // guest.
        Err(error) if error.may_follow_from_duplicate() => {
            return protected.or_replay(app, error).await;
        }
        Err(error) => return Err(error.into()),
    };
    let changed =
        parameters.password != remembered.password || parameters.username != remembered.username;
    if changed {
        check_password(app, &parameters)?;
    }
    let authentication = Box::pin(protected.authenticate(app, &parameters)).await?;
    let completion = match authentication {
        Authentication::Completed(completion) => *completion,
        Authentication::Replay(response) => return Ok(response),
    };
    let prepared = Prepared {
        parameters: &parameters,
        name,
        is_new_name,
        appservices: &appservices,
        login,
    };
    finish(app, &protected, completion, prepared).await
}

/// The checked input of a registration.
struct Prepared<'a> {
    parameters: &'a Parameters,
    name: Name,
    /// Whether this request is the first with the name.
    is_new_name: bool,
    appservices: &'a crate::appservices::Appservices,
    login: NewLogin<'a>,
}

/// Checks the password before UIA, and again when the name changes (REG-24). A password that consists of the user's
/// own words is weak.
fn check_password(app: &App, parameters: &Parameters) -> Result<(), Rejection> {
    let Some(password) = &parameters.password else {
        return Ok(());
    };
    let own_words: Vec<&str> = [
        parameters.username.as_deref(),
        parameters.initial_device_display_name.as_deref(),
        Some(app.config.server_name.as_str()),
    ]
    .into_iter()
    .flatten()
    .collect();
    Ok(passwords::validate(
        &app.config.passwords,
        password,
        &own_words,
    )?)
}

/// Creates the account with one hash and one transaction.
async fn finish(
    app: &App,
    protected: &ProtectedRequest,
    mut completion: UiaCompletion,
    prepared: Prepared<'_>,
) -> Result<HttpResponse, Rejection> {
    // REG-23: the password may be sent after the last stage.
    let Some(password) = &prepared.parameters.password else {
        completion.save_progress(app).await;
        return Err(MatrixError::new(ErrorCode::MissingParam, "`password` is missing").into());
    };
    if let Some((denied, medium)) = denied_threepid(app, &completion) {
        completion.save_progress_without(app, medium).await;
        return Err(denied.into());
    }
    if let Err(error) = protected.charge_password_hash(app).await {
        completion.save_progress(app).await;
        return Err(error.into());
    }
    let ((), hash) = tokio::join!(
        completion.refund_attempt(app),
        app.hasher.hash(password, &*app.rng)
    );
    let creation = AccountCreation {
        parameters: prepared.parameters,
        name: prepared.name,
        is_new_name: prepared.is_new_name,
        appservices: prepared.appservices,
        network: protected.network,
        password: hash?,
        login: prepared.login,
    };
    protected.finish(app, completion, creation).await
}

/// Finds a validated 3PID that the operator's rules do not allow. The rules may have changed since the message was
/// sent (REG-28).
fn denied_threepid(app: &App, completion: &UiaCompletion) -> Option<(ThreePidDeniedError, Medium)> {
    completion.result.threepids.iter().find_map(|validated| {
        let denied = threepids::check_allowed(&app.config, &validated.threepid).err()?;
        Some((denied, validated.threepid.medium))
    })
}
