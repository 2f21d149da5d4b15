//! A session of one operation is not accepted for another operation. The test covers every ordered pair
//! of the operations that UIA protects (UIA-13, incident 15).
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use http::Request;
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use crate::flows::support::{
    account_helpers::{
        ADDRESSES, DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, OTHER_PASSWORD, PASSWORD_PATH,
        log_in, password_of, sign_up_with, with_auth,
    },
    threepid_helpers::{EMAIL, confirm, link_to},
};

/// An operation: its name, method, path and parameters.
type Operation = (&'static str, &'static str, String, Value);

struct Fixture {
    server: TestServer,
    alice: Device,
    operations: Vec<Operation>,
}

async fn fixture() -> Fixture {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, "alice@example.org").await;
    let second = log_in(&server, "alice", PASSWORD).await;
    let third = log_in(&server, "alice", PASSWORD).await;
    let ask = json!({ "email": "new@example.org", "client_secret": "add", "send_attempt": 1 });
    let path = "/_matrix/client/v3/account/3pid/email/requestToken";
    let validation = server.post(path, &ask).await.ok();
    server.deliver().await;
    confirm(&server, &link_to(&server, "new@example.org")).await;
    let add = "/_matrix/client/v3/account/3pid/add".to_owned();
    let creds = json!({ "sid": validation["sid"], "client_secret": "add" });
    let device = |id: &str| format!("/_matrix/client/v3/devices/{id}");
    let register = json!({ "username": "mallory", "password": PASSWORD });
    let operations = vec![
        (
            "password",
            "POST",
            PASSWORD_PATH.to_owned(),
            json!({ "new_password": OTHER_PASSWORD }),
        ),
        ("deactivate", "POST", DEACTIVATE_PATH.to_owned(), json!({})),
        ("3pid/add", "POST", add, creds),
        ("devices/{second}", "DELETE", device(&second.id), json!({})),
        ("devices/{third}", "DELETE", device(&third.id), json!({})),
        (
            "delete_devices",
            "POST",
            DELETE_DEVICES_PATH.to_owned(),
            json!({ "devices": [second.id] }),
        ),
        (
            "register",
            "POST",
            "/_matrix/client/v3/register".to_owned(),
            register,
        ),
    ];
    Fixture {
        server,
        alice,
        operations,
    }
}

impl Fixture {
    /// Sends a request, with a token unless it is a registration.
    async fn send(&self, (name, method, path, _): &Operation, body: &Value) -> Reply {
        let mut request = Request::builder().method(*method).uri(path);
        if *name != "register" {
            let bearer = format!("Bearer {}", self.alice.token);
            request = request.header("authorization", bearer);
        }
        let request = request.body(body.to_string().into_bytes()).unwrap();
        self.server.send(request).await
    }
}

#[tokio::test]
async fn uia_13_no_session_serves_another_operation() {
    let fixture = fixture().await;
    let mut pairs = 0;
    for begun in &fixture.operations {
        let challenge = fixture.send(begun, &begun.3).await.challenge();
        let session = challenge["session"].as_str().unwrap();
        for other in &fixture.operations {
            if begun.0 == other.0 {
                continue;
            }
            for auth in [
                password_of("alice", PASSWORD, Some(session)),
                json!({ "session": session }),
                json!({ "type": "m.login.dummy", "session": session }),
            ] {
                for parameters in [&other.3, &json!({})] {
                    // A request without parameters may fail earlier, with another error.
                    let reply = fixture
                        .send(other, &with_auth(parameters.clone(), auth.clone()))
                        .await;
                    let context = format!("{} with a session of {}", other.0, begun.0);
                    if other.0 == "register" {
                        // Without the token, the session does not exist.
                        assert_ne!(reply.refused("M_UNKNOWN")["session"], session, "{context}");
                    } else if *parameters == other.3 {
                        reply.error(403, "M_FORBIDDEN");
                    } else {
                        assert!(
                            reply.status.is_client_error(),
                            "{context}: {}",
                            reply.text()
                        );
                        assert!(reply.json().get("flows").is_none(), "{context}");
                    }
                }
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, 42);
    assert!(fixture.alice.is_valid(&fixture.server).await);
    log_in(&fixture.server, "alice", PASSWORD).await;
}
