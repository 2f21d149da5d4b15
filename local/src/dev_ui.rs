//! `/_local`: what runs here and what happened, for whoever sits at the machine.
//!
//! It shows the secret and moves the clock, so neither another machine nor a web page from elsewhere may
//! reach it. A browser at this machine would carry a page's requests here; what tells them apart is that
//! they name another host (DNS rebinding), another origin or another site. There are no CORS headers.

mod page;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Local,
    runtime::clock::TooFar,
    runtime::host_check::{RequestHost, single_value},
};

/// Whether a path is one of `/_local`.
pub(crate) fn is_route(path: &str) -> bool {
    path == "/_local" || path.starts_with("/_local/")
}

/// Answers a request to `/_local` from `peer`, to a server that listens on `own`.
pub(crate) async fn answer(
    local: &Arc<Local>,
    peer: IpAddr,
    own: IpAddr,
    request: Request<Bytes>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if let Err(reason) = check_access(&head, peer, own) {
        return error_response(StatusCode::FORBIDDEN, "M_FORBIDDEN", reason);
    }
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/_local" | "/_local/") => page::render(local).map_or_else(
            |error| internal_error(&error),
            |html| with_type(StatusCode::OK, "text/html; charset=utf-8", html),
        ),
        (&Method::GET, "/_local/env") => with_type(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            local.env_lines(),
        ),
        (&Method::GET, "/_local/outbox") => {
            // What has been called for is there, without waiting for the stream's next turn.
            if let Err(error) = local.deliver().await {
                return internal_error(&error);
            }
            json_answer(StatusCode::OK, &json!(local.outbox().messages()))
        }
        (&Method::DELETE, "/_local/outbox") => {
            local.outbox().clear();
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        (&Method::POST, "/_local/clock") => advance(local, &body).await,
        (_, "/_local" | "/_local/" | "/_local/env" | "/_local/outbox" | "/_local/clock") => {
            error_response(
                StatusCode::METHOD_NOT_ALLOWED,
                "M_UNRECOGNIZED",
                "Not with this method.",
            )
        }
        _ => error_response(
            StatusCode::NOT_FOUND,
            "M_UNRECOGNIZED",
            "There is nothing here.",
        ),
    }
}

/// The answer to a request whose body did not arrive.
pub(crate) fn incomplete_body() -> Response<Full<Bytes>> {
    error_response(StatusCode::BAD_REQUEST, "M_UNKNOWN", "The body broke off.")
}

/// Refuses what a page from elsewhere or another machine sent, and says why.
fn check_access(head: &Parts, peer: IpAddr, own: IpAddr) -> Result<(), &'static str> {
    // A socket for both versions of IP has 127.0.0.1 as ::ffff:127.0.0.1.
    if !peer.to_canonical().is_loopback() {
        return Err("Only from this machine.");
    }
    let is_ours =
        |host: &RequestHost| host.is_loopback() || host.address() == Some(own.to_canonical());
    let Some(host) = RequestHost::of(head).filter(is_ours) else {
        return Err("Only under this machine's own name or address.");
    };
    let origin = host.origin();
    let mut origins = head.headers.get_all(header::ORIGIN).iter();
    if !origins.all(|from| from.as_bytes() == origin.as_bytes()) {
        return Err("Only for pages of this server.");
    }
    let mut sites = head.headers.get_all("sec-fetch-site").iter();
    if !sites.all(|site| site == "none" || site == "same-origin") {
        return Err("Only for pages of this server.");
    }
    // A page can send any other type of body without asking first.
    if head.method == Method::POST && !is_json(head) {
        return Err("Only with Content-Type: application/json.");
    }
    Ok(())
}

fn is_json(head: &Parts) -> bool {
    let kind = single_value(&head.headers, &header::CONTENT_TYPE).unwrap_or_default();
    let essence = kind.split_once(';').map_or(kind, |(essence, _)| essence);
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[derive(Deserialize)]
struct Advance {
    advance_seconds: u64,
}

async fn advance(local: &Arc<Local>, body: &Bytes) -> Response<Full<Bytes>> {
    let Ok(Advance { advance_seconds }) = serde_json::from_slice(body) else {
        return error_response(
            StatusCode::BAD_REQUEST,
            "M_INVALID_PARAM",
            "Expected {\"advance_seconds\": a whole number that is not negative}.",
        );
    };
    let moving = Arc::clone(local);
    // The sweep blocks.
    let result =
        tokio::task::spawn_blocking(move || moving.advance(Duration::from_secs(advance_seconds)));
    match result.await.map_err(anyhow::Error::from).flatten() {
        Ok(now) => {
            // What has become due is sent before the answer says that it is so late.
            local.run_schedule().await;
            json_answer(StatusCode::OK, &json!({ "now": now.0 }))
        }
        Err(error) => match error.downcast_ref::<TooFar>() {
            Some(too_far) => error_response(
                StatusCode::BAD_REQUEST,
                "M_INVALID_PARAM",
                &too_far.to_string(),
            ),
            None => internal_error(&error),
        },
    }
}

fn internal_error(error: &anyhow::Error) -> Response<Full<Bytes>> {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    error_response(status, "M_UNKNOWN", &format!("{error:#}"))
}

fn error_response(status: StatusCode, errcode: &str, error: &str) -> Response<Full<Bytes>> {
    json_answer(status, &json!({ "errcode": errcode, "error": error }))
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    with_type(status, "application/json", value.to_string())
}

fn with_type(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    // No script at all, nothing from elsewhere: the page shows mails that anybody may have written.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                  form-action 'none'; frame-ancestors 'none'";
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    response
}

#[cfg(test)]
mod tests;
