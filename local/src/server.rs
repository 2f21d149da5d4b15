//! The HTTP server of `cargo run`: the gateway's routes, and `/_local` for whoever sits at the machine.
//!
//! `/_local` shows the secret and moves the clock, so a page from elsewhere must not reach it: it has no
//! CORS headers, and refuses foreign host names (DNS rebinding) and cross-site requests.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Result;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, uri::Authority};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::{Local, gateway::LARGEST_BODY, page};

/// How long a stop waits for requests that are under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves `local` until `stop` is done.
///
/// # Errors
///
/// Fails if the listener has no address.
pub async fn serve(
    local: Arc<Local>,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let own = listener.local_addr()?.ip();
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let _ = stream.set_nodelay(true);
        let local = Arc::clone(&local);
        let service = service_fn(move |request| {
            let local = Arc::clone(&local);
            async move { Ok::<_, Infallible>(answer(&local, own, peer.ip(), request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(PATIENCE, connections.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("stopped with requests under way");
    }
    Ok(())
}

async fn answer(
    local: &Arc<Local>,
    own: IpAddr,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let Some(body) = read(body).await else {
        return plain(StatusCode::BAD_REQUEST, "the body broke off");
    };
    let request = Request::from_parts(parts, body);
    let path = request.uri().path();
    if path == "/_local" || path.starts_with("/_local/") {
        return if is_at_home(request.headers(), own) {
            at_home(local, peer, &request).await
        } else {
            plain(StatusCode::FORBIDDEN, "only for pages of this machine")
        };
    }
    local
        .gateway()
        .call(request, peer)
        .await
        .map(|body| Full::new(Bytes::from(body)))
}

/// The whole body. Of one that is too large, enough to see that it is; the rest is read and dropped, so that
/// the client comes to read the answer.
async fn read(mut body: Incoming) -> Option<Bytes> {
    let mut kept = Vec::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            total += data.len();
            if kept.len() <= LARGEST_BODY {
                kept.extend_from_slice(&data);
            }
            if total > 8 * LARGEST_BODY {
                break;
            }
        }
    }
    Some(Bytes::from(kept))
}

/// Whether a request to `/_local` may come from a person at this machine.
fn is_at_home(headers: &HeaderMap, own: IpAddr) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let is_own_name = host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        let address = name.parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.is_loopback() || address == own)
    });
    let is_cross_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site");
    is_own_name && !is_cross_site
}

async fn at_home(
    local: &Arc<Local>,
    peer: IpAddr,
    request: &Request<Bytes>,
) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/_local" | "/_local/") => page::render(local).map_or_else(
            |error| plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            |html| with_type(StatusCode::OK, "text/html; charset=utf-8", html),
        ),
        // It holds the secret, which does not leave the machine even when the port does.
        (&Method::GET, "/_local/env") if !peer.is_loopback() => {
            plain(StatusCode::FORBIDDEN, "only from this machine")
        }
        (&Method::GET, "/_local/env") => plain(StatusCode::OK, &local.env_lines()),
        (&Method::GET, "/_local/outbox") => {
            json_answer(StatusCode::OK, &json!(local.outbox().messages()))
        }
        (&Method::DELETE, "/_local/outbox") => {
            local.outbox().clear();
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        (&Method::POST, "/_local/clock") => advance(local, request.body()).await,
        (_, "/_local" | "/_local/" | "/_local/env" | "/_local/outbox" | "/_local/clock") => {
            json_answer(
                StatusCode::METHOD_NOT_ALLOWED,
                &json!({ "error": "not with this method" }),
            )
        }
        _ => json_answer(
            StatusCode::NOT_FOUND,
            &json!({ "error": "there is nothing here" }),
        ),
    }
}

#[derive(Deserialize)]
struct Advance {
    advance_seconds: u64,
}

async fn advance(local: &Arc<Local>, body: &Bytes) -> Response<Full<Bytes>> {
    let Ok(Advance { advance_seconds }) = serde_json::from_slice(body) else {
        let error = "expected {\"advance_seconds\": a whole number that is not negative}";
        return json_answer(StatusCode::BAD_REQUEST, &json!({ "error": error }));
    };
    let local = Arc::clone(local);
    // The sweep blocks.
    let moved =
        tokio::task::spawn_blocking(move || local.advance(Duration::from_secs(advance_seconds)));
    match moved.await.map_err(anyhow::Error::from).flatten() {
        Ok(now) => json_answer(StatusCode::OK, &json!({ "now": now.0 })),
        Err(error) => json_answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({ "error": format!("{error:#}") }),
        ),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", text.to_owned())
}

fn json_answer(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
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
mod tests {
    use super::*;

    fn from(host: &'static str, site: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(site) = site {
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
        }
        is_at_home(&headers, IpAddr::from([192, 0, 2, 1]))
    }

    #[test]
    fn only_pages_of_this_machine_reach_the_local_routes() {
        for host in [
            "localhost:8008",
            "LOCALHOST",
            "127.0.0.1:8008",
            "[::1]:8008",
            "192.0.2.1",
        ] {
            assert!(
                from(host, None) && from(host, Some("same-origin")),
                "{host}"
            );
            assert!(!from(host, Some("cross-site")), "{host}");
        }
        for host in ["rebound.example:8008", "192.0.2.2", "localhost.example", ""] {
            assert!(!from(host, None), "{host}");
        }
        assert!(!is_at_home(&HeaderMap::new(), IpAddr::from([127, 0, 0, 1])));
    }
}
