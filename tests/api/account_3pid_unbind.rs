//! `POST /account/3pid/unbind`.

use serde_json::{Value, json};
use test_support::{PREFIXES, TestServer};

use super::{
    rows::bindings,
    support::{post_as, register_guest, text, with},
};
use crate::flows::support::identity_server::{Form, IdServer, Misbehaviour, TOKEN, parameters};

const PATH: &str = "/_matrix/client/v3/account/3pid/unbind";
const UNBIND: &str = "POST /_matrix/identity/v2/3pid/unbind";
const ALICE: &str = "alice@example.org";

/// Signs up Alice, binds an e-mail address at each of these identity servers and returns her token. The recorded
/// requests of the identity servers are cleared.
async fn bound(server: &TestServer, servers: &[&IdServer], address: &str) -> String {
    let user = server.sign_up("alice").await;
    let token = text(&user, "access_token").to_owned();
    for id_server in servers {
        id_server.session("1", "secret", "email", address);
        let body = json!({
            "client_secret": "secret", "sid": "1", "id_server": id_server.name, "id_access_token": TOKEN,
        });
        let path = "/_matrix/client/v3/account/3pid/bind";
        post_as(server, &token, path, &body).await.ok();
        assert_eq!(id_server.bindings().len(), 1);
        id_server.clear_requests();
    }
    token
}

/// The number of recorded bindings.
fn records(server: &TestServer) -> usize {
    bindings(server, "alice").len()
}

fn email(address: &str) -> Value {
    json!({ "medium": "email", "address": address })
}

fn result(result: &str) -> Value {
    json!({ "id_server_unbind_result": result })
}

/// IDS-12, IDS-16: the fake identity server verifies the signature with the published key.
#[tokio::test]
async fn ids_13_an_unbinding_is_signed_and_names_the_address() {
    for prefix in PREFIXES {
        let id_server = IdServer::start("id.example.org");
        let server = IdServer::test_server(&[&id_server], &[]).await;
        let token = bound(&server, &[&id_server], ALICE).await;
        let path = format!("{prefix}/account/3pid/unbind");
        let reply = post_as(&server, &token, &path, &email(ALICE)).await;
        assert_eq!(reply.ok(), result("success"));
        assert_eq!(
            id_server.lines(),
            [UNBIND],
            "one request, and its response is accepted"
        );
        let seen = &id_server.requests()[0];
        let expected = json!({
            "mxid": "@alice:localhost",
            "threepid": { "medium": "email", "address": ALICE },
        });
        assert_eq!(seen.body, expected);
        let header =
            parameters(&seen.headers["authorization"]).expect("IDS-15: an X-Matrix header");
        assert_eq!(
            (header["origin"].as_str(), header["destination"].as_str()),
            ("localhost", "id.example.org"),
            "DIS-24"
        );
        assert!(id_server.bindings().is_empty());
        assert_eq!(
            records(&server),
            0,
            "the record is deleted with the binding"
        );
    }
}

#[tokio::test]
async fn ids_17_a_server_that_follows_the_spec_is_called_again() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let token = bound(&server, &[&id_server], ALICE).await;
    id_server.verifies(Form::Destination);
    let reply = post_as(&server, &token, PATH, &email(ALICE)).await;
    assert_eq!(reply.ok(), result("success"));
    assert_eq!(id_server.lines(), [UNBIND; 2]);
    assert!(id_server.bindings().is_empty());
}

/// IDS-14: a Matrix error is passed to the client after at most two attempts.
#[tokio::test]
async fn ids_14_a_matrix_error_of_the_id_server_is_passed_on() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let token = bound(&server, &[&id_server], ALICE).await;
    for (line, status, errcode, times) in [
        ("401 Unauthorized", 401, "M_FORBIDDEN", 2),
        ("403 Forbidden", 403, "M_FORBIDDEN", 2),
        ("400 Bad Request", 400, "M_MISSING_PARAMS", 1),
        ("404 Not Found", 404, "M_UNRECOGNIZED", 1),
    ] {
        id_server.clear_requests();
        id_server.respond_with(line, &json!({ "errcode": errcode, "error": "No" }));
        post_as(&server, &token, PATH, &email(ALICE))
            .await
            .error(status, errcode);
        assert_eq!(id_server.requests().len(), times, "{line}");
        assert_eq!(records(&server), 1, "{line}");
    }
}

#[tokio::test]
async fn ids_14_200_is_success_and_a_non_matrix_error_no_support() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let token = bound(&server, &[&id_server], ALICE).await;
    for line in ["400 Bad Request", "404 Not Found", "501 Not Implemented"] {
        for body in ["{}", "<html>", ""] {
            id_server.set_misbehaviour(Some(Misbehaviour::Responds(line, body.to_owned())));
            let reply = post_as(&server, &token, PATH, &email(ALICE)).await;
            assert_eq!(reply.ok(), result("no-support"), "{line} {body}");
            assert_eq!(records(&server), 1);
        }
    }
    id_server.set_misbehaviour(Some(Misbehaviour::Responds("200 OK", "gone".to_owned())));
    let reply = post_as(&server, &token, PATH, &email(ALICE)).await;
    assert_eq!(reply.ok(), result("success"));
    assert_eq!(records(&server), 0);
}

