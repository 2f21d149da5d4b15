//! Password resets by the operator: one-time passwords and links.

use serde_json::{Value, json};
use test_support::{PASSWORD, TestServer};

use crate::{
    api::support::set_status,
    flows::support::{
        account_helpers::{
            ADDRESSES, OTHER_PASSWORD, PASSWORD_PATH, log_in, sign_up, sign_up_with, try_login,
        },
        admin_run,
        threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER, confirm},
    },
};

#[tokio::test]
async fn a_one_time_password_ends_every_device_and_notifies() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let before = server.messages().len();
    let all = ["users", "reset-password", "alice"];
    let made = admin_run(&server, &all).await;
    let password = made["password"].as_str().unwrap();
    assert_eq!(password.len(), 23);
    assert_ne!(admin_run(&server, &all).await["password"], made["password"]);
    assert!(!alice.is_valid(&server).await);
    for wrong in [PASSWORD, password] {
        try_login(&server, "alice", wrong)
            .await
            .error(403, "M_FORBIDDEN");
    }
    let last = admin_run(&server, &all).await;
    let password = last["password"].as_str().unwrap();
    log_in(&server, "alice", password).await;
    assert!(!server.dump().contains(password));
    server.deliver().await;
    let reported = server.messages().split_off(before);
    assert_eq!(reported.len(), 3);
    assert!(
        reported
            .iter()
            .all(|own| own.to == ALICE && !own.text.contains(password))
    );
}

#[tokio::test]
async fn a_link_from_the_operator_leads_to_a_new_password() {
    let server = TestServer::with(&ADDRESSES).await;
    let alice = sign_up_with(&server, "alice", EMAIL, ALICE).await;
    let before = server.messages().len();
    let url = server.local.config().public_url.clone();
    let made = admin_run(
        &server,
        &["users", "reset-link", "alice", "--public-url", &url],
    )
    .await;
    assert_eq!(made["address"], ALICE);
    let link = made["link"].as_str().unwrap();
    assert!(link.starts_with(&url), "{link}");
    let mut body = made["then"]["body"].clone();
    body["new_password"] = OTHER_PASSWORD.into();
    // The reset can be completed only after the button of the page was pressed, and only once.
    server
        .post(PASSWORD_PATH, &body)
        .await
        .refused("M_UNAUTHORIZED");
    confirm(&server, link).await;
    assert!(alice.is_valid(&server).await);
    server.post(PASSWORD_PATH, &body).await.ok();
    assert!(!alice.is_valid(&server).await);
    log_in(&server, "alice", OTHER_PASSWORD).await;
    body["new_password"] = PASSWORD.into();
    server
        .post(PASSWORD_PATH, &body)
        .await
        .refused("M_UNAUTHORIZED");
    // No e-mail is sent except the notification.
    server.deliver().await;
    assert_eq!(server.messages().len(), before + 1);
    let secrets = [link, made["client_secret"].as_str().unwrap()];
    let dump = server.dump();
    assert!(secrets.iter().all(|secret| !dump.contains(secret)));
}

/// Incident 13: not even the operator can set a password that reactivates an account.
#[tokio::test]
async fn incident_13_unusable_accounts_get_no_operator_reset() {
    let server =
        TestServer::with(&[ADDRESSES.as_slice(), &[("GATEHOUSE_GUESTS", "true")]].concat()).await;
    sign_up(&server, "alice").await;
    sign_up_with(&server, "bob", MSISDN, NUMBER.0).await;
    let guest = server
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await
        .ok();
    let guest = guest["user_id"].as_str().unwrap();
    let guest = guest.trim_start_matches('@').split(':').next().unwrap();
    let error_of = async |command: &str, name: &str| {
        let all = [
            "users",
            command,
            name,
            "--public-url",
            "https://example.org",
        ];
        let all = if command == "reset-link" {
            &all[..]
        } else {
            &all[..3]
        };
        server
            .admin_run(all)
            .await
            .map(|value: Value| value.to_string())
            .unwrap_err()
            .to_string()
    };
    for name in ["alice", "bob"] {
        assert!(
            error_of("reset-link", name)
                .await
                .contains("with an e-mail address")
        );
    }
    set_status(&server, "alice", "locked");
    set_status(&server, "bob", "deactivated");
    for command in ["reset-link", "reset-password"] {
        assert!(error_of(command, "alice").await.contains("locked"));
        assert!(error_of(command, "bob").await.contains("deactivated"));
        assert!(error_of(command, "nobody").await.contains("no account"));
        assert!(error_of(command, guest).await.contains("guest"));
    }
}
