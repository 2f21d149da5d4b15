//! An independent client that validates a 3PID: Gatehouse accepts ruma's requests for messages, and ruma parses the
//! responses. The token is read from the delivered message.
#![expect(
    clippy::unwrap_used,
    reason = "a request that ruma cannot build ends the test"
)]

use http::Uri;
use ruma_client_api::{
    account::{
        register::v3 as register, request_registration_token_via_email::v3 as mail,
        request_registration_token_via_msisdn::v3 as text_message,
    },
    uiaa::{
        AuthData, AuthType, EmailIdentity, Msisdn, ThirdpartyIdCredentials, UiaaInfo, UiaaResponse,
    },
};
use ruma_common::{
    ClientSecret, OwnedClientSecret, OwnedSessionId,
    api::{
        EndpointError, OutgoingRequest,
        auth_scheme::SendAccessToken,
        error::{Error, ErrorKind, FromHttpResponseError},
    },
};
use serde_json::{Value, from_value, json};
use test_support::{PASSWORD, Reply, TestServer};

use super::ruma_requests::{Answer, send};

const FLOWS: (&str, &str) = (
    "GATEHOUSE_REGISTRATION_FLOWS",
    "m.login.email.identity m.login.msisdn",
);
const SECRET: &str = "this.is=the_client-s";

fn secret() -> OwnedClientSecret {
    ClientSecret::parse(SECRET).unwrap()
}

fn to_mailbox(address: &str, attempt: u32) -> mail::Request {
    mail::Request::new(secret(), address.to_owned(), attempt.into())
}

fn to_phone(country: &str, number: &str, attempt: u32) -> text_message::Request {
    text_message::Request::new(
        secret(),
        country.to_owned(),
        number.to_owned(),
        attempt.into(),
    )
}

