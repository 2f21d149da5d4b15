//! `POST /account/3pid/email/requestToken`: an e-mail that adds its address to an account. The tests of all such
//! requests are in `request_token`.

use super::request_token::answers;

/// 3PID-04, 3PID-40, 3PID-63
#[tokio::test]
async fn threepid_02_a_mail_request_returns_a_session_only() {
    answers::assert_mail_request("account/3pid", "add").await;
}
