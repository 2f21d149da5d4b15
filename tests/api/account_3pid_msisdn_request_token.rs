//! `POST /account/3pid/msisdn/requestToken`: a text message that adds its number to an account. The tests of all such
//! requests are in `request_token`.

use super::request_token::answers;

/// 3PID-03, 3PID-65, 3PID-66
#[tokio::test]
async fn threepid_40_a_text_request_returns_its_submit_url() {
    answers::assert_text_request("account/3pid", "add").await;
}
