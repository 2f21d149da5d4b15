//! `GET` and `POST /oauth2/sign-up`
//!
//! The pages of the OAuth 2.0 API that create an account (OA-42, OA-59). They run the same operation as
//! `POST /register`: the same flows, stages, rules and limits. The first page asks for the username and the password, and
//! each further page is the form of a stage. After the last stage the browser has a session (OA-57), and shows the consent
//! page of the same authorization.
//!
//! The URL of a page changes nothing (OA-70).

mod failure;
mod pages;
mod show;
mod submit;
mod visitor;

use std::sync::Arc;

use http::Method;
use shared::{
    app::App,
    error::Rejection,
    http::{Request, Response},
};

/// Handles the request. An error is returned as a page too, because a browser shows the response.
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    let outcome = match request.method {
        Method::POST => Box::pin(submit::submit(&app, &request)).await,
        _ => show::show(&app, &request).await,
    };
    Ok(outcome.unwrap_or_else(|failure| failure.page(&app)))
}
