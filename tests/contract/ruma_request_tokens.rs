//! An independent client that requests messages for an account: Gatehouse accepts ruma's requests,
//! and ruma parses the responses.
#![expect(
    clippy::unwrap_used,
    reason = "a request that ruma cannot build ends the test"
)]

use std::borrow::Cow;

use http::Request;
use ruma_client_api::account::{
    request_3pid_management_token_via_email::v3 as add_mail,
    request_3pid_management_token_via_msisdn::v3 as add_text,
    request_password_change_token_via_email::v3 as reset_mail,
    request_password_change_token_via_msisdn::v3 as reset_text,
};
use ruma_common::{
    ClientSecret, OwnedClientSecret,
    api::{
        OutgoingRequest, SupportedVersions,
        auth_scheme::{AuthScheme, SendAccessToken},
        error::{Error, ErrorKind, FromHttpResponseError},
        path_builder::PathBuilder,
    },
};
use serde_json::json;
use test_support::{PASSWORD, TestServer};

use super::ruma_requests::{Answer, send};

const FLOWS: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.email.identity m.login.msisdn m.login.dummy",
);
const ALICE: &str = "alice@example.org";
const NUMBER: &str = "07400 123456";

fn secret() -> OwnedClientSecret {
    ClientSecret::parse("this.is=the_client-s").unwrap()
}

fn for_password(address: &str) -> reset_mail::Request {
    reset_mail::Request::new(secret(), address.to_owned(), 1_u32.into())
}

fn for_password_by_text(number: &str) -> reset_text::Request {
    reset_text::Request::new(secret(), "GB".to_owned(), number.to_owned(), 1_u32.into())
}

fn for_account(address: &str) -> add_mail::Request {
    add_mail::Request::new(secret(), address.to_owned(), 1_u32.into())
}

fn for_account_by_text(number: &str) -> add_text::Request {
    add_text::Request::new(secret(), "GB".to_owned(), number.to_owned(), 1_u32.into())
}

async fn send_request<R>(server: &TestServer, request: R) -> Answer<R>
where
    R: OutgoingRequest,
    for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
    for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
{
    send(server, request, SendAccessToken::None).await
}

