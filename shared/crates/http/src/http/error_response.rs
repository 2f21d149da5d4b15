//! The responses for errors and challenges.

use ::http::StatusCode;
use serde_json::{Map, Value, json};

use super::Response;
use crate::error::{Challenge, ErrorCode, MatrixError};

impl MatrixError {
    /// The response. It always contains `errcode` and `error` (HTTP-06). The `Retry-After` header
    /// and `retry_after_ms` have the same value: whole seconds, rounded up, at least 1 (HTTP-20,
    /// HTTP-21).
    pub fn response(&self, request_id: &str) -> Response {
        let (status, errcode) = match &self.relayed {
            Some((status, errcode)) => (*status, errcode.as_str()),
            None => (self.code.status(), self.code.as_str()),
        };
        let mut body = Map::new();
        body.insert("errcode".to_owned(), errcode.into());
        body.insert("error".to_owned(), self.message.as_ref().into());
        if self.soft_logout {
            body.insert("soft_logout".to_owned(), true.into());
        }
        if self.unsuccessful {
            body.insert("success".to_owned(), false.into());
        }
        if self.code == ErrorCode::Unknown {
            body.insert("request_id".to_owned(), request_id.into());
        }
        let seconds = self
            .retry_after
            .map(|wait| (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1));
        if let Some(seconds) = seconds {
            body.insert("retry_after_ms".to_owned(), json!(seconds * 1000));
        }
        Response {
            retry_after: seconds,
            allow: self.allow,
            requires_bearer: self.requires_bearer,
            ..Response::json(status, &Value::Object(body))
        }
    }
}

impl Challenge {
    /// The 401 response, with `errcode` and `error` if a stage was not accepted.
    pub fn response(&self) -> Response {
        let mut body = json!({
            "flows": self.flows,
            "params": self.params,
            "session": self.session,
            "completed": self.completed,
        });
        if let Some(error) = self.error {
            body["errcode"] = error.code.as_str().into();
            body["error"] = error.message.into();
        }
        Response::json(StatusCode::UNAUTHORIZED, &body)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn http_20_retry_after_is_whole_seconds_rounded_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2)] {
            let response = MatrixError::limited(Duration::from_millis(millis)).response("id");
            assert_eq!(response.retry_after, Some(seconds));
            let body = format!(r#""retry_after_ms":{}"#, seconds * 1000);
            assert!(
                matches!(&response.content, crate::http::Content::Json(text) if text.contains(&body))
            );
        }
    }
}
