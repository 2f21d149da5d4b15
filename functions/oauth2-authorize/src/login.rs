//! `POST /oauth2/authorize/login`: a login with a password (OA-58). It runs the same code as `POST /login`, with the same
//! limits and the same message for every wrong attempt.

use http::StatusCode;
use shared::{
    app::App,
    credentials::{self, Identifier, PasswordAttempt, Verified},
    error::{ErrorCode, MatrixError},
    http::{Request, Response},
    ids::DeviceId,
    metrics,
    oauth::{Context, UnanswerableError, browser_sessions},
    oauth_pages::{
        Browser, Submission,
        consent::{self, Consent},
        login,
    },
    secrets::Secret,
    store::{AccountStatus, StoreError, TokenDevice},
    tokens::AuthenticationError,
};

use crate::failure::Failure;

/// The longest name that can identify an account. Longer text is not hashed.
const MAX_USER_BYTES: usize = 1000;

/// Logs in and shows the consent page, or shows the login page again.
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let (context, _) = submission.context(app)?;
    let field = |name| submission.form.get(name).filter(|value| !value.is_empty());
    let user = field("user").filter(|user| user.len() <= MAX_USER_BYTES);
    let again = |error: MatrixError| retry(app, &submission, &context, error);
    let (Some(user), Some(password)) = (user, field("password")) else {
        let message = "Enter your username and your password";
        return again(MatrixError::new(ErrorCode::MissingParam, message));
    };
    let (identifier, password) = (
        Identifier::typed(app, user),
        Secret::new(password.to_owned()),
    );
    let verified = credentials::verify_login(app, &identifier, &password, request.network).await;
    let (verified, attempt) = match verified {
        Ok(verified) => verified,
        Err(error) => return again(error.into()),
    };
    // OA-69: the page discloses that the account is locked only if the password is correct.
    if verified.account.status == AccountStatus::Locked {
        attempt.refund(app).await;
        return again(AuthenticationError::Locked.into());
    }
    finish(
        app,
        &submission.browser,
        context,
        &verified,
        (&attempt, &password),
    )
    .await
}

/// Begins the session and shows the consent page. All calls are concurrent.
async fn finish(
    app: &App,
    browser: &Browser,
    context: Context,
    verified: &Verified,
    (attempt, password): (&PasswordAttempt, &Secret),
) -> Result<Response, Failure> {
    let (user, epoch) = (&verified.localpart, verified.account.epoch);
    metrics::user(user);
    let (begun, client, replaces_device, (), (), ()) = tokio::join!(
        browser_sessions::begin(app, user, epoch, browser.cookie()),
        browser_sessions::find_with_client(app, &context.request.client_id, None),
        has_device(app, verified, &context),
        attempt.refund(app),
        attempt.trust_network(app, user),
        credentials::upgrade_hash(app, verified, password)
    );
    let call_failed = || Failure::of_call(&context.request.target);
    let cookie = begun.map_err(call_failed())?;
    let (client, _) = client.map_err(call_failed())?;
    let replaces_device = replaces_device.map_err(call_failed())?;
    // The registration can have expired since the first page.
    let client = client.ok_or(UnanswerableError::Client)?;
    let browser = Browser::with_new_cookie(cookie);
    let context = context.after_login();
    let consent = Consent {
        context: &context,
        client: &client,
        user,
        replaces_device,
        is_returning: false,
    };
    Ok(consent::page(app, &browser, &consent))
}

/// Whether the account has a live device with the ID of the request (OA-64).
async fn has_device(app: &App, verified: &Verified, context: &Context) -> Result<bool, StoreError> {
    let Some(id) = DeviceId::parse(&context.request.scope.device_id) else {
        return Ok(false);
    };
    let (user, device) = (&verified.localpart, TokenDevice::Named(id));
    let (_, device) = app.store.find_account_and_device(user, &device).await?;
    let account = &verified.account;
    Ok(device.is_some_and(|device| account.is_device_valid(&device.id, device.epoch)))
}

/// The login page again, or the page of an internal error.
fn retry(
    app: &App,
    submission: &Submission,
    context: &Context,
    error: MatrixError,
) -> Result<Response, Failure> {
    let status = match error.code {
        ErrorCode::Forbidden | ErrorCode::UserLocked => StatusCode::FORBIDDEN,
        ErrorCode::MissingParam | ErrorCode::LimitExceeded => error.code.status(),
        _ => return Err(Failure::Other(error)),
    };
    let failure = login::Failure {
        status,
        message: &error.message,
        user: submission.form.get("user").unwrap_or_default(),
    };
    Ok(Response {
        retry_after: error.response("").retry_after,
        ..login::page(app, &submission.browser, context, Some(&failure))
    })
}
