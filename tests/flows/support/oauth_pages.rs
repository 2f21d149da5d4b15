//! A browser for the pages of the OAuth 2.0 API: it keeps cookies, submits forms and follows redirects of this server. It
//! never follows the link to a client.

mod page;

use std::{collections::BTreeMap, net::IpAddr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Request, request::Builder};
pub(crate) use page::{Form, Page};
use serde_json::{Value, json};
use shared::secrets::sha256_base64;
use test_support::{NOW, TestServer};

/// The setting that turns the API off.
pub(crate) const LEGACY: (&str, &str) = ("GATEHOUSE_AUTH_APIS", "legacy");
/// The setting that turns the API on.
pub(crate) const OAUTH: (&str, &str) = ("GATEHOUSE_AUTH_APIS", "both");
/// A PKCE verifier.
pub(crate) const VERIFIER: &str = "verifier-verifier-verifier-verifier-verifier-1";
/// The redirect URI of [`native_client`].
pub(crate) const NATIVE_URI: &str = "io.element.android:/";
/// The device ID of [`Authorization::new`].
pub(crate) const DEVICE: &str = "PHONE0123456";
/// The state of [`Authorization::new`].
pub(crate) const STATE: &str = "a state/with+characters&more";

/// Writes the row of a registered client directly to the table. Returns the client ID.
pub(crate) fn client_row(server: &TestServer, metadata: &Value) -> String {
    let text = metadata.to_string();
    let hash = sha256_base64(text.as_bytes());
    let id = format!("ghc_{}", &hash[..22]);
    server.raw_dynamodb(
        "PutItem",
        &json!({
            "TableName": format!("{}-oauth", server.local.config().tables),
            "Item": {
                "pk": { "S": format!("CLIENT#{id}") },
                "metadata": { "S": text },
                "created": { "N": NOW.to_string() },
            },
        }),
    );
    id
}

/// The metadata of a client of this type with one redirect URI.
pub(crate) fn metadata(kind: &str, redirect_uri: &str) -> Value {
    json!({
        "application_type": kind,
        "client_name": "Element X",
        "client_uri": "https://element.io/apps/android",
        "grant_types": ["authorization_code", "refresh_token"],
        "policy_uri": "https://element.io/privacy",
        "redirect_uris": [redirect_uri],
        "tos_uri": "https://element.io/terms",
    })
}

/// The ID of a registered app with a private-use scheme.
pub(crate) fn native_client(server: &TestServer) -> String {
    client_row(server, &metadata("native", NATIVE_URI))
}

/// The parameters of an authorization request.
#[derive(Debug, Clone)]
pub(crate) struct Authorization(Vec<(String, String)>);

impl Authorization {
    /// A valid request of this client.
    pub(crate) fn new(client_id: &str, redirect_uri: &str) -> Self {
        let base = "urn:matrix:org.matrix.msc2967.client";
        let scope = format!("{base}:api:* {base}:device:{DEVICE}");
        let challenge = sha256_base64(VERIFIER.as_bytes());
        let pairs = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect_uri),
            ("scope", &scope),
            ("state", STATE),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(pairs.map(owned).to_vec())
    }

    /// A valid request of [`native_client`].
    pub(crate) fn native(server: &TestServer) -> Self {
        Self::new(&native_client(server), NATIVE_URI)
    }

    /// The request with this value of a parameter, or without the parameter if the value is empty.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(own, _)| own != name);
        if value.is_empty() {
            return self;
        }
        self.and(name, value)
    }

    /// The request with one more parameter, which may be a repetition.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The path and the query of the request.
    pub(crate) fn path(&self) -> String {
        format!("/oauth2/authorize?{}", encode(&self.0))
    }
}

/// Encodes a form or a query.
pub(crate) fn encode(pairs: &[(String, String)]) -> String {
    let percent = |text: &str| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let bytes = text.bytes().map(|byte| {
            if is_plain(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        });
        bytes.collect::<String>()
    };
    let pairs = pairs.iter();
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{}={}", percent(name), percent(value)))
        .collect();
    pairs.join("&")
}

/// A browser with its cookies.
#[derive(Clone)]
pub(crate) struct Browser<'a> {
    server: &'a TestServer,
    /// The cookies by name.
    pub(crate) cookies: BTreeMap<String, String>,
    /// The address of the computer.
    pub(crate) peer: IpAddr,
}

