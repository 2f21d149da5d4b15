//! Requests to other servers: the connectors, and the bodies of the responses.

use std::time::Duration;

use aws_smithy_http_client::{
    Connector, ConnectorBuilder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::ResolveDns,
    http::{HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpResponse,
};
use aws_smithy_types::byte_stream::ByteStream;

const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

/// A connector for any address, with this timeout of the connection and of the response. Creating it reads the root
/// certificates, so it should be done once per process.
pub(crate) fn connector(timeout: Duration) -> SharedHttpConnector {
    SharedHttpConnector::new(builder(timeout).tls_provider(TLS).build())
}

/// Like [`connector`], for the addresses that a resolver returns.
pub(crate) fn connector_with_resolver(
    timeout: Duration,
    resolver: impl ResolveDns + Clone + 'static,
) -> SharedHttpConnector {
    let builder = builder(timeout).tls_provider(TLS);
    SharedHttpConnector::new(builder.build_with_resolver(resolver))
}

fn builder(timeout: Duration) -> ConnectorBuilder {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(timeout)
        .read_timeout(timeout)
        .build();
    Connector::builder().connector_settings(settings)
}

/// Reads the body. Fails, with the reason, if it breaks off or is longer than `limit` bytes.
pub(crate) async fn read_body(
    response: HttpResponse,
    limit: usize,
) -> Result<Vec<u8>, &'static str> {
    let mut body = ByteStream::new(response.into_body());
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_| "the response broke off")?);
        if bytes.len() > limit {
            return Err("the response is too long");
        }
    }
    Ok(bytes)
}
