//! No account enumeration: no response discloses whether an address has an account (3PID-05, 3PID-15).
//!
//! The same requests are sent twice; the two runs differ only in whether the account owns the
//! requested address. Only the owner gets a message.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod owner_notes;
mod password_attempts;
mod purposes;

use std::{collections::BTreeMap, time::Duration};

use gatehouse_local::dynamodb::proxy::Call;
use serde_json::{Value, json};
use test_support::{Reply, TestServer};

use crate::flows::support::{
    mail_helpers::{
        CODE, CONFIRM, LIMITED, MAIL_STAGE, SMS_STAGE, create_owner, mail_to, put,
        registration_with, request_message, submit_code, test_server, text_to,
    },
    page, stage, submit,
};

const PREFIX: &str = "/_matrix/client/v3";
/// The requested address, and the account's address in the other run, of the same length.
const MAILS: [&str; 2] = ["alice@example.org", "carol@example.org"];
const NUMBERS: [&str; 2] = ["447400123456", "447400654321"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Medium {
    Mail,
    Text,
}

impl Medium {
    /// A request about the address with this index.
    fn ask(self, which: usize, secret: &str, attempt: i64) -> Value {
        match self {
            Self::Mail => mail_to(MAILS[which], secret, attempt),
            Self::Text => text_to(NUMBERS[which], secret, attempt),
        }
    }

    const fn stage(self) -> &'static str {
        match self {
            Self::Mail => MAIL_STAGE,
            Self::Text => SMS_STAGE,
        }
    }

    /// Submits a wrong code, or a wrong token of a link for an e-mail address.
    async fn guess(self, server: &TestServer, sid: &str, secret: &str) -> Reply {
        match self {
            Self::Text => submit_code(server, sid, secret, "no code").await,
            Self::Mail => {
                let path = CODE.replace("msisdn", "email");
                let body = json!({ "sid": sid, "client_secret": secret, "token": "no link" });
                server.post(&path, &body).await
            }
        }
    }
}

/// The response to one request, and the DynamoDB calls behind it.
#[derive(Debug, PartialEq)]
struct Observation {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    calls: Vec<String>,
}

/// A requester and all its observations so far.
struct Requester<'a> {
    server: &'a TestServer,
    limited: bool,
    seen: Vec<(String, Observation)>,
}

impl Requester<'_> {
    /// Sends a request and records everything that can be observed.
    async fn observe(&mut self, what: &str, work: impl Future<Output = Reply>) -> Reply {
        let (reply, calls) = self.server.calls_of(work).await;
        let tables = calls.iter().flat_map(|call| &call.tables);
        let addresses = what != "a sign-up with it";
        for table in tables.filter(|_| addresses) {
            assert_ne!(table, "Accounts", "{what}: {calls:?}");
        }
        let mut summaries: Vec<_> = calls.iter().map(call_summary).collect();
        if self.limited {
            // Limits are consumed in parallel with a read.
            summaries.sort();
        }
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        // The gateway gives each request a unique ID.
        let headers = reply.headers.iter().map(header);
        let headers = headers.filter(|(name, _)| !name.starts_with("x-amz"));
        let seen = Observation {
            status: reply.status.as_u16(),
            headers: headers.collect(),
            body: reply.text(),
            calls: summaries,
        };
        self.seen.push((what.to_owned(), seen));
        reply
    }

    /// Sends every request that a client can send for an address without access to its messages.
    async fn try_everything(&mut self, medium: Medium) {
        let server = self.server;
        let parameters = |attempt| medium.ask(0, "attacker", attempt);
        let first = self
            .observe("a request", request_message(server, &parameters(1)))
            .await
            .ok();
        let sid = first["sid"].as_str().unwrap().to_owned();
        for (what, attempt) in [("its repetition", 1), ("the next attempt", 2)] {
            let answer = self
                .observe(what, request_message(server, &parameters(attempt)))
                .await
                .ok();
            assert_eq!(answer["sid"], sid, "L1: {what}");
        }
        server.deliver().await;
        for (what, attempt) in [("a repetition later", 2), ("an attempt later", 3)] {
            let answer = self
                .observe(what, request_message(server, &parameters(attempt)))
                .await
                .ok();
            assert_eq!(answer["sid"], sid, "L1: {what}");
        }
        server.deliver().await;
        let poll = registration_with("attacker", medium.stage(), &sid, "attacker");
        let reply = self
            .observe("a sign-up with it", server.register(&poll))
            .await;
        reply.refused("M_UNAUTHORIZED");
        for _ in 0..5 {
            let guess = medium.guess(server, &sid, "attacker");
            let reply = self.observe("a wrong code", guess).await;
            reply.error(400, "M_TOKEN_INCORRECT");
        }
        let guess = medium.guess(server, &sid, "attacker");
        let reply = self.observe("one more code", guess).await;
        match medium {
            Medium::Mail => reply.error(400, "M_TOKEN_INCORRECT"),
            Medium::Text => reply.error(400, "M_SESSION_EXPIRED"),
        };
        if medium == Medium::Mail {
            self.links(&sid).await;
        }
        self.pages(medium).await;
        server.advance(Duration::from_hours(25));
        let guess = medium.guess(server, &sid, "attacker");
        let reply = self.observe("a code after the expiry", guess).await;
        reply.error(400, "M_SESSION_EXPIRED");
        let answer = self
            .observe("a new session", request_message(server, &parameters(1)))
            .await
            .ok();
        assert_eq!(answer["sid"], sid, "L1: a new session");
    }

    /// Requests the page of an invented link and submits its button.
    async fn links(&mut self, sid: &str) {
        let server = self.server;
        let link = format!("sid={sid}&token=made-up");
        let path = format!("{PREFIX}/validate/email/submitToken?{link}");
        assert_eq!(self.observe("a link", server.get(&path)).await.status, 400);
        let submission = submit(server, CONFIRM, &link);
        assert_eq!(self.observe("its button", submission).await.status, 400);
    }

    /// Requests a message on the fallback page and submits all its forms.
    async fn pages(&mut self, medium: Medium) {
        let server = self.server;
        let (_, uia) = server.begin(&stage(medium.stage(), "none")).await;
        let path = page(PREFIX, medium.stage(), &uia);
        let form = match medium {
            Medium::Mail => format!("email={}", MAILS[0]),
            Medium::Text => format!("country=GB&phone_number=%2B{}", NUMBERS[0]),
        };
        self.observe("the page", server.get(&path)).await;
        let sent = self.observe("the page's form", submit(server, &path, &form));
        assert_eq!(sent.await.status, 200);
        server.deliver().await;
        self.observe("the page that waits", server.get(&path)).await;
        for form in ["action=check&code=000000", "action=restart"] {
            self.observe(form, submit(server, &path, form)).await;
        }
        self.observe("the form again", submit(server, &path, &form))
            .await;
    }
}

