//! Helpers for existing accounts: logins, password stages, account operations and the validity of
//! tokens.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use http::Request;
use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, Reply, TestServer};

use crate::{
    api::support::{WHOAMI, post_as},
    flows::support::threepid_helpers::{
        EMAIL, MAIL, MSISDN, SMS, ValidationSession, confirm, link_to, mail_to, request_mail,
        request_text,
    },
};

pub(crate) const PASSWORD_PATH: &str = "/_matrix/client/v3/account/password";
pub(crate) const DEACTIVATE_PATH: &str = "/_matrix/client/v3/account/deactivate";
pub(crate) const DELETE_DEVICES_PATH: &str = "/_matrix/client/v3/delete_devices";
pub(crate) const THREEPID_PATH: &str = "/_matrix/client/v3/account/3pid";
pub(crate) const LOGIN: &str = "/_matrix/client/v3/login";
/// Another password that every policy accepts.
pub(crate) const OTHER_PASSWORD: &str = "walnut 3 harbour comet";

/// Settings with which addresses can be validated at registration.
pub(crate) const ADDRESSES: [(&str, &str); 3] = [
    (
        "GATEHOUSE_REGISTRATION_FLOWS",
        "m.login.dummy m.login.email.identity m.login.msisdn",
    ),
    MAIL,
    SMS,
];

/// A device of an account.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) token: String,
    pub(crate) refresh: Option<String>,
    pub(crate) id: String,
}

impl Device {
    /// The device in a response to a registration or a login.
    pub(crate) fn of(answer: &Value) -> Self {
        Self {
            token: answer["access_token"].as_str().unwrap().to_owned(),
            refresh: answer["refresh_token"].as_str().map(str::to_owned),
            id: answer["device_id"].as_str().unwrap().to_owned(),
        }
    }

    /// Sends a `POST` request with the token of the device.
    pub(crate) async fn post(&self, server: &TestServer, path: &str, body: &Value) -> Reply {
        post_as(server, &self.token, path, body).await
    }

    /// Logs the device out.
    pub(crate) async fn log_out(&self, server: &TestServer) {
        let path = format!("{}/logout", PREFIXES[1]);
        self.post(server, &path, &json!({})).await.ok();
    }

    /// Changes the display name of the device.
    pub(crate) async fn rename(&self, server: &TestServer, name: &str) {
        let path = format!("{}/devices/{}", PREFIXES[1], self.id);
        let bearer = format!("Bearer {}", self.token);
        let request = Request::put(path).header("authorization", bearer);
        let body = json!({ "display_name": name }).to_string().into_bytes();
        server.send(request.body(body).unwrap()).await.ok();
    }

    /// Whether the access token of the device is valid.
    pub(crate) async fn is_valid(&self, server: &TestServer) -> bool {
        let reply = server.get_as(&self.token, WHOAMI).await;
        if reply.status == 200 {
            return true;
        }
        let body = reply.error(401, "M_UNKNOWN_TOKEN");
        assert!(body.get("soft_logout").is_none(), "TOK-06: {body}");
        false
    }

    /// Sends the first request of an operation. Returns its 401 and the ID of its session.
    pub(crate) async fn begin(
        &self,
        server: &TestServer,
        path: &str,
        body: &Value,
    ) -> (Value, String) {
        let challenge = self.post(server, path, body).await.challenge();
        let session = challenge["session"].as_str().unwrap().to_owned();
        (challenge, session)
    }
}

/// Registers an account with one device.
pub(crate) async fn sign_up(server: &TestServer, name: &str) -> Device {
    Device::of(&server.sign_up(name).await)
}

/// Registers an account with a validated address; `stage` is the stage of the address's medium.
pub(crate) async fn sign_up_with(
    server: &TestServer,
    name: &str,
    stage: &str,
    address: &str,
) -> Device {
    let secret = format!("sign-up-of-{name}");
    let validation = if stage == EMAIL {
        request_mail(server, address, &secret).await
    } else {
        request_text(server, address, &secret).await
    };
    validation.validate(server).await;
    let mut body = validation.attempt(None);
    body["username"] = name.into();
    body["password"] = PASSWORD.into();
    Device::of(&server.register(&body).await.ok())
}

/// The body of a login with a password.
pub(crate) fn login_of(name: &str, password: &str) -> Value {
    json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": name },
        "password": password,
        "refresh_token": true,
    })
}

/// Sends a login and returns its response.
pub(crate) async fn try_login(server: &TestServer, name: &str, password: &str) -> Reply {
    server.post(LOGIN, &login_of(name, password)).await
}

/// Logs in, which must succeed, and returns the new device.
pub(crate) async fn log_in(server: &TestServer, name: &str, password: &str) -> Device {
    Device::of(&try_login(server, name, password).await.ok())
}

/// `auth` with a password, in a session or without one.
pub(crate) fn password_of(name: &str, password: &str, session: Option<&str>) -> Value {
    let mut auth = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": name },
        "password": password,
    });
    if let Some(session) = session {
        auth["session"] = session.into();
    }
    auth
}

/// A body with this `auth`.
pub(crate) fn with_auth(mut body: Value, auth: Value) -> Value {
    body["auth"] = auth;
    body
}

/// Requests a message for a reset; `stage` is the stage of the medium of `to`.
pub(crate) async fn request_reset_token(
    server: &TestServer,
    stage: &'static str,
    to: &str,
    secret: &str,
) -> ValidationSession {
    let medium = if stage == EMAIL { "email" } else { "msisdn" };
    let path = format!("/_matrix/client/v3/account/password/{medium}/requestToken");
    let mut body = json!({ "client_secret": secret, "send_attempt": 1 });
    if stage == MSISDN {
        body["country"] = "GB".into();
        body["phone_number"] = to.into();
    } else {
        body["email"] = to.into();
    }
    let answer = server.post(&path, &body).await.ok();
    ValidationSession {
        stage,
        sid: answer["sid"].as_str().unwrap().to_owned(),
        secret: secret.to_owned(),
        address: answer["msisdn"].as_str().unwrap_or(to).to_owned(),
        answer,
    }
}

/// Validates an e-mail address for an addition to an account and returns the credentials.
pub(crate) async fn validate_for_addition(server: &TestServer, address: &str) -> Value {
    let secret = format!("addition-of-{}", address.replace('@', "-"));
    let path = "/_matrix/client/v3/account/3pid/email/requestToken";
    let answer = server.post(path, &mail_to(address, &secret, 1)).await.ok();
    server.deliver().await;
    confirm(server, &link_to(server, address)).await;
    json!({ "sid": answer["sid"], "client_secret": secret })
}

/// Adds an e-mail address to an account with an access token alone.
pub(crate) async fn add_address(server: &TestServer, device: &Device, address: &str) {
    let body = json!({ "three_pid_creds": validate_for_addition(server, address).await });
    device.post(server, THREEPID_PATH, &body).await.ok();
}

/// The rows of an account: `(sort key, row)`.
pub(crate) fn rows_of(server: &TestServer, name: &str) -> Vec<(String, Value)> {
    crate::api::support::rows_of(server, name)
}
