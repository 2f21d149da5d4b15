//! `GET` and `POST /_matrix/client/{r0,v3}/auth/{type}/fallback/web`
//!
//! [Specification](https://spec.matrix.org/v1.15/client-server-api/#fallback)
//!
//! `GET` shows the form of the stage and does not complete the stage (UIA-73). `POST` submits the form to the same
//! URL.

use std::sync::Arc;

use http::{Method, StatusCode};
use shared::{
    app::App,
    error::Rejection,
    http::{Query, Request, Response},
    limits::{self, Limit},
    pages,
    uia::fallback,
};

/// Handles the request. An error is returned as a page too, because a browser shows the response (HTTP-28).
pub async fn handle(app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    match page(&app, &request).await {
        Err(Rejection::Error(error)) => Ok(pages::error_with_reload(&app.config, &error)),
        other => other,
    }
}

async fn page(app: &App, request: &Request) -> Result<Response, Rejection> {
    let Some(session) = request
        .query
        .get("session")
        .filter(|session| !session.is_empty())
    else {
        return Ok(pages::message(
            &app.config,
            StatusCode::BAD_REQUEST,
            "Incomplete link",
            "This link does not contain a session. Start again in your app.",
        ));
    };
    let stage = stage(&request.path);
    let visit = if request.method == Method::POST {
        let (charged, visit) = tokio::join!(
            limits::consume(app, Limit::FallbackPage, request.network),
            fallback::visit(app, &stage, session)
        );
        charged?;
        visit?
    } else {
        let visit = fallback::visit(app, &stage, session).await?;
        // A waiting page reloads itself, so the pages of several users together would use up the quota of a network.
        if visit.as_ref().is_some_and(|visit| visit.waits(app)) {
            limits::consume(app, Limit::WaitingPage, session).await?;
        } else {
            limits::consume(app, Limit::FallbackPage, request.network).await?;
        }
        visit
    };
    let Some(visit) = visit else {
        let text = "The session of this page is unknown or has expired. Start again in your app.";
        let status = StatusCode::NOT_FOUND;
        return Ok(pages::message(&app.config, status, "Not found", text));
    };
    if request.method == Method::POST {
        let form = Query::of_form(&request.body)?;
        return visit.submit(app, &form, request.network).await;
    }
    let reloads = request.query.get(fallback::RELOADS);
    let reloads = reloads.and_then(|number| number.parse().ok());
    visit.show(app, reloads.unwrap_or_default()).await
}

/// The `{type}` of the path, decoded (UIA-74).
fn stage(path: &str) -> String {
    let raw = path
        .strip_suffix("/fallback/web")
        .and_then(|rest| rest.rsplit_once("/auth/"));
    let decoded = Query::parse(format!("type={}", raw.map_or("", |(_, stage)| stage)).as_bytes());
    decoded.get("type").unwrap_or_default().to_owned()
}