fn call_summary(call: &Call) -> String {
    format!(
        "{} {} {} {} {}r {}w",
        call.caller,
        call.operation,
        call.tables.join("&"),
        call.status,
        call.read_units,
        call.write_units
    )
}

/// The observations of a requester while the account owns the address with this index.
async fn replies_for_owner(
    medium: Medium,
    whose: usize,
    settings: &[(&str, &str)],
) -> Vec<(String, Observation)> {
    let server = test_server(settings).await;
    create_owner(&server, "owner", &medium.ask(whose, "the-owner", 1)).await;
    server.advance(Duration::from_hours(48));
    // The first request of each function reads more than the others.
    request_message(&server, &medium.ask(1, "other", 1))
        .await
        .ok();
    let (_, uia) = server.begin(&stage(medium.stage(), "none")).await;
    server.get(&page(PREFIX, medium.stage(), &uia)).await;
    server.deliver().await;
    let mut requester = Requester {
        server: &server,
        limited: settings.contains(&LIMITED),
        seen: Vec::new(),
    };
    requester.try_everything(medium).await;
    requester.seen
}

async fn assert_same_for_known_and_unknown(settings: &[(&str, &str)]) {
    for medium in [Medium::Mail, Medium::Text] {
        let known = replies_for_owner(medium, 0, settings).await;
        let unknown = replies_for_owner(medium, 1, settings).await;
        assert_eq!(known.len(), unknown.len());
        for ((what, known), (_, unknown)) in known.iter().zip(&unknown) {
            assert_eq!(known, unknown, "{medium:?}: {what}");
        }
        assert!(known.len() >= 20, "{}", known.len());
    }
}

/// Random numbers are the same in both runs, so the responses are equal byte by byte, and the calls are
/// equal in number, kind, order and size.
#[tokio::test]
async fn threepid_15_known_and_unknown_addresses_are_answered_alike() {
    assert_same_for_known_and_unknown(&[]).await;
}

#[tokio::test]
async fn threepid_15_a_known_and_an_unknown_address_are_limited_alike() {
    assert_same_for_known_and_unknown(&[LIMITED]).await;
}

/// The row of the address is invalid, so a function that read it would fail.
#[tokio::test]
async fn threepid_15_no_request_handler_reads_the_owner_of_an_address() {
    for medium in [Medium::Mail, Medium::Text] {
        let server = test_server(&[]).await;
        let key = match medium {
            Medium::Mail => format!("3PID#email#{}", MAILS[0]),
            Medium::Text => format!("3PID#msisdn#{}", NUMBERS[0]),
        };
        put(
            &server,
            "accounts",
            &json!({ "pk": { "S": key }, "sk": { "S": "A" }, "schema": { "N": "1" } }),
        );
        request_message(&server, &medium.ask(1, "other", 1))
            .await
            .ok();
        let (_, uia) = server.begin(&stage(medium.stage(), "none")).await;
        server.get(&page(PREFIX, medium.stage(), &uia)).await;
        server.deliver().await;
        assert_eq!(server.messages().len(), 1);
        let mut requester = Requester {
            server: &server,
            limited: false,
            seen: Vec::new(),
        };
        requester.try_everything(medium).await;
        // `deliver` reads the row and fails.
        assert_eq!(server.messages().len(), 1, "{medium:?}");
    }
}
