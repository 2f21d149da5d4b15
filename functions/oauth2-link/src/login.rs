//! `POST /link/login`: a login with a password (OA-58).

use shared::{
    app::App,
    http::{Request, Response},
    oauth_pages::{PasswordLogin, Submission, link, login},
};

use crate::Failure;

/// Logs in and shows the page for the code, or shows the login page again.
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let context = submission.link_context(app)?.before_consent();
    let browser = &submission.browser;
    match PasswordLogin::verify(app, &submission, request.network).await {
        Ok(login) => {
            let browser = login.begin(app, browser).await?;
            let user = &login.verified.localpart;
            Ok(link::code_page(app, &browser, user, &context, None))
        }
        Err(error) => match login::Failure::of(&error, &submission.form) {
            Some(failure) => Ok(link::login_page(app, browser, &context, Some(&failure))),
            None => Err(Failure::Other(error)),
        },
    }
}
