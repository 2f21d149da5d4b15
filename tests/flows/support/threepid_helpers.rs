//! Helpers for addresses: requests for messages, their contents as the receiver reads them, and
//! assertions about the tables.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use test_support::{Reply, TestServer};
pub(crate) use test_support::{mail_to, text_to};

use super::submit;

pub(crate) const EMAIL: &str = "m.login.email.identity";
pub(crate) const MSISDN: &str = "m.login.msisdn";

/// The setting that enables e-mails.
pub(crate) const MAIL: (&str, &str) = ("GATEHOUSE_MAIL_FROM", "Gatehouse <no-reply@example.org>");
/// The setting that enables text messages to one country.
pub(crate) const SMS: (&str, &str) = ("GATEHOUSE_SMS_COUNTRIES", "GB");

pub(crate) const ALICE: &str = "alice@example.org";
/// A phone number as dialled in Great Britain, and in the canonical form.
pub(crate) const NUMBER: (&str, &str) = ("07400 123456", "447400123456");

/// A validation session with the data that the client has.
#[derive(Debug, Clone)]
pub(crate) struct ValidationSession {
    /// The UIA stage of its medium.
    pub(crate) stage: &'static str,
    pub(crate) sid: String,
    /// The `client_secret` of the request.
    pub(crate) secret: String,
    /// The address in its canonical form.
    pub(crate) address: String,
    /// The response to the request.
    pub(crate) answer: Value,
}

impl ValidationSession {
    /// The credentials of the session, in the spelling of the specification.
    pub(crate) fn creds(&self) -> Value {
        json!({ "sid": self.sid, "client_secret": self.secret })
    }

    /// A body that attempts the stage of the session, in a UIA session or without one.
    pub(crate) fn attempt(&self, session: Option<&str>) -> Value {
        let mut body = json!({ "auth": { "type": self.stage, "threepid_creds": self.creds() } });
        if let Some(session) = session {
            body["auth"]["session"] = session.into();
        }
        body
    }

    /// The row of the session in `Proofs`.
    #[track_caller]
    pub(crate) fn row(&self, server: &TestServer) -> Value {
        let mut rows = server.local.dynamodb().table("Proofs").unwrap().into_iter();
        rows.find(|row| row["pk"]["S"] == *self.sid).unwrap()
    }

    /// The stored state of the session, for example `validated`.
    #[track_caller]
    pub(crate) fn state(&self, server: &TestServer) -> String {
        self.row(server)["state"]["S"].as_str().unwrap().to_owned()
    }

    /// Delivers the message and validates the session with it.
    pub(crate) async fn validate(&self, server: &TestServer) {
        server.deliver().await;
        if self.stage == EMAIL {
            confirm(server, &link_to(server, &self.address)).await;
        } else {
            let code = code_to(server, &self.address);
            self.enter(server, &code).await.ok();
        }
    }

    /// Submits a code to the URL of the response, as a client does.
    pub(crate) async fn enter(&self, server: &TestServer, code: &str) -> Reply {
        let url = self.answer["submit_url"].as_str().unwrap();
        let body = json!({ "sid": self.sid, "client_secret": self.secret, "token": code });
        server.post(path_of(url), &body).await
    }
}

/// The path of a request for a message for this stage.
pub(crate) fn request_token(prefix: &str, stage: &str) -> String {
    let medium = if stage == EMAIL { "email" } else { "msisdn" };
    format!("{prefix}/register/{medium}/requestToken")
}

/// Requests a message for a sign-up, with a body of [`mail_to`] or [`text_to`].
pub(crate) async fn ask(server: &TestServer, prefix: &str, body: &Value) -> ValidationSession {
    let stage = if body.get("email").is_some() {
        EMAIL
    } else {
        MSISDN
    };
    let answer = server.post(&request_token(prefix, stage), body).await.ok();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let address = body.get("email").unwrap_or(&answer["msisdn"]);
    ValidationSession {
        stage,
        sid: text(&answer["sid"]),
        secret: text(&body["client_secret"]),
        address: text(address),
        answer,
    }
}

/// Requests an e-mail for a sign-up.
pub(crate) async fn request_mail(
    server: &TestServer,
    address: &str,
    secret: &str,
) -> ValidationSession {
    ask(
        server,
        test_support::PREFIXES[1],
        &mail_to(address, secret, 1),
    )
    .await
}

