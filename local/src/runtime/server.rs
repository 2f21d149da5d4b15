//! The HTTP server of `cargo run`: the gateway's routes, and the development UI under `/_local`.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Result;
use http::{Request, Response};
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
use tokio::net::TcpListener;

use crate::{Local, dev_ui, gateway::LARGEST_BODY};

/// The time that a shutdown waits for running requests.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Serves `local` until `stop` completes.
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
                tracing::debug!(%error, "a connection ended with an error");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_GRACE, connections.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("stopped while requests were running");
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
        return dev_ui::incomplete_body();
    };
    let request = Request::from_parts(parts, body);
    if dev_ui::is_route(request.uri().path()) {
        return dev_ui::answer(local, peer, own, request).await;
    }
    local
        .gateway()
        .call(request, peer)
        .await
        .map(|body| Full::new(Bytes::from(body)))
}

/// The whole body. If the body is too large, only the beginning is kept, because the gateway needs no more to reject
/// it. The rest is read and dropped, because a client may read the response only after it has sent the body.
async fn read(mut body: Incoming) -> Option<Bytes> {
    let mut bytes = Vec::new();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            total += data.len();
            if bytes.len() <= LARGEST_BODY {
                bytes.extend_from_slice(&data);
            }
            if total > 8 * LARGEST_BODY {
                break;
            }
        }
    }
    Some(Bytes::from(bytes))
}
