//! Sessions of identity servers that a client names in several spellings.

use serde_json::{Value, json};
use test_support::PASSWORD;

use super::validated_addresses::{SECRET, attempt, test_server};
use crate::flows::support::{
    account_helpers::{OTHER_PASSWORD, PASSWORD_PATH, log_in, sign_up_with},
    identity_server::{IdServer, TOKEN},
    threepid_helpers::{ALICE, EMAIL},
    with,
};

/// UIA-54: an identity server may read `07` as 7, and may compare secrets without regard to case. The name of the
/// identity server has several spellings too.
#[tokio::test]
async fn ids_09_another_spelling_of_a_session_is_the_same_session() {
    let id_server = IdServer::start("id.example.org");
    let server = test_server(&[&id_server], &[]).await;
    sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let creds = |(sid, secret, id_server): (&str, &str, &str)| {
        json!({
            "sid": sid, "client_secret": secret,
            "id_server": id_server, "id_access_token": TOKEN,
        })
    };
    let reset = async |creds: &Value, password: &str| {
        let body = attempt(EMAIL, creds, None);
        let body = with(body, &json!({ "new_password": password }));
        server.post(PASSWORD_PATH, &body).await
    };
    let upper = SECRET.to_uppercase();
    id_server.session("7", SECRET, "email", ALICE);
    let first = creds(("7", SECRET, "id.example.org"));
    reset(&first, OTHER_PASSWORD).await.ok();
    for again in [
        ("07", SECRET, "id.example.org"),
        ("7.0", SECRET, "id.example.org"),
        ("7e0", SECRET, "id.example.org"),
        ("-7", &upper, "ID.Example.Org"),
        ("7", &upper, "id.example.org:443"),
        ("7", SECRET, "id.example.org:0443"),
        ("07", SECRET, "id.example.org:443"),
    ] {
        // In the identity server both spellings are one session.
        id_server.session(again.0, again.1, "email", "Alice@Example.org");
        reset(&creds(again), PASSWORD)
            .await
            .refused("M_UNAUTHORIZED");
    }
    log_in(&server, "alice", OTHER_PASSWORD).await;
    // Another secret is another session.
    id_server.session("8", "another", "email", ALICE);
    let other = creds(("8", "another", "id.example.org"));
    reset(&other, PASSWORD).await.ok();
}