/// Requests a text message for a sign-up.
pub(crate) async fn request_text(
    server: &TestServer,
    number: &str,
    secret: &str,
) -> ValidationSession {
    ask(
        server,
        test_support::PREFIXES[1],
        &text_to(number, secret, 1),
    )
    .await
}

/// The text of the last message to this address.
#[track_caller]
pub(crate) fn message_to(server: &TestServer, address: &str) -> String {
    let messages = server.messages();
    let mut own = messages
        .iter()
        .rev()
        .filter(|message| message.to.trim_start_matches('+') == address);
    own.next().expect("a message").text.clone()
}

/// The link in the last e-mail to this address.
#[track_caller]
pub(crate) fn link_to(server: &TestServer, address: &str) -> String {
    let text = message_to(server, address);
    let mut words = text.split_whitespace();
    let link = words.find(|word| word.starts_with("http")).expect("a link");
    let public = &server.local.config().public_url;
    assert!(link.starts_with(public.as_str()), "{link}");
    link.to_owned()
}

/// The code in the last text message to this number.
#[track_caller]
pub(crate) fn code_to(server: &TestServer, number: &str) -> String {
    let text = message_to(server, number);
    let code = text.split_whitespace().next().unwrap().to_owned();
    assert!(
        code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()),
        "{text}"
    );
    code
}

/// The path and query of a URL.
pub(crate) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").expect("an absolute URL").1;
    &rest[rest.find('/').unwrap()..]
}

/// The path and the fields that the page of a link submits.
pub(crate) async fn form_of(server: &TestServer, link: &str) -> (String, String) {
    let page = server.get(path_of(link)).await;
    let text = page.text();
    assert_eq!(page.status, 200, "{text}");
    assert!(
        text.contains(r#"<form method="post" action="confirm">"#),
        "{text}"
    );
    let hidden = |name: &str| {
        let start = text
            .split_once(&format!(r#"name="{name}" value=""#))
            .unwrap()
            .1;
        start.split('"').next().unwrap().to_owned()
    };
    let form = format!("sid={}&token={}", hidden("sid"), hidden("token"));
    let path = path_of(link).split('?').next().unwrap();
    (path.replace("submitToken", "confirm"), form)
}

/// Opens the link and presses the button of its page.
pub(crate) async fn confirm(server: &TestServer, link: &str) -> Reply {
    let (path, form) = form_of(server, link).await;
    let reply = submit(server, &path, &format!("{form}&action=confirm")).await;
    let status = reply.status.as_u16();
    assert!([200, 303].contains(&status), "{}", reply.text());
    reply
}

/// The claims of addresses: `medium#address` to owner.
pub(crate) fn claims(server: &TestServer) -> BTreeMap<String, String> {
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    let text = |value: &Value| value["S"].as_str().unwrap().to_owned();
    let claims = rows.iter().filter_map(|row| {
        let address = text(&row["pk"]).strip_prefix("3PID#")?.to_owned();
        assert_eq!(text(&row["sk"]), "A");
        Some((address, text(&row["owner"])))
    });
    claims.collect()
}

/// The addresses in the partitions of their owners: `medium#address` with the owner.
pub(crate) fn owned(server: &TestServer) -> BTreeSet<(String, String)> {
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    let text = |value: &Value| value["S"].as_str().unwrap().to_owned();
    let owned = rows.iter().filter_map(|row| {
        let owner = text(&row["pk"]).strip_prefix("USER#")?.to_owned();
        let address = text(&row["sk"]).strip_prefix("3PID#")?.to_owned();
        assert_eq!(
            address,
            format!("{}#{}", text(&row["medium"]), text(&row["address"]))
        );
        Some((address, owner))
    });
    owned.collect()
}

/// The number of validation sessions in this state.
pub(crate) fn sessions_in(server: &TestServer, state: &str) -> usize {
    let rows = server.local.dynamodb().table("Proofs").unwrap();
    rows.iter().filter(|row| row["state"]["S"] == state).count()
}

/// Asserts that exactly these addresses have owners (REG-27): each has a claim, a row of its owner
/// and a spent validation session.
#[track_caller]
pub(crate) fn assert_addresses(server: &TestServer, expected: &[(&str, &str)]) {
    let claims = claims(server);
    let expected: BTreeMap<String, String> = expected
        .iter()
        .map(|(address, owner)| ((*address).to_owned(), (*owner).to_owned()))
        .collect();
    assert_eq!(claims, expected);
    assert_eq!(owned(server), claims.into_iter().collect());
    assert_eq!(sessions_in(server, "spent"), expected.len());
}
