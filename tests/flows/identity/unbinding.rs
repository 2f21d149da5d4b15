//! Bound addresses when an account is deactivated or an address is removed: every identity server
//! is called, and no identity server delays the operation.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::sync::Arc;

use serde_json::{Value, json};
use test_support::{PASSWORD, TestServer};

use crate::flows::{
    races::{delayed, start_delayed},
    support::{
        account_helpers::{
            ADDRESSES, DEACTIVATE_PATH, Device, password_of, rows_of, sign_up, sign_up_with,
            with_auth,
        },
        identity_server::{IdServer, Misbehaviour, TOKEN, parameters},
        threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER, owned},
        with,
    },
};

const BIND: &str = "/_matrix/client/v3/account/3pid/bind";
const DELETE: &str = "/_matrix/client/v3/account/3pid/delete";
pub(crate) const OTHER_SERVER: &str = "alice@elsewhere.example";

/// Creates a validated session at `id_server` and returns the body of a request that binds its address.
fn binding(id_server: &IdServer, medium: &str, address: &str) -> Value {
    let sid = format!("session-{}", address.len());
    id_server.session(&sid, "secret", medium, address);
    json!({
        "client_secret": "secret", "sid": sid, "id_server": id_server.name, "id_access_token": TOKEN,
    })
}

/// Binds an address at this identity server.
pub(crate) async fn bind(
    server: &TestServer,
    who: &Device,
    id_server: &IdServer,
    medium: &str,
    address: &str,
) {
    let body = binding(id_server, medium, address);
    who.post(server, BIND, &body).await.ok();
    id_server.clear_requests();
}

/// Deactivates `alice` with her password and returns the result of unbinding.
pub(crate) async fn deactivate(server: &TestServer, alice: &Device, further: Value) -> String {
    let body = with_auth(further, password_of("alice", PASSWORD, None));
    let answer = alice.post(server, DEACTIVATE_PATH, &body).await.ok();
    assert!(!alice.is_valid(server).await, "DEACT-11");
    result_in(&answer)
}

