//! `POST /link/consent`: the decision of the user (OA-119, OA-121).

use http::StatusCode;
use shared::{
    app::App,
    http::{Request, Response},
    limits::{self, Limit},
    oauth::{self, DecideError, browser_sessions},
    oauth_pages::{self, FormError, Submission, link},
    store::DeviceDecision,
};

use crate::Failure;

/// Writes the decision. The context can be opened only with the cookie of the page, and the cookie changes with the account,
/// so the session belongs to the account on the page (OA-68). Two round trips.
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let context = submission.link_context(app)?;
    let code = context.device_code.clone().ok_or(FormError::OutOfDate)?;
    let decision = match submission.form.get("action") {
        Some("allow") => DeviceDecision::Approve,
        Some("cancel") => DeviceDecision::Deny,
        _ => return Err(FormError::OutOfDate.into()),
    };
    let is_confirmed = submission.form.get("confirmed") == Some("yes");
    if decision == DeviceDecision::Approve && !is_confirmed {
        return Ok(not_confirmed(app));
    }
    let browser = &submission.browser;
    let (limited, session) = tokio::join!(
        limits::consume(app, Limit::FallbackPage, request.network),
        browser_sessions::find(app, browser.cookie())
    );
    limited?;
    let log_in = || link::login_page(app, browser, &context.clone().before_consent(), None);
    let Some(session) = session? else {
        return Ok(log_in());
    };
    match oauth::decide(app, &session, &code, decision).await {
        Ok(()) => Ok(decided(app, decision)),
        Err(DecideError::LoggedOut) => Ok(log_in()),
        Err(DecideError::Decided) => Ok(too_late(app)),
        Err(DecideError::Store(error)) => Err(error.into()),
    }
}

fn decided(app: &App, decision: DeviceDecision) -> Response {
    let (title, text) = match decision {
        DeviceDecision::Approve => (
            "You have given access",
            "Go back to your device to continue. You can close this page.",
        ),
        DeviceDecision::Deny => (
            "You have not given access",
            "The device gets no access to your account. You can close this page.",
        ),
    };
    oauth_pages::message(&app.config, StatusCode::OK, title, text)
}

fn not_confirmed(app: &App) -> Response {
    let title = "The box is not ticked";
    let text = "Go back. Tick the box only if you started this on a device in front of you.";
    oauth_pages::message(&app.config, StatusCode::BAD_REQUEST, title, text)
}

fn too_late(app: &App) -> Response {
    let title = "This code cannot be used any more";
    let text = "It has expired, or the request was answered before. Start again on your device.";
    oauth_pages::message(&app.config, StatusCode::BAD_REQUEST, title, text)
}
