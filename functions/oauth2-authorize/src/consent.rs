//! `POST /oauth2/authorize/consent`: the decision of the user.

use shared::{
    app::App,
    http::{Request, Response},
    limits::{self, Limit},
    oauth::{self, Client, Context, Grant, UnanswerableError, browser_sessions},
    oauth_pages::{FormError, Submission, login, response},
    store::BrowserSessionRow,
};

use crate::failure::Failure;

/// Issues a code, or takes the refusal to the client. A refusal makes no call.
pub(crate) async fn submit(app: &App, request: &Request) -> Result<Response, Failure> {
    let submission = Submission::parse(app, request)?;
    let (context, sealed) = submission.context(app)?;
    match submission.form.get("action") {
        Some("allow") => allow(app, request, &submission, (&context, sealed)).await,
        Some("cancel") => Ok(response::denied(&app.config, &context.request.target)),
        _ => Err(FormError::OutOfDate.into()),
    }
}

/// Issues a code. The context can be opened only with the cookie of the page, and the cookie changes with the account, so
/// the session belongs to the account on the page (OA-68). Two round trips.
async fn allow(
    app: &App,
    http: &Request,
    submission: &Submission,
    (context, sealed): (&Context, &str),
) -> Result<Response, Failure> {
    let target = &context.request.target;
    let call_failed = || Failure::of_call(target);
    let cookie = Some(submission.browser.cookie());
    let client_id = &context.request.client_id;
    let (limited, found) = tokio::join!(
        limits::consume(app, Limit::FallbackPage, http.network),
        browser_sessions::find_with_client(app, client_id, cookie)
    );
    limited?;
    let (client, row) = found.map_err(call_failed())?;
    let client = client.ok_or(UnanswerableError::Client)?;
    let log_in = || Ok(login::page(app, &submission.browser, context, None));
    // OA-43: a page before the login has a context that requires one.
    let Some(row) = row.filter(|_| !context.requires_login) else {
        return log_in();
    };
    let grant = grant(&client, context, &row);
    // The code is issued while the account is read, and shown only if the session is valid. Otherwise nobody learns it.
    let (session, code, used) = tokio::join!(
        browser_sessions::with_device(app, Some(row.clone()), None),
        oauth::issue_code(app, sealed.as_bytes(), &grant),
        browser_sessions::record_use(app, &row)
    );
    if session.map_err(call_failed())?.is_none() {
        return log_in();
    }
    used.map_err(call_failed())?;
    let code = code.map_err(call_failed())?;
    match code {
        Some(code) => Ok(response::success(&app.config, target, &code)),
        // OA-67: the app has used the code already.
        None => Err(FormError::OutOfDate.into()),
    }
}

fn grant(client: &Client, context: &Context, session: &BrowserSessionRow) -> Grant {
    let request = &context.request;
    Grant {
        client_id: client.id.clone(),
        redirect_uri: request.target.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        scope: request.scope.text.clone(),
        device_id: request.scope.device_id.clone(),
        user: session.localpart.as_str().to_owned(),
        epoch: session.epoch,
    }
}
