//! Messages for an existing account, and notifications of its owner.

use shared::{ids::Localpart, outbox::Notice, security_notifications::notify, threepids::Medium};
use test_support::Log;

use super::{ADDRESS, NUMBER, SECRET, delivered_secret, detector, request_token_for};
use crate::flows::{
    notifications::{enqueue, threepid},
    support::{
        another_process,
        mail_helpers::{ADD, RESET, create_owner},
        threepid_helpers::{EMAIL, MSISDN, confirm, mail_to, path_of, text_to},
    },
};

/// L4: the test covers resets and additions, and requests with a message and without one.
#[tokio::test]
async fn l4_no_secret_of_a_message_for_an_account_leaks() {
    for purpose in [RESET, ADD] {
        for is_owned in [true, false] {
            let (log, _guard) = Log::capture();
            let mut detector = detector(&format!("{EMAIL} {MSISDN}"), &log, &[]).await;
            if is_owned {
                create_owner(&detector.server, "alice", &mail_to(ADDRESS, "owner", 1)).await;
                let number = serde_json::json!({
                    "country": "GB", "phone_number": "07400 123456", "client_secret": "owner",
                    "send_attempt": 1,
                });
                create_owner(&detector.server, "bob", &number).await;
            }
            let mail =
                request_token_for(&mut detector, purpose, &mail_to(ADDRESS, SECRET, 1)).await;
            let text =
                request_token_for(&mut detector, purpose, &text_to(NUMBER.0, SECRET, 1)).await;
            detector.server.deliver().await;
            detector.search();
            if is_owned == (purpose == RESET) {
                let link = delivered_secret(&detector, &mail).await;
                let opened = detector.server.get(path_of(&link)).await;
                detector.check(&opened);
                assert_eq!(confirm(&detector.server, &link).await.status, 303);
                let code = delivered_secret(&detector, &text).await;
                let reply = text.enter(&detector.server, &code).await;
                detector.check(&reply);
                reply.ok();
            } else {
                let right = detector.secrets.last().cloned().unwrap();
                let reply = text.enter(&detector.server, &right).await;
                detector.check(&reply);
                reply.error(400, "M_TOKEN_INCORRECT");
            }
            detector.search();
            let path_in_log = if purpose == RESET {
                "account/password"
            } else {
                "account/3pid"
            };
            assert!(log.text().contains(path_in_log), "the log is captured");
        }
    }
}

/// A row of the outbox holds the address of a notification; no log does.
#[tokio::test]
async fn l4_the_address_of_a_notification_is_in_no_log() {
    let (log, _guard) = Log::capture();
    let detector = detector(&format!("{EMAIL} {MSISDN}"), &log, &[]).await;
    let app = another_process(&detector.server);
    let user = Localpart::stored("alice").unwrap();
    let to = [threepid(Medium::Email, ADDRESS)];
    for notice in [
        Notice::PasswordChanged,
        Notice::AddressAdded,
        Notice::AddressRemoved,
        Notice::Deactivated,
    ] {
        let messages = notify(&app, &user, &to, notice).await.unwrap();
        enqueue(&app, &messages).await;
        assert_eq!(detector.server.deliver().await, 1);
        detector.search();
    }
    assert_eq!(detector.server.messages().len(), 4);
    assert!(log.text().contains("sent"), "the log is captured");
}