/// The kind of error that a request gets.
async fn refusal<R>(server: &TestServer, request: R) -> ErrorKind
where
    R: OutgoingRequest<EndpointError = Error>,
    for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
    for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
{
    match send_request(server, request).await {
        Err(FromHttpResponseError::Server(error)) => error.error_kind().unwrap().clone(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the request was not rejected"),
    }
}

/// Signs up an account with this e-mail address.
async fn owner_of(server: &TestServer, address: &str) {
    let path = "/_matrix/client/v3/register/email/requestToken";
    let body = json!({ "email": address, "client_secret": "owner", "send_attempt": 1 });
    let sid = server.post(path, &body).await.ok()["sid"].clone();
    server.deliver().await;
    let message = server.messages().pop().unwrap();
    let link = message.links().next().unwrap();
    let (_, form) = link.split_once('?').unwrap();
    let button = "/_matrix/client/v3/validate/email/confirm";
    let request = Request::post(button).header("content-type", "application/x-www-form-urlencoded");
    let request = request.body(form.as_bytes().to_vec()).unwrap();
    assert_eq!(server.send(request).await.status, 200);
    let creds = json!({ "sid": sid, "client_secret": "owner" });
    let auth = json!({ "type": "m.login.email.identity", "threepid_creds": creds });
    let body = json!({ "username": "alice", "password": PASSWORD, "auth": auth });
    server.register(&body).await.ok();
    server.local.outbox().clear();
}

/// 3PID-04, 3PID-14, 3PID-21, 3PID-40
#[tokio::test]
async fn threepid_40_rumas_requests_for_an_account_are_answered() {
    let server = TestServer::with(&[FLOWS]).await;
    let mut request = for_password(ALICE);
    request.next_link = Some("https://app.example.org/#/login".to_owned());
    let reset = send_request(&server, request).await.unwrap();
    assert_eq!(reset.submit_url, None);
    let again = send_request(&server, for_password("ALICE@example.org")).await;
    assert_eq!(again.unwrap().sid, reset.sid);
    let add = send_request(&server, for_account(ALICE)).await.unwrap();
    assert_eq!(add.submit_url, None);
    let reset_by_text = send_request(&server, for_password_by_text(NUMBER))
        .await
        .unwrap();
    let add_by_text = send_request(&server, for_account_by_text(NUMBER))
        .await
        .unwrap();
    let public = &server.local.config().public_url;
    let submit = format!("{public}/_matrix/client/v3/validate/msisdn/submitToken");
    for url in [reset_by_text.submit_url, add_by_text.submit_url] {
        assert_eq!(url.as_deref(), Some(submit.as_str()));
    }
    let sids = [reset.sid, add.sid, reset_by_text.sid, add_by_text.sid];
    for (number, sid) in sids.iter().enumerate() {
        assert!(
            !sids[..number].contains(sid),
            "two requests share a session"
        );
    }
}

/// 3PID-08, 3PID-12, 3PID-13, PWD-15, ACC3-07: ruma has a kind for each error.
#[tokio::test]
async fn http_06_ruma_knows_every_error_of_a_request_for_an_account() {
    let server = TestServer::with(&[FLOWS, ("GATEHOUSE_EMAIL_DENIED", ".*@spam.example")]).await;
    for (address, kind) in [
        ("a@b@c.example", ErrorKind::InvalidParam),
        ("a@spam.example", ErrorKind::ThreepidDenied),
    ] {
        assert_eq!(refusal(&server, for_password(address)).await, kind);
        assert_eq!(refusal(&server, for_account(address)).await, kind);
    }
    for number in ["abc", "1"] {
        let kind = ErrorKind::InvalidParam;
        assert_eq!(refusal(&server, for_password_by_text(number)).await, kind);
        assert_eq!(refusal(&server, for_account_by_text(number)).await, kind);
    }
    let off = [
        ("GATEHOUSE_PASSWORD_CHANGES", "off"),
        ("GATEHOUSE_3PID_CHANGES", "off"),
    ];
    let server = TestServer::with(&off).await;
    let kind = ErrorKind::Forbidden;
    assert_eq!(refusal(&server, for_password(ALICE)).await, kind);
    assert_eq!(refusal(&server, for_account(ALICE)).await, kind);
    let server =
        TestServer::with(&[("GATEHOUSE_MAIL_FROM", ""), ("GATEHOUSE_SMS_COUNTRIES", "")]).await;
    let kind = ErrorKind::ThreepidMediumNotSupported;
    assert_eq!(refusal(&server, for_password(ALICE)).await, kind);
    assert_eq!(refusal(&server, for_account(ALICE)).await, kind);
    assert_eq!(refusal(&server, for_password_by_text(NUMBER)).await, kind);
    assert_eq!(refusal(&server, for_account_by_text(NUMBER)).await, kind);
}

/// 3PID-07: the mode is `tell`.
#[tokio::test]
async fn threepid_06_ruma_knows_the_errors_of_tell_mode() {
    let server = TestServer::with(&[FLOWS, ("GATEHOUSE_THREEPID_PRIVACY", "tell")]).await;
    owner_of(&server, ALICE).await;
    send_request(&server, for_password(ALICE)).await.unwrap();
    let unknown_address = refusal(&server, for_password("bob@example.org")).await;
    assert_eq!(unknown_address, ErrorKind::ThreepidNotFound);
    send_request(&server, for_account("bob@example.org"))
        .await
        .unwrap();
    let known_address = refusal(&server, for_account(ALICE)).await;
    assert_eq!(known_address, ErrorKind::ThreepidInUse);
}