fn result_in(answer: &Value) -> String {
    answer["id_server_unbind_result"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// The addresses in the unbind requests that an identity server has received.
pub(crate) fn unbound(id_server: &IdServer) -> Vec<String> {
    let mut addresses: Vec<String> = id_server
        .requests()
        .iter()
        .map(|seen| {
            assert_eq!(seen.line, "POST /_matrix/identity/v2/3pid/unbind");
            assert_eq!(seen.body["mxid"], "@alice:localhost");
            assert_eq!(seen.body.as_object().unwrap().len(), 2, "no secret, no sid");
            assert!(parameters(&seen.headers["authorization"]).is_some());
            seen.body["threepid"]["address"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    addresses.sort();
    addresses
}

fn records(server: &TestServer) -> usize {
    let rows = rows_of(server, "alice");
    rows.iter()
        .filter(|(key, _)| key.starts_with("BIND#"))
        .count()
}

pub(crate) fn servers() -> [IdServer; 3] {
    ["one.example", "two.example", "three.example"].map(IdServer::start)
}

/// IDS-20, DEACT-10: the signature is the only authentication of the request.
#[tokio::test]
async fn deact_07_each_address_is_unbound_where_it_was_bound() {
    let [first, second, third] = servers();
    let server = IdServer::test_server(&[&first, &second, &third], &ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    bind(&server, &alice, &first, "email", ALICE).await;
    bind(&server, &alice, &first, "msisdn", NUMBER.1).await;
    bind(&server, &alice, &second, "email", OTHER_SERVER).await;
    assert_eq!(records(&server), 3);
    assert_eq!(deactivate(&server, &alice, json!({})).await, "success");
    assert_eq!(unbound(&first), [NUMBER.1, ALICE]);
    assert_eq!(unbound(&second), [OTHER_SERVER]);
    assert!(third.requests().is_empty());
    for id_server in [&first, &second] {
        assert!(id_server.bindings().is_empty());
    }
    assert_eq!(records(&server), 0);
}

/// Addresses that are bound at other identity servers are unbound too, because they cannot be unbound
/// after the deactivation.
#[tokio::test]
async fn deact_06_a_named_server_is_asked_about_every_address() {
    let [first, second, third] = servers();
    let server = IdServer::test_server(&[&first, &second, &third], &ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    bind(&server, &alice, &first, "email", "Alice@Example.org").await;
    bind(&server, &alice, &second, "email", OTHER_SERVER).await;
    let named = json!({ "id_server": "THREE.example" });
    assert_eq!(deactivate(&server, &alice, named).await, "success");
    assert_eq!(unbound(&third), [ALICE]);
    assert_eq!(unbound(&first), ["Alice@Example.org"]);
    assert_eq!(unbound(&second), [OTHER_SERVER]);
}

#[tokio::test]
async fn deact_06_an_address_is_unbound_once_in_its_bound_form() {
    let [first, ..] = servers();
    let server = IdServer::test_server(&[&first], &ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    bind(&server, &alice, &first, "email", "Alice@Example.org").await;
    let named = json!({ "id_server": "one.example" });
    assert_eq!(deactivate(&server, &alice, named).await, "success");
    assert_eq!(unbound(&first), ["Alice@Example.org"]);
}

/// IDS-14: a Matrix error also results in `no-support`.
#[tokio::test]
async fn deact_08_a_failure_is_no_support_and_deactivates() {
    for (line, body) in [
        ("404 Not Found", "<html>"),
        ("501 Not Implemented", ""),
        (
            "400 Bad Request",
            r#"{"errcode":"M_UNRECOGNIZED","error":"No"}"#,
        ),
        ("403 Forbidden", r#"{"errcode":"M_FORBIDDEN","error":"No"}"#),
        ("429 Too Many Requests", r#"{"errcode":"M_LIMIT_EXCEEDED"}"#),
        ("500 Internal Server Error", "{}"),
    ] {
        let [first, second, _] = servers();
        let server = IdServer::test_server(&[&first, &second], &[]).await;
        let alice = sign_up(&server, "alice").await;
        bind(&server, &alice, &first, "email", ALICE).await;
        bind(&server, &alice, &second, "email", OTHER_SERVER).await;
        first.set_misbehaviour(Some(Misbehaviour::Responds(line, body.to_owned())));
        assert_eq!(
            deactivate(&server, &alice, json!({})).await,
            "no-support",
            "{line}"
        );
        assert_eq!(unbound(&second), [OTHER_SERVER]);
        assert!(second.bindings().is_empty());
        assert_eq!(
            records(&server),
            1,
            "the record of the remaining binding stays"
        );
    }
}

#[tokio::test]
async fn deact_08_an_untrusted_server_is_not_called_no_support() {
    let [first, second, _] = servers();
    let server = IdServer::test_server(&[&first], &ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    for wrong in [
        "http://one.example",
        "one.example/x",
        "127.0.0.1",
        "[::1]",
        "",
    ] {
        let body = with_auth(
            json!({ "id_server": wrong }),
            password_of("alice", PASSWORD, None),
        );
        let reply = alice.post(&server, DEACTIVATE_PATH, &body).await;
        reply.error(400, "M_INVALID_PARAM");
    }
    assert!(alice.is_valid(&server).await);
    let named = json!({ "id_server": second.name });
    assert_eq!(deactivate(&server, &alice, named).await, "no-support");
    assert!(first.requests().is_empty() && second.requests().is_empty());
}

#[tokio::test]
async fn deact_09_nothing_to_unbind_is_success_without_a_call() {
    let [first, ..] = servers();
    let server = IdServer::test_server(&[&first], &ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    assert_eq!(deactivate(&server, &alice, json!({})).await, "success");
    assert!(first.requests().is_empty(), "an added address is not bound");
    let server = IdServer::test_server(&[&first], &[]).await;
    let alice = sign_up(&server, "alice").await;
    let named = json!({ "id_server": "one.example" });
    assert_eq!(deactivate(&server, &alice, named).await, "success");
    assert!(first.requests().is_empty());
}

#[tokio::test]
async fn deact_11_servers_that_hang_prevent_no_deactivation() {
    let [first, second, third] = servers();
    let server = IdServer::test_server(&[&first, &second, &third], &[]).await;
    let alice = sign_up(&server, "alice").await;
    for id_server in [&first, &second, &third] {
        bind(&server, &alice, id_server, "email", ALICE).await;
    }
    for id_server in [&first, &second] {
        id_server.set_misbehaviour(Some(Misbehaviour::Hangs));
    }
    assert_eq!(deactivate(&server, &alice, json!({})).await, "no-support");
    for id_server in [&first, &second, &third] {
        assert_eq!(unbound(id_server), [ALICE]);
    }
    assert_eq!((records(&server), third.bindings().len()), (2, 0));
}

/// IDS-14, IDS-20: the address is removed here first, independent of the identity server's
/// response.
#[tokio::test]
async fn acc3_05_a_removed_address_is_unbound_where_it_is_bound() {
    let [first, second, third] = servers();
    let server = IdServer::test_server(&[&first, &second, &third], &ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    bind(&server, &alice, &first, "email", ALICE).await;
    bind(&server, &alice, &second, "email", ALICE).await;
    bind(&server, &alice, &second, "email", OTHER_SERVER).await;
    let delete = async |further: Value| {
        let body = with(json!({ "medium": "email", "address": ALICE }), &further);
        alice.post(&server, DELETE, &body).await
    };
    for wrong in ["https://one.example", "10.0.0.1"] {
        let reply = delete(json!({ "id_server": wrong })).await;
        reply.error(400, "M_INVALID_PARAM");
    }
    assert_eq!(owned(&server).len(), 1, "the operation has no effect yet");
    second.respond_with(
        "403 Forbidden",
        &json!({ "errcode": "M_FORBIDDEN", "error": "No" }),
    );
    let answer = delete(json!({})).await.ok();
    assert_eq!(result_in(&answer), "no-support");
    assert!(owned(&server).is_empty());
    assert_eq!(unbound(&first), [ALICE]);
    assert_eq!(records(&server), 2);
    // A repeated request removes only the remaining binding.
    for id_server in [&first, &second] {
        id_server.clear_requests();
        id_server.set_misbehaviour(None);
    }
    assert_eq!(result_in(&delete(json!({})).await.ok()), "success");
    assert_eq!(unbound(&second), [ALICE]);
    assert_eq!(records(&server), 1, "the other address stays bound");
    assert_eq!(result_in(&delete(json!({})).await.ok()), "no-support");
    // Only the named server is called.
    let named = delete(json!({ "id_server": "three.example" })).await;
    assert_eq!(result_in(&named.ok()), "success");
    assert_eq!(unbound(&third), [ALICE]);
    let untrusted = delete(json!({ "id_server": "four.example" })).await;
    assert_eq!(result_in(&untrusted.ok()), "no-support");
    assert!(first.requests().is_empty());
}

#[tokio::test]
async fn acc3_05_a_number_is_unbound_in_every_spelling() {
    let [first, ..] = servers();
    let server = IdServer::test_server(&[&first], &ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", MSISDN, NUMBER.0).await;
    bind(&server, &alice, &first, "msisdn", NUMBER.1).await;
    let body = json!({ "medium": "msisdn", "address": format!("+{}", NUMBER.1) });
    let answer = alice.post(&server, DELETE, &body).await.ok();
    assert_eq!(result_in(&answer), "success");
    assert_eq!(unbound(&first), [NUMBER.1]);
}

/// IDS-12: the account is deactivated while an identity server is processing the binding.
#[tokio::test]
async fn ids_12_nothing_stays_bound_to_a_deactivated_account() {
    let [first, ..] = servers();
    let server = Arc::new(IdServer::test_server(&[&first], &[]).await);
    let alice = sign_up(&server, "alice").await;
    let body = binding(&first, "email", ALICE);
    let fault = delayed("Account3pidBind", "TransactWriteItems");
    let (own, who) = (Arc::clone(&server), alice.clone());
    let slow = start_delayed(
        &server,
        fault,
        async move { who.post(&own, BIND, &body).await },
    )
    .await;
    assert_eq!(deactivate(&server, &alice, json!({})).await, "success");
    assert_eq!(
        first.bindings().len(),
        1,
        "the binding is not yet recorded, so it is not yet unbound"
    );
    slow.await.unwrap().error(401, "M_UNKNOWN_TOKEN");
    assert!(first.bindings().is_empty());
    assert_eq!(records(&server), 0);
}

/// IDS-12, IDS-13: an address that is bound again while it is being unbound keeps its record.
#[tokio::test]
async fn ids_12_a_later_binding_keeps_its_record() {
    let [first, ..] = servers();
    let server = Arc::new(IdServer::test_server(&[&first], &[]).await);
    let alice = sign_up(&server, "alice").await;
    bind(&server, &alice, &first, "email", ALICE).await;
    let fault = delayed("Account3pidUnbind", "DeleteItem");
    let (own, who) = (Arc::clone(&server), alice.clone());
    let slow = start_delayed(&server, fault, async move {
        let path = "/_matrix/client/v3/account/3pid/unbind";
        let body = json!({ "medium": "email", "address": ALICE });
        who.post(&own, path, &body).await
    })
    .await;
    bind(&server, &alice, &first, "email", ALICE).await;
    slow.await.unwrap().ok();
    assert_eq!((records(&server), first.bindings().len()), (1, 1));
}
