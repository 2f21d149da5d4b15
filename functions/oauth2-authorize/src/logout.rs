//! `POST /oauth2/authorize/logout`: the user wants to use another account.

use shared::{
    app::App,
    http::{Request, Response},
    limits::{self, Limit},
    oauth::browser_sessions,
    oauth_pages::{Browser, Submission, login},
};

use crate::failure::Failure;

/// Ends the browser session and shows the login page, with a new cookie (OA-55).
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let (context, _) = submission.context(app)?;
    limits::consume(app, Limit::FallbackPage, request.network).await?;
    browser_sessions::end(app, submission.browser.cookie()).await?;
    let browser = Browser::with_new_cookie(browser_sessions::new_cookie(app));
    Ok(login::page(app, &browser, &context, None))
}
