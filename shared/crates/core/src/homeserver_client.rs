//! The HTTP client for the endpoints `/_synapse/mas/` of the homeserver. Synapse and Palpo have these endpoints.
//!
//! One call is one request with a timeout and without a retry. A user is identified by the localpart.

use std::time::Duration;

use ::http::StatusCode;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Map, Value, json};

use crate::{
    config::HomeserverConfig,
    http_exchange,
    ids::{DeviceId, Localpart},
    secrets::Secret,
};

/// The timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum size of a response, in bytes.
const MAX_RESPONSE_BYTES: usize = 256 * 1024;
/// The maximum length of a rejection in the log and in the outbox, in characters.
const MAX_REJECTION_CHARS: usize = 200;

/// The client. Creating it reads the root certificates, so it should be done once per process.
#[derive(Debug)]
pub struct Client {
    connector: SharedHttpConnector,
    config: HomeserverConfig,
}

/// The reason why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HomeserverError {
    /// There was no usable response: the homeserver may or may not have made the change. A later attempt may succeed.
    #[error("the homeserver did not confirm the change: {0}")]
    Unavailable(String),
    /// The homeserver rejected the request. The same request will probably be rejected again.
    #[error("the homeserver rejected the request: {0}")]
    Rejected(String),
}

/// Whether a name is free at the homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameAvailability {
    /// No account has the name.
    Free,
    /// An account has the name, or had it before it was deactivated.
    Taken,
    /// The name is in an exclusive namespace of an application service.
    Exclusive,
    /// The homeserver does not allow the name.
    Invalid,
}

/// Whether the user or the device of a call exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// The call has created it.
    Created,
    /// It existed before the call.
    Existed,
    /// It does not exist.
    Missing,
}

/// A user at the homeserver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeserverUser {
    /// Whether the user is deactivated there.
    pub is_deactivated: bool,
}

/// A response of `/_synapse/mas/`.
struct Answer {
    status: u16,
    body: Map<String, Value>,
}

impl Answer {
    fn errcode(&self) -> &str {
        let errcode = self.body.get("errcode").and_then(Value::as_str);
        errcode.unwrap_or_default()
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn existence(self) -> Result<Existence, HomeserverError> {
        match self.status {
            201 => Ok(Existence::Created),
            404 if self.errcode() == "M_NOT_FOUND" => Ok(Existence::Missing),
            _ if self.is_success() => Ok(Existence::Existed),
            _ => Err(self.error()),
        }
    }

    /// The error for an unexpected status. Only statuses that depend on the content of the request are rejections. A
    /// wrong secret, a missing endpoint and an overloaded server do not: the same request may succeed later.
    fn error(self) -> HomeserverError {
        let message = self.body.get("error").and_then(Value::as_str);
        let text = format!(
            "status {} {} {}",
            self.status,
            self.errcode(),
            message.unwrap_or_default()
        );
        let printable = text.chars().filter(|c| !c.is_control());
        let text: String = printable.take(MAX_REJECTION_CHARS).collect();
        match self.status {
            400 | 409 | 413 => HomeserverError::Rejected(text.trim_end().to_owned()),
            _ => HomeserverError::Unavailable(text.trim_end().to_owned()),
        }
    }
}

impl Client {
    /// Creates the client without opening a connection.
    pub fn new(config: &HomeserverConfig) -> Self {
        Self {
            connector: http_exchange::connector(TIMEOUT),
            config: config.clone(),
        }
    }

    /// Whether the name is free.
    pub async fn availability(
        &self,
        user: &Localpart,
    ) -> Result<NameAvailability, HomeserverError> {
        let answer = self.get("is_localpart_available", user).await?;
        match (answer.status, answer.errcode()) {
            (200, _) => Ok(NameAvailability::Free),
            (400, "M_EXCLUSIVE") => Ok(NameAvailability::Exclusive),
            (400, "M_INVALID_USERNAME") => Ok(NameAvailability::Invalid),
            // Palpo responds with M_UNKNOWN if the name is taken.
            (400, "M_USER_IN_USE" | "M_UNKNOWN") => Ok(NameAvailability::Taken),
            _ => Err(answer.error()),
        }
    }

