//! `POST /account/password/msisdn/requestToken`: a text message that resets a password. The tests of all such requests
//! are in `request_token`.

use super::request_token::answers;

/// 3PID-03, 3PID-65, 3PID-66
#[tokio::test]
async fn threepid_40_a_text_request_returns_its_submit_url() {
    answers::assert_text_request("account/password", "reset").await;
}
