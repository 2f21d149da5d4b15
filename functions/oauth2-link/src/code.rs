//! `POST /link`: the code that the user enters (OA-120).

use shared::{
    app::App,
    error::{ErrorCode, MatrixError},
    http::{Request, Response},
    limits::{self, Limit, LimitError},
    oauth::{self, LinkContext, LookUpError, UserCode, browser_sessions},
    oauth_pages::{Submission, link},
};

use crate::Failure;

/// Shows the consent page, or the page for the code again.
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let code = submission.form.get("user_code").and_then(UserCode::parse);
    let context = LinkContext {
        user_code: code.clone(),
        ..submission.link_context(app)?.before_consent()
    };
    let browser = &submission.browser;
    let (limited, session) = tokio::join!(
        limits::consume(app, Limit::FallbackPage, request.network),
        browser_sessions::find(app, browser.cookie())
    );
    limited?;
    let Some(session) = session? else {
        return Ok(link::login_page(app, browser, &context, None));
    };
    let again = |error: &MatrixError| {
        let user = &session.localpart;
        Ok(link::code_page(app, browser, user, &context, Some(error)))
    };
    match oauth::look_up(app, &session, request.network, code.as_ref()).await {
        Ok((session, device)) => {
            let user = &session.localpart;
            Ok(link::consent_page(app, browser, user, context, &device))
        }
        Err(LookUpError::LoggedOut) => Ok(link::login_page(app, browser, &context, None)),
        Err(LookUpError::WrongCode) => {
            let message =
                "This code is wrong or has expired. Check the code, or start again on your device";
            again(&MatrixError::new(ErrorCode::InvalidParam, message))
        }
        Err(LookUpError::Limit(error @ LimitError::Exceeded { .. })) => again(&error.into()),
        Err(LookUpError::Limit(error)) => Err(error.into()),
        Err(LookUpError::Store(error)) => Err(error.into()),
    }
}
