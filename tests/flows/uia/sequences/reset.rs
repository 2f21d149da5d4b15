//! Steps of a password reset, which requires a validated address of the account.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use serde_json::{Value, json};
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::sequences;
use crate::{
    api::support::{add_appservice, register_as},
    flows::support::{
        DUMMY,
        account_helpers::{
            ADDRESSES, Device, OTHER_PASSWORD, PASSWORD_PATH, password_of, request_reset_token,
            rows_of, sign_up_with, with_auth,
        },
        page, stage, submit,
        threepid_helpers::{EMAIL, MSISDN, ValidationSession, request_mail},
    },
};

const PASSWORD_STAGE: &str = "m.login.password";

/// A step of a password reset, in one session without an access token.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ByAddress {
    /// The validated address of Alice's account.
    OfAlice,
    OfBob,
    /// A session of Alice's address whose link was not opened.
    NotValidated,
    /// A session of Alice's address that was validated for a registration.
    OtherPurpose,
    /// The right session, in the stage of another medium.
    OtherMedium,
    Password,
    PageChecked,
    Poll,
}

struct Reset {
    server: TestServer,
    number: usize,
    of_alice: ValidationSession,
    of_bob: ValidationSession,
    not_validated: ValidationSession,
    other_purpose: ValidationSession,
}

async fn validated_reset(server: &TestServer, name: &str, number: usize) -> ValidationSession {
    let (address, secret) = (format!("{name}@example.org"), format!("{name}-{number}"));
    let session = request_reset_token(server, EMAIL, &address, &secret).await;
    session.validate(server).await;
    session
}

impl Reset {
    async fn start() -> Self {
        let server = TestServer::with(&ADDRESSES).await;
        for name in ["alice", "bob"] {
            sign_up_with(&server, name, EMAIL, &format!("{name}@example.org")).await;
        }
        // An address that is in use gets no message for a registration, so the session is of a free address.
        let other_purpose = request_mail(&server, "free@example.org", "register").await;
        other_purpose.validate(&server).await;
        Self {
            number: 0,
            of_alice: validated_reset(&server, "alice", 0).await,
            of_bob: validated_reset(&server, "bob", 0).await,
            not_validated: request_reset_token(&server, EMAIL, "alice@example.org", "open").await,
            other_purpose,
            server,
        }
    }

    fn body(&self, step: ByAddress, session: &str) -> Value {
        let auth = |validation: &ValidationSession| validation.attempt(Some(session));
        match step {
            ByAddress::OfAlice => auth(&self.of_alice),
            ByAddress::OfBob => auth(&self.of_bob),
            ByAddress::NotValidated => auth(&self.not_validated),
            ByAddress::OtherPurpose => auth(&self.other_purpose),
            ByAddress::OtherMedium => {
                let mut body = auth(&self.of_alice);
                body["auth"]["type"] = MSISDN.into();
                body
            }
            ByAddress::Password => {
                with_auth(json!({}), password_of("alice", PASSWORD, Some(session)))
            }
            ByAddress::PageChecked | ByAddress::Poll => json!({ "auth": { "session": session } }),
        }
    }

    fn password_rows(&self) -> [Value; 2] {
        ["alice", "bob"].map(|name| {
            let rows = rows_of(&self.server, name);
            rows.into_iter().find(|(sk, _)| sk == "PW").unwrap().1
        })
    }

