//! The body of a response of another server.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::byte_stream::ByteStream;

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
