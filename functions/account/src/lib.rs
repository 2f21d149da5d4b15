//! `GET /account`, `POST /account/{action}`
//!
//! The account pages, whose URL is in the server metadata: devices, password, 3PIDs, deactivation, and the permission to
//! reset the cross-signing keys (OA-125 to OA-130, OA-140). All changes except a new name of a device need a password that
//! was entered during the last five minutes (OA-128). `GET` writes nothing (OA-70). The changes run the code of the
//! endpoints of the account API (OA-129).
//!
//! While the OAuth 2.0 API is off, `GET /account` is a page without a form (HS-09), and 404 without a homeserver (HS-01).

mod acts;
mod guide;
mod login;
mod page;
mod show;
mod views;
mod visitor;

use std::sync::Arc;

use http::{Method, StatusCode};
use shared::{
    app::App,
    error::{MatrixError, Rejection},
    http::{Request, Response},
    oauth::ServerMetadata,
    oauth_pages, pages,
};
// The templates contain the style.
use shared::pages::STYLE;

use acts::Act;
use page::Page;

/// The path of the pages.
const PATH: &str = "/account";
/// The last segment of the path that the login form posts to.
const LOGIN: &str = "login";
/// The last segment of the path that the logout form posts to.
const LOGOUT: &str = "logout";

/// Handles the request. An error is returned as a page too, because a browser shows the response.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    let name = request.path.strip_prefix(PATH);
    let name = name.and_then(|rest| rest.strip_prefix('/'));
    if !app.config.oauth.apis.include_oauth() {
        let is_served = name.is_none() && ServerMetadata::of(&app.config).is_some();
        let page = is_served.then(|| guide::page(&app.config));
        return page.ok_or_else(|| MatrixError::unknown_path().into());
    }
    let act = name.and_then(Act::parse);
    let outcome = match (&request.method, name, act) {
        (&Method::GET, None, _) => show::show(&app, &request).await,
        (&Method::POST, Some(LOGIN), _) => Box::pin(login::submit(&app, &request)).await,
        (&Method::POST, Some(LOGOUT), _) => login::log_out(&app, &request).await,
        (&Method::POST, _, Some(act)) => Box::pin(acts::submit(&app, &request, act)).await,
        // A browser opens the URL of a form again, for example from its history (OA-67).
        (&Method::GET, Some(LOGIN | LOGOUT), _) | (&Method::GET, _, Some(_)) => {
            Ok(redirect(&app, &Page::Start))
        }
        _ => return Err(MatrixError::unknown_path().into()),
    };
    Ok(outcome.unwrap_or_else(|failure| failure.page(&app.config)))
}

/// A redirect to a page.
fn redirect(app: &App, page: &Page) -> Response {
    let config = &app.config;
    let text = "This page continues by itself.";
    let response = oauth_pages::message(config, StatusCode::OK, "Your account", text);
    pages::see_other(response, page.url(config))
}
