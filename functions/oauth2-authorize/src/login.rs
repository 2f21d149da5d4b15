//! `POST /oauth2/authorize/login`: a login with a password (OA-58).

use shared::{
    app::App,
    error::MatrixError,
    http::{Request, Response},
    ids::DeviceId,
    oauth::{Context, UnanswerableError, browser_sessions},
    oauth_pages::{
        PasswordLogin, Submission,
        consent::{self, Consent},
        login,
    },
    store::{StoreError, TokenDevice},
};

use crate::failure::Failure;

/// Logs in and shows the consent page, or shows the login page again.
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let (context, _) = submission.context(app)?;
    match PasswordLogin::verify(app, &submission, request.network).await {
        Ok(login) => finish(app, &submission, context, &login).await,
        Err(error) => retry(app, &submission, &context, error),
    }
}

/// Begins the session and shows the consent page. All calls are concurrent.
async fn finish(
    app: &App,
    submission: &Submission,
    context: Context,
    login: &PasswordLogin,
) -> Result<Response, Failure> {
    let (begun, client, replaces_device) = tokio::join!(
        login.begin(app, &submission.browser),
        browser_sessions::find_with_client(app, &context.request.client_id, None),
        has_device(app, login, &context)
    );
    let call_failed = || Failure::of_call(&context.request.target);
    let browser = begun.map_err(call_failed())?;
    let (client, _) = client.map_err(call_failed())?;
    let replaces_device = replaces_device.map_err(call_failed())?;
    // The registration can have expired since the first page.
    let client = client.ok_or(UnanswerableError::Client)?;
    let context = context.after_login();
    let consent = Consent {
        context: &context,
        client: &client,
        user: &login.verified.localpart,
        replaces_device,
        is_returning: false,
    };
    Ok(consent::page(app, &browser, &consent))
}

/// Whether the account has a live device with the ID of the request (OA-64).
async fn has_device(
    app: &App,
    login: &PasswordLogin,
    context: &Context,
) -> Result<bool, StoreError> {
    let Some(id) = DeviceId::parse(&context.request.scope.device_id) else {
        return Ok(false);
    };
    let (user, account) = (&login.verified.localpart, &login.verified.account);
    let device = TokenDevice::Named(id);
    let (_, device) = app.store.find_account_and_device(user, &device).await?;
    Ok(device.is_some_and(|device| account.is_device_valid(&device.id, device.epoch)))
}

/// The login page again, or the page of an internal error.
fn retry(
    app: &App,
    submission: &Submission,
    context: &Context,
    error: MatrixError,
) -> Result<Response, Failure> {
    match login::Failure::of(&error, &submission.form) {
        Some(failure) => {
            let page = login::page(app, &submission.browser, context, Some(&failure));
            Ok(page)
        }
        None => Err(Failure::Other(error)),
    }
}
