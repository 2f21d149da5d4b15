//! The development UI under `/_local`: a page with the state of the server, the sent messages, the environment and
//! the clock.
//!
//! It shows the secret and moves the clock, so neither another machine nor a web page of another site may use it. A
//! browser on this machine would send the requests of such a page. Such requests are recognised by another host (DNS
//! rebinding), another origin or another site. Responses have no CORS headers.

mod page;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Local,
    runtime::{
        clock::TooFar,
        host_check::{RequestHost, single_value},
    },
};

/// Whether a path belongs to the development UI.
pub(crate) fn is_route(path: &str) -> bool {
    path == "/_local" || path.starts_with("/_local/")
}

/// Answers a request from `peer` to a server that listens on `own`.
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
            // Queued messages must be in the response, so they are delivered now and not at the next poll.
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
                "This route does not support the method.",
            )
        }
        _ => error_response(
            StatusCode::NOT_FOUND,
            "M_UNRECOGNIZED",
            "There is no such route.",
        ),
    }
}

/// The response to a request whose body did not arrive completely.
pub(crate) fn incomplete_body() -> Response<Full<Bytes>> {
    error_response(
        StatusCode::BAD_REQUEST,
        "M_UNKNOWN",
        "The request body is incomplete.",
    )
}

/// Rejects a request of another machine or of a web page of another site, and returns the reason.
fn check_access(head: &Parts, peer: IpAddr, own: IpAddr) -> Result<(), &'static str> {
    // A socket for both IP versions shows 127.0.0.1 as ::ffff:127.0.0.1.
    if !peer.to_canonical().is_loopback() {
        return Err("This route is only available from this machine.");
    }
    let is_ours =
        |host: &RequestHost| host.is_loopback() || host.address() == Some(own.to_canonical());
    let Some(host) = RequestHost::of(head).filter(is_ours) else {
        return Err(
            "The Host header must be localhost, a loopback address or the address of the server.",
        );
    };
    let origin = host.origin();
    let mut origins = head.headers.get_all(header::ORIGIN).iter();
    if !origins.all(|from| from.as_bytes() == origin.as_bytes()) {
        return Err("This route is only available to web pages of this server.");
    }
    let mut sites = head.headers.get_all("sec-fetch-site").iter();
    if !sites.all(|site| site == "none" || site == "same-origin") {
        return Err("This route is only available to web pages of this server.");
    }
    // A web page may send other media types without a CORS preflight request.
    if head.method == Method::POST && !is_json(head) {
        return Err("The Content-Type must be application/json.");
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
            "The body must be {\"advance_seconds\": N} with a whole number N of 0 or more.",
        );
    };
    let advancing = Arc::clone(local);
    // Deleting expired rows blocks.
    let result = tokio::task::spawn_blocking(move || {
        advancing.advance(Duration::from_secs(advance_seconds))
    });
    match result.await.map_err(anyhow::Error::from).flatten() {
        Ok(now) => {
            // Messages that have become due must be sent before the response.
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
    // The policy allows no scripts and no external resources, because the page shows e-mails with text of any client.
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