    async fn run(&mut self, steps: &[ByAddress]) {
        let parameters = json!({ "new_password": OTHER_PASSWORD });
        let challenge = self
            .server
            .post(PASSWORD_PATH, &parameters)
            .await
            .challenge();
        let session = challenge["session"].as_str().unwrap().to_owned();
        let mut finished = None;
        for (number, step) in steps.iter().enumerate() {
            let before = self.password_rows();
            let context = format!("{number} of {steps:?}");
            if *step == ByAddress::PageChecked {
                let path = page(PREFIXES[1], EMAIL, &session);
                let reply = submit(&self.server, &path, "action=check").await;
                let is_done = reply.text().contains("onAuthDone");
                assert_eq!(is_done, finished.is_some(), "{context}");
                assert_eq!(self.password_rows(), before, "{context}");
                continue;
            }
            let body = self.body(*step, &session);
            let status = self.server.post(PASSWORD_PATH, &body).await.status.as_u16();
            let changes =
                finished.is_none() && matches!(step, ByAddress::OfAlice | ByAddress::OfBob);
            if changes {
                finished = Some(body.clone());
            }
            let repeated = finished.as_ref() == Some(&body);
            assert_eq!(status == 200, repeated, "{context}: {status}");
            assert!(status < 500);
            let after = self.password_rows();
            let replaced = [after[0] != before[0], after[1] != before[1]];
            let expected =
                [ByAddress::OfAlice, ByAddress::OfBob].map(|own| changes && own == *step);
            assert_eq!(replaced, expected, "{context}");
        }
        // A validation session is spent once.
        self.number += 1;
        if finished.as_ref() == Some(&self.body(ByAddress::OfAlice, &session)) {
            self.of_alice = validated_reset(&self.server, "alice", self.number).await;
        } else if finished.is_some() {
            self.of_bob = validated_reset(&self.server, "bob", self.number).await;
        }
    }
}

#[tokio::test]
async fn incident_33_no_order_of_steps_replaces_the_address() {
    use ByAddress::{
        NotValidated, OfAlice, OfBob, OtherMedium, OtherPurpose, PageChecked, Password, Poll,
    };
    let mut reset = Reset::start().await;
    let all = [
        OfAlice,
        OfBob,
        NotValidated,
        OtherPurpose,
        OtherMedium,
        Password,
        PageChecked,
        Poll,
    ];
    for steps in sequences(&all, 2) {
        reset.run(&steps).await;
    }
    for steps in sequences(&[OfAlice, NotValidated, OtherMedium, PageChecked], 3) {
        reset.run(&steps).await;
    }
    for steps in sequences(&[OfAlice, NotValidated, Poll], 4) {
        reset.run(&steps).await;
    }
}

/// An account that never had a password gets the first one only with a validated address of its own.
#[tokio::test]
async fn incident_37_no_first_password_without_a_validated_address() {
    let server = TestServer::with(&ADDRESSES).await;
    let irc = add_appservice(&server, "irc", &[("@irc_.*", true)]).await;
    let device = Device::of(&register_as(&server, &irc, "irc_alice").await.ok());
    sign_up_with(&server, "bob", EMAIL, "bob@example.org").await;
    let of_bob = validated_reset(&server, "bob", 0).await;
    let request = json!({ "new_password": OTHER_PASSWORD });
    let (challenge, session) = device.begin(&server, PASSWORD_PATH, &request).await;
    let offered = challenge["flows"].to_string();
    assert!(!offered.contains(PASSWORD_STAGE), "{offered}");
    let free = request_reset_token(&server, EMAIL, "free@example.org", "free").await;
    for auth in [
        password_of("irc_alice", "", Some(&session)),
        password_of("irc_alice", OTHER_PASSWORD, Some(&session)),
        password_of("irc_alice", "", None),
        stage(DUMMY, &session)["auth"].take(),
        free.attempt(Some(&session))["auth"].take(),
        of_bob.attempt(Some(&session))["auth"].take(),
        json!({ "session": session }),
    ] {
        let body = with_auth(request.clone(), auth);
        let reply = device.post(&server, PASSWORD_PATH, &body).await;
        assert!(reply.status.is_client_error(), "{body}: {}", reply.text());
        for stage in [PASSWORD_STAGE, EMAIL, DUMMY] {
            submit(
                &server,
                &page(PREFIXES[1], stage, &session),
                "password=&action=check",
            )
            .await;
        }
    }
    let rows = rows_of(&server, "irc_alice");
    assert!(rows.iter().all(|(sk, _)| sk != "PW"), "{rows:?}");
}
