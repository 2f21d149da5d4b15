//! A device that uses the device authorization grant, and the browser of its user.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use super::{
    account_helpers::{LOGIN, login_of},
    oauth_pages::{Browser, DEVICE, OAUTH, Page, client_row},
    oauth_tokens::{Form, TOKEN, form, send},
};

pub(crate) const DEVICE_PATH: &str = "/oauth2/device";
pub(crate) const LINK: &str = "/link";
pub(crate) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The metadata of a client that uses only this grant.
pub(crate) fn metadata() -> Value {
    json!({
        "application_type": "native",
        "client_name": "Element TV",
        "client_uri": "https://element.io/tv",
        "grant_types": ["refresh_token", GRANT],
        "policy_uri": "https://element.io/privacy",
    })
}

/// The scope of a device with this ID.
pub(crate) fn scope(device: &str) -> String {
    format!("urn:matrix:client:api:* urn:matrix:client:device:{device}")
}

/// The form with which a device of this client requests access.
fn request(client: &str) -> Form {
    form(&[("client_id", client), ("scope", &scope(DEVICE))])
}

/// A server with the API, the user alice and a registered client.
pub(crate) struct GrantServer {
    pub(crate) server: TestServer,
    pub(crate) client: String,
}

impl GrantServer {
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let server = TestServer::with(&[&[OAUTH], settings].concat()).await;
        server.sign_up("alice").await;
        Self::of(server)
    }

    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The server with a registered client.
    pub(crate) fn of(server: TestServer) -> Self {
        let client = client_row(&server, &metadata());
        Self { server, client }
    }

    /// The form with which a device requests access.
    pub(crate) fn request(&self) -> Form {
        request(&self.client)
    }

    /// A device that has requested access.
    pub(crate) async fn device(&self) -> Device {
        Device::request(&self.server, &self.client).await
    }

    /// A device whose request alice has approved.
    pub(crate) async fn approved(&self) -> Device {
        let device = self.device().await;
        let mut browser = Browser::new(&self.server);
        let consent = device.consent(&mut browser, "alice").await;
        browser.decide(&consent, "allow").await.expect(200);
        device
    }

    pub(crate) async fn poll(&self, device: &Device) -> Reply {
        device.poll(&self.server).await
    }

    /// Logs out with the account API: the device of this access token, or all.
    pub(crate) async fn log_out(&self, access: &str, path: &str) {
        let (path, body) = (format!("/_matrix/client/v3/{path}"), json!({}));
        let peer = [127, 0, 0, 1].into();
        let reply = self.server.post_as_from(peer, access, &path, &body).await;
        reply.ok();
    }

    /// Logs in with the account API. Returns the access token.
    pub(crate) async fn log_in(&self) -> String {
        let login = self.server.post(LOGIN, &login_of("alice", PASSWORD)).await;
        login.ok()["access_token"].as_str().unwrap().to_owned()
    }

    /// The row of a device code.
    #[track_caller]
    pub(crate) fn row(&self, device: &Device) -> Value {
        let hash = shared::secrets::sha256_base64(device.secret_code.as_bytes());
        let rows = self.server.local.dynamodb().table("OAuth").unwrap();
        let key = format!("DEVICECODE#{hash}");
        let mut rows = rows.into_iter();
        rows.find(|row| row["pk"]["S"] == key.as_str()).unwrap()
    }

    #[track_caller]
    pub(crate) fn state(&self, device: &Device) -> String {
        self.row(device)["state"]["S"].as_str().unwrap().to_owned()
    }
}

/// A device with its codes.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) secret_code: String,
    pub(crate) user_code: String,
    client: String,
}

impl Device {
    pub(crate) fn new(client: &str, codes: &Value) -> Self {
        let member = |name: &str| codes[name].as_str().unwrap().to_owned();
        Self {
            secret_code: member("device_code"),
            user_code: member("user_code"),
            client: client.to_owned(),
        }
    }

    /// A device that has requested access.
    pub(crate) async fn request(server: &TestServer, client: &str) -> Self {
        let codes = send(server, DEVICE_PATH, &request(client)).await.ok();
        Self::new(client, &codes)
    }

    /// The form of a poll.
    pub(crate) fn form(&self) -> Form {
        form(&[
            ("grant_type", GRANT),
            ("client_id", &self.client),
            ("device_code", &self.secret_code),
        ])
    }

    pub(crate) async fn poll(&self, server: &TestServer) -> Reply {
        send(server, TOKEN, &self.form()).await
    }

    /// The path of the page with the code.
    pub(crate) fn path(&self) -> String {
        format!("{LINK}?user_code={}", self.user_code)
    }

    /// Opens the page with the code, logs in if the page asks for it, and submits the code. Returns the next page.
    pub(crate) async fn consent(&self, browser: &mut Browser<'_>, user: &str) -> Page {
        let mut page = browser.get(&self.path()).await.expect(200);
        if let Some(login) = page.find_form("/login") {
            let values = [("user", user), ("password", PASSWORD)];
            page = browser.submit(&login, &values).await.expect(200);
        }
        browser.submit(&page.form(LINK), &[]).await
    }
}

/// The content of the element with this ID.
#[track_caller]
pub(crate) fn element(page: &Page, id: &str) -> String {
    let start = format!("id=\"{id}\">");
    let found = page.text.split_once(&start);
    let (_, text) = found.unwrap_or_else(|| panic!("{id}: {}", page.text));
    text.split("</d").next().unwrap().to_owned()
}
