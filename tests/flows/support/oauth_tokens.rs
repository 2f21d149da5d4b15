//! Requests to the token and revocation endpoints of the OAuth 2.0 API.

use http::Request;
use serde_json::Value;
use test_support::{PASSWORD, Reply, TestServer};

use super::oauth_pages::{
    Authorization, Browser, NATIVE_URI, OAUTH, VERIFIER, encode, native_client,
};

pub(crate) const TOKEN: &str = "/oauth2/token";
pub(crate) const REVOKE: &str = "/oauth2/revoke";
/// The lifetime of an access token in seconds.
pub(crate) const LIFETIME: u64 = 900;

/// A form that posts to an endpoint of the API.
pub(crate) type Form = Vec<(String, String)>;

pub(crate) fn form(pairs: &[(&str, &str)]) -> Form {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// The form with this value of a parameter, or without the parameter if the value is empty.
pub(crate) fn changed(form: &Form, name: &str, value: &str) -> Form {
    let mut form = form.clone();
    form.retain(|(own, _)| own != name);
    if !value.is_empty() {
        form.push((name.to_owned(), value.to_owned()));
    }
    form
}

/// Sends a form.
pub(crate) async fn send(server: &TestServer, path: &str, form: &Form) -> Reply {
    let request = Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encode(form).into_bytes());
    server.send(request.unwrap()).await
}

/// A server with the API, the user alice and a registered client.
pub(crate) struct OAuthServer {
    pub(crate) server: TestServer,
    pub(crate) client: String,
}

impl OAuthServer {
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let server = TestServer::with(&[&[OAUTH], settings].concat()).await;
        server.sign_up("alice").await;
        let client = native_client(&server);
        Self { server, client }
    }

    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Logs in and gives consent. Returns the code.
    pub(crate) async fn authorize(&self, authorization: &Authorization) -> String {
        let mut browser = Browser::new(&self.server);
        let consent = browser.log_in(authorization, "alice", PASSWORD).await;
        let last = browser.decide(&consent, "allow").await;
        last.response()["code"].clone()
    }

    /// The form that exchanges a code.
    pub(crate) fn exchange(&self, code: &str) -> Form {
        form(&[
            ("grant_type", "authorization_code"),
            ("client_id", &self.client),
            ("code", code),
            ("redirect_uri", NATIVE_URI),
            ("code_verifier", VERIFIER),
        ])
    }

    /// A code of a new authorization request of the client, with the form that exchanges it.
    pub(crate) async fn code(&self) -> Form {
        let authorization = Authorization::new(&self.client, NATIVE_URI);
        self.exchange(&self.authorize(&authorization).await)
    }

    /// The tokens of a new session.
    pub(crate) async fn log_in(&self) -> Value {
        send(&self.server, TOKEN, &self.code().await).await.ok()
    }

    /// The form that exchanges the refresh token of these tokens.
    pub(crate) fn refresh_of(&self, tokens: &Value) -> Form {
        form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &self.client),
            ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ])
    }

    pub(crate) async fn refresh(&self, tokens: &Value) -> Reply {
        send(&self.server, TOKEN, &self.refresh_of(tokens)).await
    }

    /// The response to `whoami` with the access token of these tokens. It uses the token.
    pub(crate) async fn whoami(&self, tokens: &Value) -> Reply {
        let token = tokens["access_token"].as_str().unwrap();
        self.server.whoami(token).await
    }

    pub(crate) async fn revoke(&self, token: &str) -> Reply {
        self.revoke_as(&self.client, token).await
    }

    pub(crate) async fn revoke_as(&self, client: &str, token: &str) -> Reply {
        let form = form(&[("token", token), ("client_id", client)]);
        send(&self.server, REVOKE, &form).await
    }
}

/// Asserts an error of the OAuth 2.0 API and returns its body.
#[track_caller]
pub(crate) fn assert_error(reply: &Reply, status: u16, error: &str) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["error"], error, "{body}");
    assert!(body["error_description"].is_string(), "{body}");
    body
}
