//! `GET /link`: the login page or, if the browser has a session, the page for the code. Writes nothing (OA-118).

use shared::{
    app::App,
    http::{Request, Response},
    oauth::{LinkContext, UserCode, browser_sessions},
    oauth_pages::{Browser, link},
};

use crate::Failure;

/// Shows the first page. Two reads at most, and none for a browser without a cookie. The code in the URL is only filled in.
pub(crate) async fn show(app: &App, request: &Request) -> Result<Response, Failure> {
    let code = request.query.get("user_code").and_then(UserCode::parse);
    let context = LinkContext::new(app, code);
    let browser = Browser::of_or_new(app, request);
    let row = if browser.is_new() {
        None
    } else {
        browser_sessions::find(app, browser.cookie()).await?
    };
    let found = browser_sessions::with_device(app, row, None).await?;
    Ok(match found {
        Some((session, _)) => link::code_page(app, &browser, &session.localpart, &context, None),
        None => link::login_page(app, &browser, &context, None),
    })
}
