//! An independent client that logs in, refreshes, lists its devices and logs out: Gatehouse accepts
//! ruma's requests, and ruma parses the responses.
#![expect(
    clippy::unwrap_used,
    reason = "a request that ruma cannot build ends the test"
)]

use std::time::Duration;

use ruma_client_api::{
    device::{
        get_device::v3 as device, get_devices::v3 as devices, update_device::v3 as update_device,
    },
    discovery::{discover_homeserver, get_capabilities::v3 as capabilities},
    session::{
        get_login_types::v3::{self as login_types, LoginType},
        login::v3::{self as login, LoginInfo, Password},
        logout::v3 as logout,
        logout_all::v3 as logout_all,
        refresh_token::v3 as refresh,
    },
    uiaa::{EmailUserIdentifier, MatrixUserIdentifier, UserIdentifier},
};
use ruma_common::api::{
    IncomingResponseExt, OutgoingRequest,
    auth_scheme::SendAccessToken,
    error::{Error, ErrorKind, FromHttpResponseError},
};
use test_support::{PASSWORD, TestServer};

use super::ruma_requests::{Answer, send};

const HOUR: (&str, &str) = ("GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME", "1h");

/// The kind of an error.
#[track_caller]
fn refusal<R: OutgoingRequest<EndpointError = Error>>(answer: Answer<R>) -> ErrorKind {
    match answer {
        Err(FromHttpResponseError::Server(error)) => error.error_kind().unwrap().clone(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the request was not rejected"),
    }
}

fn as_alice(password: &str) -> login::Request {
    let identifier = UserIdentifier::Matrix(MatrixUserIdentifier::new("alice".to_owned()));
    let password = Password::new(identifier, password.to_owned());
    login::Request::new(LoginInfo::Password(password))
}

async fn log_in(server: &TestServer, request: login::Request) -> Answer<login::Request> {
    send(server, request, SendAccessToken::None).await
}

#[tokio::test]
async fn login_03_ruma_logs_in_with_a_listed_type() {
    let server = TestServer::with(&[HOUR]).await;
    server.sign_up("alice").await;
    let listed = send(&server, login_types::Request::new(), SendAccessToken::None);
    let listed = listed.await.unwrap().flows;
    assert!(matches!(
        listed[..],
        [LoginType::Password(_), LoginType::ApplicationService(_)]
    ));
    let plain = log_in(&server, as_alice(PASSWORD)).await.unwrap();
    assert_eq!(plain.user_id, "@alice:localhost");
    assert_eq!((plain.refresh_token, plain.expires_in), (None, None));
    let mut request = as_alice(PASSWORD);
    request.device_id = Some("LAPTOP".into());
    request.refresh_token = true;
    let laptop = log_in(&server, request).await.unwrap();
    assert_eq!(laptop.device_id, "LAPTOP");
    assert!(laptop.refresh_token.is_some());
    assert_eq!(laptop.expires_in, Some(Duration::from_hours(1)));
    for wrong in [
        as_alice("wrong"),
        login::Request::new(LoginInfo::Password(Password::new(
            UserIdentifier::Email(EmailUserIdentifier::new("alice@example.org".to_owned())),
            PASSWORD.to_owned(),
        ))),
    ] {
        let kind = refusal::<login::Request>(log_in(&server, wrong).await);
        assert!(matches!(kind, ErrorKind::Forbidden), "{kind:?}");
    }
}

#[tokio::test]
async fn refr_01_ruma_refreshes() {
    let server = TestServer::with(&[HOUR]).await;
    server.sign_up("alice").await;
    let mut request = as_alice(PASSWORD);
    request.refresh_token = true;
    let first = log_in(&server, request).await.unwrap();
    let request = refresh::Request::new(first.refresh_token.unwrap());
    let next = send(&server, request, SendAccessToken::None).await.unwrap();
    assert_eq!(next.expires_in_ms, Some(Duration::from_hours(1)));
    assert!(next.refresh_token.is_some() && next.access_token != first.access_token);
    let request = refresh::Request::new("junk".to_owned());
    let kind = refusal::<refresh::Request>(send(&server, request, SendAccessToken::None).await);
    let ErrorKind::UnknownToken(unknown) = kind else {
        panic!("{kind:?}");
    };
    assert!(!unknown.soft_logout);
    server.advance(Duration::from_hours(1));
    let token = SendAccessToken::IfRequired(&next.access_token);
    let answer = send(&server, devices::Request::new(), token).await;
    let kind = refusal::<devices::Request>(answer);
    let ErrorKind::UnknownToken(unknown) = kind else {
        panic!("{kind:?}");
    };
    assert!(unknown.soft_logout);
}

#[tokio::test]
async fn dev_01_ruma_lists_shows_and_renames_devices() {
    let server = TestServer::new().await;
    server.sign_up("alice").await;
    let mut request = as_alice(PASSWORD);
    request.device_id = Some("a/b c".into());
    request.initial_device_display_name = Some("Laptop".to_owned());
    let laptop = log_in(&server, request).await.unwrap();
    let token = SendAccessToken::IfRequired(&laptop.access_token);
    let listed = send(&server, devices::Request::new(), token).await.unwrap();
    assert_eq!(listed.devices.len(), 2);
    let mut request = update_device::Request::new("a/b c".into());
    request.display_name = Some("Old laptop".to_owned());
    send(&server, request, token).await.unwrap();
    let shown = send(&server, device::Request::new("a/b c".into()), token).await;
    let shown = shown.unwrap().device;
    assert_eq!(shown.device_id, "a/b c");
    assert_eq!(shown.display_name.as_deref(), Some("Old laptop"));
    let request = device::Request::new("NONE".into());
    let kind = refusal::<device::Request>(send(&server, request, token).await);
    assert!(matches!(kind, ErrorKind::NotFound), "{kind:?}");
}

#[tokio::test]
async fn out_01_ruma_logs_out() {
    let server = TestServer::new().await;
    server.sign_up("alice").await;
    let phone = log_in(&server, as_alice(PASSWORD)).await.unwrap();
    let token = SendAccessToken::IfRequired(&phone.access_token);
    send(&server, logout::Request::new(), token).await.unwrap();
    let kind = refusal::<logout::Request>(send(&server, logout::Request::new(), token).await);
    assert!(matches!(kind, ErrorKind::UnknownToken(_)), "{kind:?}");
    let phone = log_in(&server, as_alice(PASSWORD)).await.unwrap();
    let token = SendAccessToken::IfRequired(&phone.access_token);
    send(&server, logout_all::Request::new(), token)
        .await
        .unwrap();
    let kind = refusal::<devices::Request>(send(&server, devices::Request::new(), token).await);
    assert!(matches!(kind, ErrorKind::UnknownToken(_)), "{kind:?}");
}

#[tokio::test]
async fn cap_01_ruma_reads_the_capabilities() {
    let server = TestServer::with(&[("GATEHOUSE_3PID_CHANGES", "off")]).await;
    server.sign_up("alice").await;
    let alice = log_in(&server, as_alice(PASSWORD)).await.unwrap();
    let token = SendAccessToken::IfRequired(&alice.access_token);
    let answer = send(&server, capabilities::Request::new(), token).await;
    let answer = answer.unwrap().capabilities;
    assert!(answer.change_password.enabled && !answer.thirdparty_id_changes.enabled);
    assert!(!answer.get_login_token.enabled);
}

#[tokio::test]
async fn wk_01_ruma_finds_the_homeserver() {
    let server = TestServer::with(&[
        ("GATEHOUSE_WELL_KNOWN_HOMESERVER", "https://m.example.org"),
        (
            "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER",
            "https://is.example.org",
        ),
    ])
    .await;
    let reply = server.get("/.well-known/matrix/client").await;
    let response = http::Response::new(reply.body.as_slice());
    let found = discover_homeserver::Response::try_from_http_response(response).unwrap();
    assert_eq!(found.homeserver.base_url, "https://m.example.org");
    let identity_server = found.identity_server.unwrap();
    assert_eq!(identity_server.base_url, "https://is.example.org");
}
