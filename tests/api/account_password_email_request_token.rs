//! `POST /account/password/email/requestToken`: what is about mail alone. What holds of every such request
//! is in `request_token`.

use serde_json::json;
use test_support::PREFIXES;

use super::{
    support::text,
    threepids::{mail_to, queued, row, server_with},
};

/// 3PID-04, 3PID-40, 3PID-63: there is no code to type, so nowhere to submit one to.
#[tokio::test]
async fn _3pid_02_a_request_for_mail_that_leads_to_a_new_password_is_answered_with_a_session_alone()
{
    for prefix in PREFIXES {
        let server = server_with(&[]).await;
        let path = format!("{prefix}/account/password/email/requestToken");
        let body = mail_to("Alice@Example.org", "secret", 1);
        let answer = server.post(&path, &body).await.ok();
        let sid = text(&answer, "sid");
        assert_eq!(answer, json!({ "sid": sid }));
        assert_eq!(queued(&server), 1);
        let row = row(&server, sid);
        assert_eq!(row["purpose"]["S"], "reset");
        assert_eq!(row["address"]["S"], "alice@example.org");
        // A phone's members do not make up for those that are missing.
        let phone = json!({ "client_secret": "s", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1 });
        let reply = server.post(&path, &phone).await;
        reply.error(400, "M_MISSING_PARAM");
    }
}