/// ACC3-06, IDS-20
#[tokio::test]
async fn ids_20_without_a_server_all_bindings_are_removed() {
    let [first, second, third] =
        ["one.example", "two.example", "three.example"].map(IdServer::start);
    let server = IdServer::test_server(&[&first, &second, &third], &[]).await;
    // The address is bound in one spelling and unbound in another.
    let token = bound(&server, &[&first, &second], "Alice@example.org").await;
    let unbind = async |body: Value| post_as(&server, &token, PATH, &body).await;
    assert_eq!(
        unbind(email("bob@example.org")).await.ok(),
        result("no-support"),
        "the address is not bound"
    );
    let msisdn = json!({ "medium": "msisdn", "address": "447400123456" });
    assert_eq!(unbind(msisdn).await.ok(), result("no-support"));
    assert_eq!(unbind(email(ALICE)).await.ok(), result("success"));
    for id_server in [&first, &second] {
        assert_eq!(id_server.lines(), [UNBIND]);
        let threepid = &id_server.requests()[0].body["threepid"];
        assert_eq!(
            *threepid,
            email("Alice@example.org"),
            "the spelling of the binding"
        );
        assert!(id_server.bindings().is_empty());
    }
    assert!(third.requests().is_empty());
    assert_eq!(records(&server), 0);
    assert_eq!(unbind(email(ALICE)).await.ok(), result("no-support"));
}

#[tokio::test]
async fn ids_20_only_a_named_server_is_called_bound_there_or_not() {
    let [first, second, third] =
        ["one.example", "two.example", "three.example"].map(IdServer::start);
    let server = IdServer::test_server(&[&first, &second, &third], &[]).await;
    let token = bound(&server, &[&first, &second], ALICE).await;
    let unbind = async |name: &str| {
        let body = with(email(ALICE), &json!({ "id_server": name }));
        post_as(&server, &token, PATH, &body).await
    };
    assert_eq!(unbind("two.example").await.ok(), result("success"));
    assert_eq!(unbind("THREE.example").await.ok(), result("success"));
    assert!(first.requests().is_empty());
    assert_eq!(
        (second.lines(), third.lines()),
        (vec![UNBIND.to_owned()], vec![UNBIND.to_owned()])
    );
    assert_eq!((records(&server), first.bindings().len()), (1, 1));
    unbind("four.example")
        .await
        .error(400, "M_SERVER_NOT_TRUSTED");
    unbind("127.0.0.1").await.error(400, "M_INVALID_PARAM");
    unbind("http://two.example")
        .await
        .error(400, "M_INVALID_PARAM");
}

/// IDS-02: an identity server with a binding may no longer be trusted.
#[tokio::test]
async fn ids_20_a_server_no_longer_trusted_is_not_called() {
    let data = tempfile::tempdir().expect("a directory");
    let id_server = IdServer::start("id.example.org");
    let secret = ("GATEHOUSE_SECRET", "0123456789abcdef0123456789abcdef");
    let entry = id_server.entry();
    let settings = [secret, ("GATEHOUSE_TRUSTED_ID_SERVERS", entry.as_str())];
    let server = TestServer::in_directory(&settings, data.path()).await;
    let token = bound(&server, &[&id_server], ALICE).await;
    drop(server);
    let server = TestServer::in_directory(&[secret], data.path()).await;
    let reply = post_as(&server, &token, PATH, &email(ALICE)).await;
    assert_eq!(reply.ok(), result("no-support"));
    assert!(id_server.requests().is_empty());
    assert_eq!(records(&server), 1);
}

#[tokio::test]
async fn malformed_unbind_requests_are_refused_before_any_call() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[("GATEHOUSE_GUESTS", "true")]).await;
    let token = bound(&server, &[&id_server], ALICE).await;
    let unbind = async |body: Value| post_as(&server, &token, PATH, &body).await;
    for (body, errcode) in [
        (json!({}), "M_MISSING_PARAM"),
        (json!({ "medium": "email" }), "M_MISSING_PARAM"),
        (json!({ "address": ALICE }), "M_MISSING_PARAM"),
        (json!({ "medium": 5, "address": ALICE }), "M_BAD_JSON"),
        (
            json!({ "medium": "pigeon", "address": ALICE }),
            "M_INVALID_PARAM",
        ),
        (email(""), "M_INVALID_PARAM"),
        (email(&"x".repeat(321)), "M_INVALID_PARAM"),
        (email("alice\u{0}@example.org"), "M_INVALID_PARAM"),
    ] {
        unbind(body).await.error(400, errcode);
    }
    server
        .post(PATH, &email(ALICE))
        .await
        .error(401, "M_MISSING_TOKEN");
    let guest = register_guest(&server).await;
    post_as(&server, text(&guest, "access_token"), PATH, &email(ALICE))
        .await
        .error(403, "M_GUEST_ACCESS_FORBIDDEN");
    assert!(id_server.requests().is_empty());
}

/// IDS-21, incident 9: slow responses time out, long responses are cut off, and redirects are not followed.
#[tokio::test]
async fn ids_21_a_misbehaving_server_is_given_up_and_not_followed() {
    let [id_server, redirect_target] = ["id.example.org", "elsewhere.example"].map(IdServer::start);
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let token = bound(&server, &[&id_server], ALICE).await;
    server.expect_faults();
    let target = redirect_target.entry();
    let target = target.split('=').nth(1).unwrap_or_default();
    let redirect: &'static str =
        format!("307 Temporary Redirect\r\nlocation: {target}/_matrix/identity/v2/3pid/unbind")
            .leak();
    for manners in [
        Misbehaviour::Responds(redirect, String::new()),
        Misbehaviour::Responds("503 Service Unavailable", "{}".to_owned()),
        Misbehaviour::ClosesEarly,
        Misbehaviour::EndlessResponse,
        Misbehaviour::Hangs,
    ] {
        id_server.clear_requests();
        id_server.set_misbehaviour(Some(manners.clone()));
        let reply = post_as(&server, &token, PATH, &email(ALICE)).await;
        reply.error(502, "M_UNKNOWN");
        assert_eq!(id_server.requests().len(), 1, "{manners:?}: one request");
        assert_eq!(records(&server), 1);
    }
    assert!(redirect_target.requests().is_empty());
}
