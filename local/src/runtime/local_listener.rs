//! An HTTP server for one embedded service, on a loopback port unless it is for containers.
//!
//! The services take every signature for good, so web pages are kept out: no request is answered that has an
//! `Origin` or that names another host than this machine, or its name in containers (DNS rebinding).

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

/// The largest request that `DynamoDB` takes; the others take less.
const LARGEST: usize = 16 * 1024 * 1024;

/// An answer, or the connection closes without one.
pub(crate) type Answer = Result<Response<Full<Bytes>>, ConnectionReset>;

/// The connection closes without an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionReset;

impl fmt::Display for ConnectionReset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection was cut")
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
    /// Lets `answer` answer at `place`, on a free loopback port without one. Call it within a Tokio runtime.
    pub(crate) fn open<A, F>(place: Option<SocketAddr>, answer: A) -> Result<Self>
    where
        A: Fn(Parts, Bytes) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let wanted = place.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
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

    /// Where it listens.
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
                    // Out of file descriptors, most likely: give others time to close theirs.
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
                // First, for what is behind the answers may be gone by then.
                biased;
                _ = closed.changed() => {}
                // A connection that ends badly was cut on purpose or by the client.
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
        return Ok(plain(status, "Only for programs of this machine."));
    }
    match Limited::new(body, LARGEST).collect().await {
        Ok(body) => answer(head, body.to_bytes()).await,
        Err(error) if error.is::<LengthLimitError>() => {
            Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "Too large."))
        }
        Err(_) => Err(ConnectionReset),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text)
}

/// A response with a body of this type.
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

/// Whether a request may be a web page's: programs send no `Origin`, and know the server by an address or by a name
/// that nobody can own.
fn may_be_from_web_page(head: &Parts, own: Option<IpAddr>) -> bool {
    let is_ours = |host: &RequestHost| {
        host.is_loopback()
            || host.is_docker_host()
            || own.is_some_and(|own| host.address() == Some(own.to_canonical()))
    };
    head.headers.contains_key(header::ORIGIN)
        || !RequestHost::of(head).is_some_and(|host| is_ours(&host))
}
