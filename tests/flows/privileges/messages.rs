//! The scenario with every message for an account.

use std::collections::BTreeSet;

use gatehouse_local::dynamodb::proxy::Use;

use super::start_every_function;
use crate::flows::support::mail_helpers::{
    ADD, LIMITED, RESET, code, confirm, create_owner, link, mail_to, request_token_for,
    session_for, submit_code, test_server, text_to,
};

/// Requests messages for a reset and for an addition, by e-mail and by text message, for addresses with
/// and without an account, and with or without disclosure of ownership.
pub(super) async fn scenario(privacy: &str) -> BTreeSet<Use> {
    let server = test_server(&[LIMITED, ("GATEHOUSE_THREEPID_PRIVACY", privacy)]).await;
    start_every_function(&server).await;
    let known = [
        mail_to("alice@example.org", "secret", 1),
        text_to("447400123456", "secret", 1),
    ];
    let unknown = [
        mail_to("nobody@example.org", "secret", 1),
        text_to("447400654321", "secret", 1),
    ];
    for (name, body) in ["alice", "bob"].into_iter().zip(&known) {
        create_owner(&server, name, body).await;
    }
    for (purpose, accepted, other) in [(RESET, &known, &unknown), (ADD, &unknown, &known)] {
        for body in other {
            let reply = request_token_for(&server, purpose, body).await;
            assert_eq!(reply.status, if privacy == "quiet" { 200 } else { 400 });
        }
        for body in accepted {
            server.deliver().await;
            server.local.outbox().clear();
            let sid = session_for(&server, purpose, body).await;
            server.deliver().await;
            let message = server.messages().pop().unwrap();
            if message.subject.is_some() {
                assert_eq!(confirm(&server, &link(&message)).await.status, 200);
            } else {
                let code = code(&message);
                submit_code(&server, &sid, "secret", &code).await.ok();
            }
        }
    }
    server.local.proxy().used()
}
