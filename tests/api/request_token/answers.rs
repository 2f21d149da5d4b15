//! Responses that are the same for the endpoints of all purposes.

use serde_json::json;
use test_support::PREFIXES;

use crate::api::{
    rows::{queued, validation},
    support::text,
    threepids::{code, mail_to, server_with, state, submit, text_to},
};

/// Asserts that a request for an e-mail returns only the session ID. An e-mail has no code to type, so the response has
/// no `submit_url`.
pub(in crate::api) async fn assert_mail_request(endpoint: &str, purpose: &str) {
    for prefix in PREFIXES {
        let server = server_with(&[]).await;
        let path = format!("{prefix}/{endpoint}/email/requestToken");
        let body = mail_to("Alice@Example.org", "secret", 1);
        let answer = server.post(&path, &body).await.ok();
        let sid = text(&answer, "sid");
        assert_eq!(answer, json!({ "sid": sid }));
        assert_eq!(queued(&server), 1);
        let row = validation(&server, sid);
        assert_eq!(row.purpose, purpose);
        assert_eq!(row.address, "alice@example.org");
        // The parameters of a phone number do not replace the parameters of an e-mail address.
        let phone = text_to("07400 123456", "s", 1);
        let reply = server.post(&path, &phone).await;
        reply.error(400, "M_MISSING_PARAM");
    }
}

/// Asserts that a request for a text message returns the URL that accepts the code, and the number in
/// international format.
pub(in crate::api) async fn assert_text_request(endpoint: &str, purpose: &str) {
    for prefix in PREFIXES {
        let server = server_with(&[]).await;
        let path = format!("{prefix}/{endpoint}/msisdn/requestToken");
        let body = text_to("07400 123456", "secret", 1);
        let answer = server.post(&path, &body).await.ok();
        let sid = text(&answer, "sid");
        let public = &server.local.config().public_url;
        let expected = json!({
            "sid": sid,
            "submit_url": format!("{public}/_matrix/client/v3/validate/msisdn/submitToken"),
            "msisdn": "447400123456",
            "intl_fmt": "+44 7400 123456",
        });
        assert_eq!(answer, expected);
        assert_eq!(queued(&server), 1);
        let row = validation(&server, sid);
        assert_eq!(row.purpose, purpose);
        assert_eq!(row.address, "447400123456");
        let code = code(&server, sid, 1);
        submit(&server, "msisdn", sid, "secret", &code).await.ok();
        assert_eq!(state(&server, sid), "validated");
    }
}