/// The kind of an error.
#[track_caller]
fn refusal<R: OutgoingRequest<EndpointError = Error>>(answer: Answer<R>) -> ErrorKind {
    match answer {
        Err(FromHttpResponseError::Server(error)) => error.error_kind().unwrap().clone(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the request was not rejected"),
    }
}

/// The kind of an error that no request of ruma causes.
fn kind_of(reply: &Reply) -> ErrorKind {
    let mut response = http::Response::new(reply.body.as_slice());
    *response.status_mut() = reply.status;
    let error = Error::from_http_response(response);
    error.error_kind().unwrap().clone()
}

async fn register(server: &TestServer, auth: Option<AuthData>) -> Answer<register::Request> {
    let mut request = register::Request::new();
    request.username = Some("alice".to_owned());
    request.password = Some(PASSWORD.to_owned());
    request.auth = auth;
    send(server, request, SendAccessToken::None).await
}

#[track_caller]
fn challenge(answer: Answer<register::Request>) -> UiaaInfo {
    match answer {
        Err(FromHttpResponseError::Server(UiaaResponse::AuthResponse(info))) => info,
        other => panic!("{other:?}"),
    }
}

fn credentials(sid: &OwnedSessionId) -> ThirdpartyIdCredentials {
    ThirdpartyIdCredentials::new(sid.clone(), secret())
}

/// The stage as ruma serialises it, because its type has no public constructor.
fn stage(kind: &str, sid: &OwnedSessionId, session: Option<&String>) -> AuthData {
    let creds: Value = json!(credentials(sid));
    let data = json!({ "type": kind, "threepid_creds": creds, "session": session });
    match kind {
        "m.login.msisdn" => AuthData::Msisdn(from_value::<Msisdn>(data).unwrap()),
        _ => AuthData::EmailIdentity(from_value::<EmailIdentity>(data).unwrap()),
    }
}

/// The text of the only message that was sent.
async fn received(server: &TestServer) -> String {
    server.deliver().await;
    let messages = server.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages[0].text.clone()
}

async fn press(server: &TestServer, path: &str, form: &str) -> Reply {
    let request =
        http::Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    server
        .send(request.body(form.as_bytes().to_vec()).unwrap())
        .await
}

/// 3PID-02, 3PID-04, 3PID-10, 3PID-21
#[tokio::test]
async fn threepid_40_rumas_mail_request_and_stage_register() {
    let server = TestServer::with(&[FLOWS]).await;
    let mut request = to_mailbox("Alice@Example.org", 1);
    request.next_link = Some("https://app.example.org/#/register".to_owned());
    let answer = send(&server, request, SendAccessToken::None).await.unwrap();
    assert_eq!(answer.submit_url, None);
    let again = send(
        &server,
        to_mailbox("alice@example.org", 1),
        SendAccessToken::None,
    )
    .await;
    assert_eq!(again.unwrap().sid, answer.sid);

    let info = challenge(register(&server, None).await);
    assert_eq!(info.flows[0].stages, [AuthType::EmailIdentity]);
    let auth = || stage("m.login.email.identity", &answer.sid, info.session.as_ref());
    let early = challenge(register(&server, Some(auth())).await);
    assert_eq!(early.auth_error.unwrap().kind, ErrorKind::Unauthorized);

    let text = received(&server).await;
    let mut words = text.split_whitespace();
    let link: Uri = words
        .find(|word| word.starts_with("http"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        server
            .get(&link.path_and_query().unwrap().to_string())
            .await
            .status,
        200
    );
    let early = challenge(register(&server, Some(auth())).await);
    assert!(early.completed.is_empty(), "3PID-52");
    let button = link.path().replace("submitToken", "confirm");
    let pressed = press(&server, &button, link.query().unwrap()).await;
    assert_eq!(pressed.status, 200, "{}", pressed.text());

    let alice = register(&server, Some(auth())).await.unwrap();
    assert_eq!(alice.user_id, "@alice:localhost");
}

/// 3PID-03, 3PID-40, 3PID-41: the code is sent to the `submit_url` of the response.
#[tokio::test]
async fn threepid_41_rumas_text_request_and_stage_register() {
    let server = TestServer::with(&[FLOWS]).await;
    let request = to_phone("GB", "07400 123456", 1);
    let answer = send(&server, request, SendAccessToken::None).await.unwrap();
    let info = challenge(register(&server, None).await);
    assert_eq!(info.flows[1].stages, [AuthType::Msisdn]);
    let auth = || stage("m.login.msisdn", &answer.sid, info.session.as_ref());

    let text = received(&server).await;
    let is_code = |word: &&str| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit());
    let code = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(is_code)
        .unwrap();
    let url: Uri = answer.submit_url.as_deref().unwrap().parse().unwrap();
    let body = json!({ "sid": answer.sid, "client_secret": SECRET, "token": code });
    let wrong = json!({ "sid": answer.sid, "client_secret": SECRET, "token": "no code" });
    let refused = server.post(url.path(), &wrong).await;
    refused.error(400, "M_TOKEN_INCORRECT");
    assert_eq!(kind_of(&refused), ErrorKind::TokenIncorrect, "3PID-42");
    assert_eq!(
        server.post(url.path(), &body).await.ok(),
        json!({ "success": true })
    );

    let alice = register(&server, Some(auth())).await.unwrap();
    assert_eq!(alice.user_id, "@alice:localhost");
}

/// 3PID-08, 3PID-09, 3PID-12, 3PID-13, REG-29: ruma has a kind for each error.
#[tokio::test]
async fn http_06_ruma_knows_every_error_of_request_token() {
    let error_for = async |server: &TestServer, address: &str| {
        refusal::<mail::Request>(send(server, to_mailbox(address, 1), SendAccessToken::None).await)
    };
    let call = async |server: &TestServer, country: &str, number: &str| {
        let request = to_phone(country, number, 1);
        refusal::<text_message::Request>(send(server, request, SendAccessToken::None).await)
    };
    let server = TestServer::with(&[FLOWS, ("GATEHOUSE_EMAIL_DENIED", ".*@spam.example")]).await;
    assert_eq!(
        error_for(&server, "a@b@c.example").await,
        ErrorKind::InvalidParam
    );
    assert_eq!(
        error_for(&server, "a@spam.example").await,
        ErrorKind::ThreepidDenied
    );
    assert_eq!(
        call(&server, "ZZ", "07400 123456").await,
        ErrorKind::InvalidParam
    );
    assert_eq!(
        call(&server, "NL", "06 12345678").await,
        ErrorKind::ThreepidDenied
    );

    let dummy = TestServer::new().await;
    let kind = ErrorKind::ThreepidMediumNotSupported;
    assert_eq!(error_for(&dummy, "a@b.example").await, kind);
    assert_eq!(call(&dummy, "GB", "07400 123456").await, kind);
    let foreign = json!({ "client_secret": "s", "email": "a@b.example", "send_attempt": 1, "id_server": "matrix.org" });
    let reply = dummy
        .post("/_matrix/client/v3/register/email/requestToken", &foreign)
        .await;
    assert_eq!(kind_of(&reply), ErrorKind::ServerNotTrusted);

    let closed = TestServer::with(&[FLOWS, ("GATEHOUSE_REGISTRATION", "closed")]).await;
    assert_eq!(
        error_for(&closed, "a@b.example").await,
        ErrorKind::Forbidden
    );
}

/// 3PID-05: the mode is `tell`.
#[tokio::test]
async fn threepid_05_ruma_knows_that_an_address_is_in_use() {
    let server = TestServer::with(&[
        FLOWS,
        ("GATEHOUSE_THREEPID_PRIVACY", "tell"),
        ("GATEHOUSE_EMAIL_LINK", "direct"),
    ])
    .await;
    let request = to_mailbox("alice@example.org", 1);
    let sid = send(&server, request, SendAccessToken::None)
        .await
        .unwrap()
        .sid;
    let text = received(&server).await;
    let mut words = text.split_whitespace();
    let link: Uri = words
        .find(|word| word.starts_with("http"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        server
            .get(&link.path_and_query().unwrap().to_string())
            .await
            .status,
        200
    );
    let auth = stage("m.login.email.identity", &sid, None);
    register(&server, Some(auth)).await.unwrap();
    let again = send(
        &server,
        to_mailbox("ALICE@example.org", 2),
        SendAccessToken::None,
    )
    .await;
    assert_eq!(refusal::<mail::Request>(again), ErrorKind::ThreepidInUse);
}