impl<'a> Browser<'a> {
    /// A browser without cookies.
    pub(crate) fn new(server: &'a TestServer) -> Self {
        Self {
            server,
            cookies: BTreeMap::new(),
            peer: [127, 0, 0, 1].into(),
        }
    }

    /// The cookie of the server.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.cookies.values().next().map(String::as_str)
    }

    /// Opens a page and follows redirects.
    pub(crate) async fn get(&mut self, path: &str) -> Page {
        let mut page = self.get_once(path).await;
        for _ in 0..3 {
            let Some(location) = page.location() else {
                return page;
            };
            page = self.get_once(&location).await;
        }
        panic!("too many redirects: {}", page.text);
    }

    /// Opens a page and follows no redirect.
    pub(crate) async fn get_once(&mut self, path: &str) -> Page {
        self.send(Request::get(path), Vec::new()).await
    }

    /// Opens the page of an authorization request.
    pub(crate) async fn open(&mut self, authorization: &Authorization) -> Page {
        self.get(&authorization.path()).await
    }

    /// Submits a form with these values in place of its own. Sends the headers of a browser.
    pub(crate) async fn submit(&mut self, form: &Form, values: &[(&str, &str)]) -> Page {
        let form = form.clone().with(values);
        let page = self
            .post(
                &form.action,
                &form.fields,
                &[("sec-fetch-site", "same-origin")],
            )
            .await;
        match page.location() {
            Some(location) => self.get(&location).await,
            None => page,
        }
    }

    /// Sends a form, and repeats it after a 5xx, as a user does. Many concurrent forms compete for the processor until
    /// some of them time out.
    pub(crate) async fn submit_until_answered(
        &mut self,
        form: &Form,
        values: &[(&str, &str)],
    ) -> Page {
        for _ in 0..5 {
            let page = self.submit(form, values).await;
            if !page.reply.status.is_server_error() {
                return page;
            }
        }
        panic!("no response after five attempts");
    }

    /// Sends a form with these headers.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        fields: &[(String, String)],
        headers: &[(&str, &str)],
    ) -> Page {
        let mut request =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request, encode(fields).into_bytes()).await
    }

    async fn send(&mut self, mut request: Builder, body: Vec<u8>) -> Page {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        let request = request.body(body).unwrap();
        let reply = self.server.send_from(self.peer, request).await;
        if let Some(cookie) = reply.headers.get("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        Page::new(self.server, reply)
    }

    /// Opens the page of an authorization request, logs in and returns the consent page.
    pub(crate) async fn log_in(
        &mut self,
        authorization: &Authorization,
        user: &str,
        password: &str,
    ) -> Page {
        let login = self.open(authorization).await.form("/login");
        let values = [("user", user), ("password", password)];
        self.submit(&login, &values).await
    }

    /// Opens an account page and logs in. Returns the page to which the login leads.
    pub(crate) async fn log_in_at(&mut self, path: &str, user: &str, password: &str) -> Page {
        let login = self.get(path).await.form("/account/login");
        let values = [("user", user), ("password", password)];
        self.submit(&login, &values).await
    }

    /// Submits the consent form of a page with this action. Returns the last page.
    pub(crate) async fn decide(&mut self, consent: &Page, action: &str) -> Page {
        self.submit(&consent.form("/consent"), &[("action", action)])
            .await
    }
}

/// The path of the account page for an action of the specification.
pub(crate) fn action(name: &str) -> String {
    format!("/account?action=org.matrix.{name}")
}

/// The path of the account page for an action with a device.
pub(crate) fn device_action(name: &str, device: &str) -> String {
    format!("{}&device_id={device}", action(name))
}

/// A sealed context with one changed bit.
pub(crate) fn with_changed_bit(context: &str) -> String {
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(context).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The keys of the rows of the table, without what follows the first `#`, sorted.
pub(crate) fn oauth_rows(server: &TestServer) -> Vec<String> {
    let rows = server.local.dynamodb().table("OAuth").unwrap();
    let key = |row: &Value| {
        let pk = row["pk"]["S"].as_str().unwrap();
        pk.split('#').next().unwrap().to_owned()
    };
    let mut keys: Vec<_> = rows.iter().map(key).collect();
    keys.sort_unstable();
    keys
}
