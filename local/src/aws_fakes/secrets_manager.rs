//! Secrets Manager: `GetSecretValue` of a single secret.

use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::State;
use crate::{iam::caller, runtime::local_listener::typed, template::Permission};

/// The `X-Amz-Target` header of its requests.
const TARGET: &str = "secretsmanager.GetSecretValue";

/// The name of the secret: its logical id in the template, to which `sam local` resolves `!Ref`.
pub const KEY_RING: &str = "KeyRing";

/// Whether a request is for this service. Its requests are JSON, unlike those of SES and SNS.
pub(super) fn is_get_secret_value(headers: &HeaderMap) -> bool {
    headers
        .get("x-amz-target")
        .is_some_and(|target| target == TARGET)
}

impl State {
    pub(super) fn get_secret_value(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Response<Full<Bytes>> {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let id = request["SecretId"].as_str().unwrap_or_default();
        let needs = Permission {
            action: "secretsmanager:GetSecretValue".to_owned(),
            resource: id.to_owned(),
        };
        let caller = caller(headers);
        if let Some(denied) = self.iam.check(&caller, &[needs].into()) {
            let message = format!(
                "User: {caller} is not authorized to perform: {} on resource: {id}",
                denied.action
            );
            return error_response("AccessDeniedException", &message);
        }
        let secret = self.secret();
        let Some(text) = secret.as_deref().filter(|_| id == KEY_RING) else {
            let message = "Secrets Manager can't find the specified secret.";
            return error_response("ResourceNotFoundException", message);
        };
        let answer = json!({ "ARN": id, "Name": id, "SecretString": text });
        let answer = answer.to_string();
        typed(StatusCode::OK, "application/x-amz-json-1.1", answer)
    }
}

fn error_response(code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = json!({ "__type": code, "Message": message }).to_string();
    typed(StatusCode::BAD_REQUEST, "application/x-amz-json-1.1", body)
}
