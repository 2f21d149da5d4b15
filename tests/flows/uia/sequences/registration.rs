//! Steps of a registration with two flows that share a stage.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use test_support::{PREFIXES, TestServer};

use super::sequences;
use crate::flows::support::{
    DUMMY, POLICIES, TERMS, TOKEN, flows, is_free, new_token, page, registration, stage, submit,
    threepid_helpers::{EMAIL, MAIL, MSISDN, ValidationSession, request_mail},
    token_stage, with,
};

/// A step of a registration with the flows of [`REGISTRATION_FLOWS`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum SignUp {
    Token,
    WrongToken,
    Terms,
    PageTerms,
    Dummy,
    Email,
    NotValidated,
    EmailAsPhone,
    Poll,
}

const REGISTRATION_FLOWS: &str =
    "m.login.registration_token+m.login.terms+m.login.dummy m.login.email.identity+m.login.terms";

struct Registrations {
    server: TestServer,
    number: usize,
    token: String,
    email: ValidationSession,
    not_validated: ValidationSession,
}

impl Registrations {
    async fn start() -> Self {
        let server = TestServer::with(&[flows(REGISTRATION_FLOWS), POLICIES, MAIL]).await;
        let email = request_mail(&server, "a@example.org", "a").await;
        email.validate(&server).await;
        Self {
            number: 0,
            token: new_token(&server, &[]).await,
            email,
            not_validated: request_mail(&server, "open@example.org", "open").await,
            server,
        }
    }

    fn body(&self, step: SignUp, session: &str) -> Value {
        match step {
            SignUp::Token => token_stage(&self.token, Some(session)),
            SignUp::WrongToken => token_stage("wrong-token", Some(session)),
            SignUp::Terms => stage(TERMS, session),
            SignUp::Dummy => stage(DUMMY, session),
            SignUp::Email => self.email.attempt(Some(session)),
            SignUp::NotValidated => self.not_validated.attempt(Some(session)),
            SignUp::EmailAsPhone => {
                let mut body = self.email.attempt(Some(session));
                body["auth"]["type"] = MSISDN.into();
                body
            }
            SignUp::PageTerms | SignUp::Poll => json!({ "auth": { "session": session } }),
        }
    }

    async fn run(&mut self, steps: &[SignUp]) {
        self.number += 1;
        let name = format!("user{}", self.number);
        let (_, session) = self.server.begin(&registration(&name)).await;
        let flows = [vec![TOKEN, TERMS, DUMMY], vec![EMAIL, TERMS]];
        let (mut done, mut finished) = (BTreeSet::new(), None);
        for (number, step) in steps.iter().enumerate() {
            let context = format!("{number} of {steps:?}");
            let attempted = match step {
                SignUp::Token => Some(TOKEN),
                SignUp::Terms | SignUp::PageTerms => Some(TERMS),
                SignUp::Dummy => Some(DUMMY),
                SignUp::Email => Some(EMAIL),
                _ => None,
            };
            let next = |done: &BTreeSet<&str>, flow: &Vec<&'static str>| {
                flow.iter().find(|stage| !done.contains(**stage)).copied()
            };
            let attempted = attempted.filter(|attempted| {
                flows
                    .iter()
                    .any(|flow| next(&done, flow) == Some(*attempted))
            });
            if finished.is_none() {
                done.extend(attempted);
            }
            if *step == SignUp::PageTerms {
                let path = page(PREFIXES[1], TERMS, &session);
                let reply = submit(&self.server, &path, "").await;
                let is_done = reply.text().contains("onAuthDone");
                assert_eq!(
                    is_done,
                    finished.is_some() || done.contains(TERMS),
                    "{context}"
                );
                continue;
            }
            let body = self.body(*step, &session);
            let reply = self.server.register(&body).await;
            let completes = flows.iter().any(|flow| next(&done, flow).is_none());
            if finished.is_none() && completes {
                finished = Some(body.clone());
            }
            let repeated = finished.as_ref() == Some(&body);
            assert_eq!(reply.status == 200, repeated, "{context}: {}", reply.text());
            if finished.is_none() {
                let stages: BTreeSet<String> =
                    serde_json::from_value(reply.challenge()["completed"].clone()).unwrap();
                assert_eq!(
                    stages,
                    done.iter().map(|stage| (*stage).to_owned()).collect()
                );
            }
        }
        let is_free = is_free(&self.server, &name).await;
        assert_eq!(is_free, finished.is_none(), "{steps:?}");
        if finished.is_some() && done.contains(EMAIL) {
            let (address, secret) = (format!("{name}@example.org"), name.clone());
            self.email = request_mail(&self.server, &address, &secret).await;
            self.email.validate(&self.server).await;
        }
    }
}

#[tokio::test]
async fn incident_33_no_order_of_steps_skips_a_stage() {
    use SignUp::{
        Dummy, Email, EmailAsPhone, NotValidated, PageTerms, Poll, Terms, Token, WrongToken,
    };
    let mut registrations = Registrations::start().await;
    let all = [
        Token,
        WrongToken,
        Terms,
        PageTerms,
        Dummy,
        Email,
        NotValidated,
        EmailAsPhone,
        Poll,
    ];
    for steps in sequences(&all, 2) {
        registrations.run(&steps).await;
    }
    for steps in sequences(&[Token, Terms, Dummy, Email], 3) {
        registrations.run(&steps).await;
    }
    for steps in sequences(&[Token, Terms, Email], 4) {
        registrations.run(&steps).await;
    }
    // Without a session, the stages of one request cannot be combined with those of another.
    let one = with(registration("alice"), &json!({ "auth": { "type": DUMMY } }));
    registrations
        .server
        .register(&one)
        .await
        .refused("M_UNRECOGNIZED");
}
