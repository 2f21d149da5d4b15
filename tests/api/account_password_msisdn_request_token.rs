//! `POST /account/password/msisdn/requestToken`: what is about text messages alone. What holds of every such
//! request is in `request_token`.

use serde_json::json;
use test_support::PREFIXES;

use super::{
    support::text,
    threepids::{code, queued, row, server_with, state, submit, text_to},
};

/// 3PID-03, 3PID-65, 3PID-66: the answer says where the code goes, and how the number is written.
#[tokio::test]
async fn _3pid_40_a_request_for_a_text_that_leads_to_a_new_password_says_where_its_code_is_submitted()
 {
    for prefix in PREFIXES {
        let server = server_with(&[]).await;
        let path = format!("{prefix}/account/password/msisdn/requestToken");
        let body = text_to("07400 123456", "secret", 1);
        let answer = server.post(&path, &body).await.ok();
        let sid = text(&answer, "sid");
        let url = text(&answer, "submit_url");
        let public = &server.local.config().public_url;
        assert_eq!(
            url,
            format!("{public}/_matrix/client/v3/validate/msisdn/submitToken")
        );
        let expected = json!({
            "sid": sid, "submit_url": url, "msisdn": "447400123456", "intl_fmt": "+44 7400 123456",
        });
        assert_eq!(answer, expected);
        assert_eq!(queued(&server), 1);
        assert_eq!(row(&server, sid)["purpose"]["S"], "reset");
        assert_eq!(row(&server, sid)["address"]["S"], "447400123456");
        let code = code(&server, sid, 1);
        submit(&server, "msisdn", sid, "secret", &code).await.ok();
        assert_eq!(state(&server, sid), "validated");
    }
}
