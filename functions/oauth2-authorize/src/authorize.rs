//! `GET /oauth2/authorize`: the first page of an authorization.

use http::StatusCode;
use shared::{
    app::App,
    http::{Request, Response},
    ids::DeviceId,
    oauth::{
        AuthorizationErrorCode, AuthorizationRequest, Client, Context, Prompt, RequestError,
        RequestParameters, UnanswerableError, browser_sessions,
    },
    oauth_pages::{
        self, Browser,
        consent::{self, Consent},
        login,
    },
    pages,
    store::BrowserSessionRow,
};

use crate::failure::Failure;

/// Shows the login page, the consent page, or the sign-up page. Two reads at most, one after the other.
pub(crate) async fn show(app: &App, request: &Request) -> Result<Response, Failure> {
    let parameters = RequestParameters::new(request.query.pairs());
    let client_id = parameters.client_id()?;
    let browser = Browser::of_or_new(app, request);
    let cookie = (!browser.is_new()).then(|| browser.cookie());
    let (client, session) = browser_sessions::find_with_client(app, &client_id, cookie).await?;
    let client = client.ok_or(UnanswerableError::Client)?;
    let context = context(app, parameters.validate(&client)?)?;
    first_page(app, &browser, &context, &client, session).await
}

fn context(app: &App, request: AuthorizationRequest) -> Result<Context, RequestError> {
    let target = Box::new(request.target.clone());
    Context::new(app, request).map_err(|_| RequestError::Refused {
        target,
        code: AuthorizationErrorCode::InvalidRequest,
        text: "The request of the app is too large.",
    })
}

/// The first page for a browser, which depends on its session and on the page that the client asks for.
async fn first_page(
    app: &App,
    browser: &Browser,
    context: &Context,
    client: &Client,
    session: Option<BrowserSessionRow>,
) -> Result<Response, Failure> {
    // OA-43: the session has no effect if the user has to enter the password.
    let session = session.filter(|_| !context.requires_login);
    let device = DeviceId::parse(&context.request.scope.device_id);
    let found = browser_sessions::with_device(app, session, device.as_ref()).await;
    if let Some((session, device)) = found.map_err(Failure::of_call(&context.request.target))? {
        let consent = Consent {
            context,
            client,
            user: &session.localpart,
            replaces_device: device.is_some(),
            is_returning: true,
        };
        return Ok(consent::page(app, browser, &consent));
    }
    if context.request.prompt == Prompt::Create
        && let Some(link) =
            oauth_pages::sign_up_link(&app.config, &context.seal(app, browser.cookie()))
    {
        let title = "Create an account";
        let text = "This page continues by itself.";
        let page = oauth_pages::message(&app.config, StatusCode::OK, title, text);
        return Ok(browser.with_cookie(app, pages::see_other(page, link)));
    }
    Ok(login::page(app, browser, context, None))
}
