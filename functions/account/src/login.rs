//! `POST /account/login`, `POST /account/logout`: the browser session of the user.

use shared::{
    app::App,
    http::{Query, Request, Response},
    limits::{self, Limit},
    oauth::browser_sessions,
    oauth_pages::{
        Browser, Failure, PasswordLogin, Submission,
        login::{self, Failure as LoginFailure, Login},
    },
};

use crate::{LOGIN, PATH, page::Page, redirect};

/// The login page, which leads to `page`. If `user` is given, that user must enter the password again.
pub(crate) fn page(app: &App, browser: &Browser, page: &Page, user: Option<&str>) -> Response {
    let notice = "Enter your password again to make changes.";
    let login = Login {
        user: user.unwrap_or_default(),
        notice: user.map(|_| notice),
        ..login_of_account()
    };
    show(app, browser, page, &login, None)
}

fn login_of_account<'a>() -> Login<'a> {
    Login::new("Continue only if you want to manage your account.")
}

fn show(
    app: &App,
    browser: &Browser,
    page: &Page,
    login: &Login<'_>,
    failure: Option<&LoginFailure<'_>>,
) -> Response {
    // The context needs no seal: it selects a page, as the URL of the page does.
    let form = browser.form(app, &format!("{PATH}/{LOGIN}"), &page.query());
    login::page_with(app, browser, form, login, failure)
}

/// Logs in and leads to the page of the form, or shows the login page again.
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let Submission { browser, form } = &submission;
    let query = form.get("context").unwrap_or_default();
    let page = Page::parse(&app.config, &Query::parse(query.as_bytes()));
    match PasswordLogin::verify(app, &submission, request.network).await {
        Ok(login) => {
            let browser = login.begin(app, browser).await?;
            Ok(browser.with_cookie(app, redirect(app, &page)))
        }
        Err(error) => match LoginFailure::of(&error, form) {
            Some(failure) => Ok(show(
                app,
                browser,
                &page,
                &login_of_account(),
                Some(&failure),
            )),
            None => Err(error.into()),
        },
    }
}

/// Ends the browser session and shows the login page, with a new cookie (OA-55).
pub(crate) async fn log_out(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    limits::consume(app, Limit::FallbackPage, request.network).await?;
    browser_sessions::end(app, submission.browser.cookie()).await?;
    let browser = Browser::with_new_cookie(browser_sessions::new_cookie(app));
    Ok(page(app, &browser, &Page::Start, None))
}