    /// The user, if there is one.
    pub async fn find_user(
        &self,
        user: &Localpart,
    ) -> Result<Option<HomeserverUser>, HomeserverError> {
        let answer = self.get("query_user", user).await?;
        match answer.status {
            200 => Ok(Some(HomeserverUser {
                is_deactivated: answer.body.get("is_deactivated") == Some(&Value::Bool(true)),
            })),
            404 if answer.errcode() == "M_NOT_FOUND" => Ok(None),
            _ => Err(answer.error()),
        }
    }

    /// Creates the user. If a user with this name exists, the call changes nothing.
    pub async fn create_user(&self, user: &Localpart) -> Result<Existence, HomeserverError> {
        let answer = self
            .post("provision_user", json!({ "localpart": user.as_str() }))
            .await?;
        match (answer.status, answer.errcode()) {
            // Synapse responds with this error while another call creates the user (HS-12).
            (400, "M_USER_IN_USE") => Ok(Existence::Existed),
            _ => answer.existence(),
        }
    }

    /// Replaces the e-mail addresses of the user, and sets whether the user is locked. Creates the user if it does not
    /// exist. Palpo ignores the addresses and the lock.
    pub async fn update_user(
        &self,
        user: &Localpart,
        emails: &[String],
        is_locked: bool,
    ) -> Result<Existence, HomeserverError> {
        let body = json!({
            "localpart": user.as_str(),
            "set_emails": emails,
            "locked": is_locked,
        });
        self.post("provision_user", body).await?.existence()
    }

    /// Creates the device, or sets the display name of an existing one. `Missing` if the user does not exist.
    pub async fn upsert_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
        display_name: Option<&str>,
    ) -> Result<Existence, HomeserverError> {
        let mut body = json!({ "localpart": user.as_str(), "device_id": device.as_str() });
        if let Some(name) = display_name {
            body["display_name"] = storable(name).into();
        }
        self.post("upsert_device", body).await?.existence()
    }

