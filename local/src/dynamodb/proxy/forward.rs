//! Forwarding to the embedded `DynamoDB`, and the proxy's own responses.

use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::{State, call::Operation, faults};
use crate::runtime::local_listener::{ConnectionReset, typed};

impl State {
    /// Forwards the request, with `body` in place of its own body if `body` is given. Returns the response and its
    /// JSON.
    pub(super) async fn forward(
        &self,
        headers: &HeaderMap,
        operation: &Operation,
        body: Option<Value>,
    ) -> Result<(Response<Full<Bytes>>, Option<Value>), ConnectionReset> {
        let body = body.or_else(|| operation.body.clone()).map(|mut body| {
            if operation.counts_capacity() && body.get("ReturnConsumedCapacity").is_none() {
                body["ReturnConsumedCapacity"] = json!("TOTAL");
            }
            Bytes::from(body.to_string())
        });
        let mut request = Request::builder()
            .method("POST")
            .uri(format!("http://{}/", self.database));
        for (name, value) in headers {
            if !matches!(
                *name,
                header::HOST | header::CONTENT_LENGTH | header::CONNECTION
            ) {
                request = request.header(name, value);
            }
        }
        let request = request
            .body(Full::new(body.unwrap_or_else(|| operation.raw.clone())))
            .map_err(|_| ConnectionReset)?;
        let answer = self.client.request(request).await.map_err(|error| {
            tracing::error!(%error, "the call to the embedded DynamoDB failed");
            ConnectionReset
        })?;
        let (mut parts, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|_| ConnectionReset)?
            .to_bytes();
        let json = serde_json::from_slice(&body).ok();
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts.headers.remove(header::CONNECTION);
        remove_cors_headers(&mut parts.headers);
        Ok((Response::from_parts(parts, Full::new(body)), json))
    }
}

/// Removes the CORS headers. With them, every web page could read the responses of the engine.
fn remove_cors_headers(headers: &mut HeaderMap) {
    let cors: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"))
        .cloned()
        .collect();
    for name in cors {
        headers.remove(name);
    }
}

pub(super) fn aws_json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    typed(status, "application/x-amz-json-1.0", body.to_string())
}

pub(super) fn error_response(
    status: StatusCode,
    error: &str,
    message: &str,
) -> Response<Full<Bytes>> {
    aws_json(status, &faults::error_body(error, message))
}

/// Adds the items that were not forwarded to a response.
pub(super) fn with_unprocessed(
    (answer, body): (Response<Full<Bytes>>, Option<Value>),
    unprocessed: &(&'static str, Value),
) -> (Response<Full<Bytes>>, Option<Value>) {
    match body {
        Some(mut body) if answer.status() == StatusCode::OK => {
            body[unprocessed.0] = unprocessed.1.clone();
            (aws_json(StatusCode::OK, &body), Some(body))
        }
        body => (answer, body),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_response_has_no_cors_headers() {
        let mut headers = HeaderMap::new();
        for name in [
            "access-control-allow-origin",
            "access-control-allow-headers",
            "access-control-max-age",
            "x-amzn-requestid",
        ] {
            headers.append(name, HeaderValue::from_static("*"));
            headers.append(name, HeaderValue::from_static("1"));
        }
        remove_cors_headers(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-amzn-requestid"]);
    }
}
