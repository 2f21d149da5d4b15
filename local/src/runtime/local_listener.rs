//! An HTTP server for one embedded service, on a loopback port unless containers need to reach it.
//!
//! The services accept every signature, so requests of web pages must be rejected. A request is rejected if it has
//! an `Origin` header, or if its `Host` is neither this machine nor the name of this machine in Docker containers
//! (protection against DNS rebinding).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use http::{HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::watch};

use crate::runtime::host_check::RequestHost;

/// The largest request that `DynamoDB` accepts. The limits of the other services are lower.
const LARGEST: usize = 16 * 1024 * 1024;

/// A response, or a connection that closes without a response.
pub(crate) type Answer = Result<Response<Full<Bytes>>, ConnectionReset>;

/// The connection closes without a response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionReset;

impl fmt::Display for ConnectionReset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection was reset")
    }
}

impl std::error::Error for ConnectionReset {}

/// A running server. Dropping it closes its port and every connection.
#[derive(Debug)]
pub(crate) struct LocalListener {
    address: SocketAddr,
    _open: watch::Sender<()>,
}

impl LocalListener {
    /// Serves `answer` at `address`, or on a free loopback port. Call it within a Tokio runtime.
    pub(crate) fn open<A, F>(address: Option<SocketAddr>, answer: A) -> Result<Self>
    where
        A: Fn(Parts, Bytes) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let wanted = address.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
        let listener = std::net::TcpListener::bind(wanted)
            .with_context(|| format!("cannot listen on {wanted}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (open, closed) = watch::channel(());
        tokio::spawn(listen(TcpListener::from_std(listener)?, answer, closed));
        Ok(Self {
            address,
            _open: open,
        })
    }

    /// The address that the server listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn listen<A, F>(listener: TcpListener, answer: A, mut closed: watch::Receiver<()>)
where
    A: Fn(Parts, Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let own = listener.local_addr().map(|address| address.ip()).ok();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // The likely cause is a lack of file descriptors, so wait until other connections close.
                    tracing::warn!(%error, "cannot accept a connection to an embedded service");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = closed.changed() => return,
        };
        let _ = stream.set_nodelay(true);
        let (answer, mut closed) = (answer.clone(), closed.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| receive(answer.clone(), own, request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // This branch is checked first, because the service behind `answer` may already be stopped.
                biased;
                _ = closed.changed() => {}
                // An error means that a fault was injected or that the client closed the connection.
                _ = connection => {}
            }
        });
    }
}

async fn receive<A, F>(answer: A, own: Option<IpAddr>, request: Request<Incoming>) -> Answer
where
    A: Fn(Parts, Bytes) -> F,
    F: Future<Output = Answer>,
{
    let (head, body) = request.into_parts();
    if may_be_from_web_page(&head, own) {
        let status = StatusCode::FORBIDDEN;
        return Ok(plain(
            status,
            "Only programs on this machine may call this service. Requests of web pages are rejected.",
        ));
    }
    match Limited::new(body, LARGEST).collect().await {
        Ok(body) => answer(head, body.to_bytes()).await,
        Err(error) if error.is::<LengthLimitError>() => Ok(plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The request is larger than 16 MiB.",
        )),
        Err(_) => Err(ConnectionReset),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text)
}

/// A response with a body of this media type.
pub(crate) fn typed(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Whether a web page may have sent the request. Programs send no `Origin` header, and their `Host` is an address or
/// a name that an attacker cannot register.
fn may_be_from_web_page(head: &Parts, own: Option<IpAddr>) -> bool {
    let is_ours = |host: &RequestHost| {
        host.is_loopback()
            || host.is_docker_host()
            || own.is_some_and(|own| host.address() == Some(own.to_canonical()))
    };
    head.headers.contains_key(header::ORIGIN)
        || !RequestHost::of(head).is_some_and(|host| is_ours(&host))
}