    /// Sets the display name of a device.
    pub async fn rename_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
        display_name: &str,
    ) -> Result<Existence, HomeserverError> {
        let body = json!({
            "localpart": user.as_str(),
            "device_id": device.as_str(),
            "display_name": storable(display_name),
        });
        self.post("update_device_display_name", body)
            .await?
            .existence()
    }

    /// Deletes a device, which invalidates its cached token. Succeeds if there is no such device.
    pub async fn delete_device(
        &self,
        user: &Localpart,
        device: &DeviceId,
    ) -> Result<Existence, HomeserverError> {
        let body = json!({ "localpart": user.as_str(), "device_id": device.as_str() });
        self.post("delete_device", body).await?.existence()
    }

    /// Creates the missing devices among these and deletes all others. `Missing` if the user does not exist.
    pub async fn sync_devices(
        &self,
        user: &Localpart,
        devices: &[&str],
    ) -> Result<Existence, HomeserverError> {
        let body = json!({ "localpart": user.as_str(), "devices": devices });
        self.post("sync_devices", body).await?.existence()
    }

    /// Permits the user to replace the cross-signing keys without further authentication, for ten minutes. `Missing` if
    /// the user does not exist, or has no keys yet.
    pub async fn allow_cross_signing_reset(
        &self,
        user: &Localpart,
    ) -> Result<Existence, HomeserverError> {
        let body = json!({ "localpart": user.as_str() });
        self.post("allow_cross_signing_reset", body)
            .await?
            .existence()
    }

    /// Deactivates the user. `Missing` if the user does not exist.
    pub async fn delete_user(
        &self,
        user: &Localpart,
        erase: bool,
    ) -> Result<Existence, HomeserverError> {
        let body = json!({ "localpart": user.as_str(), "erase": erase });
        self.post("delete_user", body).await?.existence()
    }

    /// Forwards the request of an application service to register a user, with the token of the service. Returns the
    /// status and the body of the response.
    pub async fn forward_registration(
        &self,
        token: &Secret,
        body: Vec<u8>,
    ) -> Result<(StatusCode, String), HomeserverError> {
        let unusable = || HomeserverError::Unavailable("the response is not text".to_owned());
        let path = "/_matrix/client/v3/register";
        let (status, body) = self.send("POST", path, token, SdkBody::from(body)).await?;
        let status = StatusCode::from_u16(status).map_err(|_| unusable())?;
        Ok((status, String::from_utf8(body).map_err(|_| unusable())?))
    }

    async fn get(&self, endpoint: &str, user: &Localpart) -> Result<Answer, HomeserverError> {
        let localpart = form_urlencoded::Serializer::new(String::new())
            .append_pair("localpart", user.as_str())
            .finish();
        let path = format!("/_synapse/mas/{endpoint}?{localpart}");
        self.call("GET", &path, SdkBody::empty()).await
    }

    async fn post(&self, endpoint: &str, body: Value) -> Result<Answer, HomeserverError> {
        let path = format!("/_synapse/mas/{endpoint}");
        self.call("POST", &path, SdkBody::from(body.to_string()))
            .await
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        body: SdkBody,
    ) -> Result<Answer, HomeserverError> {
        let (status, bytes) = self.send(method, path, &self.config.secret, body).await?;
        // A proxy in front of the homeserver may respond with another format.
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answer { status, body })
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        token: &Secret,
        body: SdkBody,
    ) -> Result<(u16, Vec<u8>), HomeserverError> {
        let unavailable = |reason: &str| HomeserverError::Unavailable(reason.to_owned());
        let request = ::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.config.url))
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", token.reveal()))
            .body(body)
            .map_err(|_| unavailable("the request is invalid"))?;
        let request =
            HttpRequest::try_from(request).map_err(|_| unavailable("the request is invalid"))?;
        let exchange = async {
            let response = self.connector.call(request).await;
            let response = response.map_err(|_| "the connection failed")?;
            let status = response.status().as_u16();
            let body = http_exchange::read_body(response, MAX_RESPONSE_BYTES).await?;
            Ok::<_, &'static str>((status, body))
        };
        let answer = tokio::time::timeout(TIMEOUT, exchange).await;
        let answer = answer.unwrap_or(Err("there was no response in time"));
        answer.map_err(unavailable)
    }
}

/// A display name without the character NUL. PostgreSQL cannot store it, so that the homeserver would fail.
fn storable(display_name: &str) -> String {
    display_name.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: serde_json::from_str(body).unwrap_or_default(),
        }
    }

    #[test]
    fn a_status_is_an_outcome_a_rejection_or_a_failure() {
        let not_found = r#"{"errcode":"M_NOT_FOUND","error":"User not found"}"#;
        for (status, body, expected) in [
            (201, "{}", Existence::Created),
            (200, "{}", Existence::Existed),
            (204, "", Existence::Existed),
            (404, not_found, Existence::Missing),
        ] {
            assert_eq!(answer(status, body).existence(), Ok(expected), "{status}");
        }
        let rejected = answer(400, r#"{"errcode":"M_INVALID_PARAM","error":"No\nway"}"#);
        assert_eq!(
            rejected.existence(),
            Err(HomeserverError::Rejected(
                "status 400 M_INVALID_PARAM Noway".to_owned()
            ))
        );
        // A wrong secret, a missing endpoint, or a failure of a proxy or of the homeserver.
        for (status, body) in [
            (401, r#"{"errcode":"M_MISSING_TOKEN"}"#),
            (403, r#"{"errcode":"M_UNKNOWN"}"#),
            (404, r#"{"errcode":"M_UNRECOGNIZED"}"#),
            (404, "<html>"),
            (429, "{}"),
            (500, "{}"),
            (502, "<html>"),
        ] {
            let error = answer(status, body).existence().unwrap_err();
            assert!(
                matches!(error, HomeserverError::Unavailable(_)),
                "{status} {error}"
            );
        }
    }
}
