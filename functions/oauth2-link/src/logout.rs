//! `POST /link/logout`: the user wants to use another account.

use shared::{
    app::App,
    http::{Request, Response},
    limits::{self, Limit},
    oauth::browser_sessions,
    oauth_pages::{Browser, Submission, link},
};

use crate::Failure;

/// Ends the browser session and shows the login page, with a new cookie (OA-55).
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let context = submission.link_context(app)?.before_consent();
    limits::consume(app, Limit::FallbackPage, request.network).await?;
    browser_sessions::end(app, submission.browser.cookie()).await?;
    let browser = Browser::with_new_cookie(browser_sessions::new_cookie(app));
    Ok(link::login_page(app, &browser, &context, None))
}
