//! An independent parser: every kind of response parses as its type in ruma-client-api.
#![expect(
    clippy::unwrap_used,
    reason = "a response that ruma cannot parse ends the test"
)]

use std::time::Duration;

use ruma_client_api::{
    account::{
        check_registration_token_validity::v1 as validity,
        get_username_availability::v3 as available, register::v3 as register, whoami::v3 as whoami,
    },
    discovery::get_supported_versions as versions,
    uiaa::{AuthType, LoginTermsParams, UiaaInfo, UiaaResponse},
};
use ruma_common::api::{
    EndpointError, IncomingResponse, IncomingResponseExt, MatrixVersion,
    error::{Error, ErrorKind, FromHttpResponseError, RetryAfter},
};
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

const REGISTER: &str = "/_matrix/client/v3/register";
const AVAILABLE: &str = "/_matrix/client/v3/register/available";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const VALIDITY: &str = "/_matrix/client/v1/register/m.login.registration_token/validity";
const TERMS: &str = r#"{"privacy":{"version":"1.2","en":{"name":"Privacy","url":"https://example.org/en"},"de":{"name":"Datenschutz","url":"https://example.org/de"}}}"#;

/// Parses a response with ruma.
fn read<T: IncomingResponse>(reply: &Reply) -> Result<T, FromHttpResponseError<T::EndpointError>> {
    T::try_from_http_response(as_http(reply))
}

fn as_http(reply: &Reply) -> http::Response<&[u8]> {
    let mut response = http::Response::new(reply.body.as_slice());
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers.clone();
    response
}

/// A successful registration.
#[track_caller]
fn registered(reply: &Reply) -> register::Response {
    read(reply).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

/// The challenge of a registration.
#[track_caller]
fn challenged(reply: &Reply) -> UiaaInfo {
    match read::<register::Response>(reply) {
        Err(FromHttpResponseError::Server(UiaaResponse::AuthResponse(info))) => info,
        other => panic!("{other:?}"),
    }
}

/// The standard error of any endpoint.
#[track_caller]
fn refused(reply: &Reply) -> ErrorKind {
    // Registration may return a challenge instead.
    let of_register = UiaaResponse::from_http_response(as_http(reply));
    assert!(
        matches!(of_register, UiaaResponse::MatrixError(_)),
        "{reply:?}"
    );
    let error = Error::from_http_response(as_http(reply));
    assert_eq!(error.status_code, reply.status);
    error.error_kind().unwrap().clone()
}

#[tokio::test]
async fn reg_21_a_registration_parses_with_and_without_login() {
    let server = TestServer::with(&[("GATEHOUSE_REFRESHABLE_TOKEN_LIFETIME", "1h")]).await;
    let with = |name: &str, more: Value| {
        let mut body =
            json!({ "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };

    let plain = registered(
        &server
            .register(&with("alice", json!({ "device_id": "PHONE" })))
            .await,
    );
    assert_eq!(plain.user_id, "@alice:localhost");
    assert_eq!(
        plain
            .device_id
            .as_deref()
            .map(ruma_common::DeviceId::as_str),
        Some("PHONE")
    );
    assert!(plain.access_token.is_some());
    assert_eq!((plain.refresh_token, plain.expires_in), (None, None));

    let body = with("bob", json!({ "refresh_token": true }));
    let refreshable = registered(&server.register(&body).await);
    assert!(refreshable.refresh_token.is_some());
    assert_eq!(refreshable.expires_in, Some(Duration::from_hours(1)));

    let body = with(
        "carol",
        json!({ "inhibit_login": true, "refresh_token": true }),
    );
    let silent = registered(&server.register(&body).await);
    assert_eq!(silent.user_id, "@carol:localhost");
    assert_eq!((silent.access_token, silent.device_id), (None, None));
    assert_eq!((silent.refresh_token, silent.expires_in), (None, None));
}

#[tokio::test]
async fn guest_01_a_guest_parses_with_is_guest() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let guest = registered(
        &server
            .post(&format!("{REGISTER}?kind=guest"), &json!({}))
            .await,
    );
    let token = guest.access_token.unwrap();
    let user: whoami::Response = read(&server.get_as(&token, WHOAMI).await).unwrap();
    assert_eq!(
        (user.user_id, user.device_id, user.is_guest),
        (guest.user_id, guest.device_id, true)
    );

    let user = server.sign_up("alice").await;
    let reply = server
        .get_as(user["access_token"].as_str().unwrap(), WHOAMI)
        .await;
    let user: whoami::Response = read(&reply).unwrap();
    assert_eq!(user.user_id, "@alice:localhost");
    assert!(user.device_id.is_some() && !user.is_guest);
}

/// UIA-03, UIA-04, UIA-05, UIA-06, UIA-07, UIA-61
#[tokio::test]
async fn uia_02_a_challenge_parses_at_every_step() {
    let flows = "m.login.terms+m.login.registration_token+m.login.dummy";
    let settings = [
        ("GATEHOUSE_REGISTRATION_FLOWS", flows),
        ("GATEHOUSE_TERMS", TERMS),
    ];
    let server = TestServer::with(&settings).await;
    let token = server.registration_token(&[]).await;
    let stages = [
        AuthType::Terms,
        AuthType::RegistrationToken,
        AuthType::Dummy,
    ];

    let first = challenged(
        &server
            .register(&json!({ "username": "alice", "password": PASSWORD }))
            .await,
    );
    assert_eq!(first.flows.len(), 1);
    assert_eq!(first.flows[0].stages, stages);
    assert!(first.completed.is_empty() && first.auth_error.is_none());
    let session = first.session.clone().unwrap();

    let terms: LoginTermsParams = first.params(&AuthType::Terms).unwrap().unwrap();
    let policy = &terms.policies["privacy"];
    assert_eq!(
        (policy.version.as_str(), policy.translations.len()),
        ("1.2", 2)
    );
    assert_eq!(policy.translations["de"].url, "https://example.org/de");

    let stage = |name: &str| json!({ "auth": { "type": name, "session": session } });
    let second = challenged(&server.register(&stage("m.login.terms")).await);
    assert_eq!(second.completed, stages[..1]);
    assert_eq!(second.session, first.session);
    assert!(second.auth_error.is_none());

    let mut wrong = stage("m.login.registration_token");
    wrong["auth"]["token"] = "wrong".into();
    let third = challenged(&server.register(&wrong).await);
    assert_eq!(third.completed, stages[..1]);
    let error = third.auth_error.unwrap();
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert!(!error.message.is_empty());

    wrong["auth"]["token"] = token.into();
    let fourth = challenged(&server.register(&wrong).await);
    assert_eq!(fourth.completed, stages[..2]);
    assert!(fourth.auth_error.is_none());

    let done = registered(&server.register(&stage("m.login.dummy")).await);
    assert_eq!(done.user_id, "@alice:localhost");
}

/// UIA-12, UIA-27, UIA-47: ruma has a kind for each errcode inside a challenge.
#[tokio::test]
async fn uia_08_ruma_knows_every_errcode_inside_a_challenge() {
    let server = TestServer::with(&[
        (
            "GATEHOUSE_REGISTRATION_FLOWS",
            "m.login.recaptcha+m.login.dummy m.login.registration_token",
        ),
        ("GATEHOUSE_CAPTCHA_PROVIDER", "turnstile"),
        ("GATEHOUSE_CAPTCHA_SITE_KEY", "site"),
        ("GATEHOUSE_CAPTCHA_SECRET_KEY", "secret"),
    ])
    .await;
    let (challenge, session) = server.begin(&json!({})).await;
    assert_eq!(
        challenge["params"]["m.login.recaptcha"]["public_key"],
        "site"
    );
    let auth = |kind: &str| json!({ "auth": { "type": kind, "session": session } });
    let unknown = json!({ "auth": { "type": "m.login.dummy", "session": "unknown" } });
    for (body, kind) in [
        (unknown, ErrorKind::Unknown),
        (auth("x.y"), ErrorKind::Unrecognized),
        (auth("m.login.recaptcha"), ErrorKind::CaptchaNeeded),
        (auth("m.login.registration_token"), ErrorKind::MissingParam),
    ] {
        let info = challenged(&server.register(&body).await);
        assert_eq!(info.auth_error.unwrap().kind, kind, "{body}");
    }
}

#[tokio::test]
async fn http_06_ruma_knows_every_errcode_of_register() {
    let server = TestServer::with(&[("GATEHOUSE_PASSWORD_MIN_SCORE", "3")]).await;
    server.sign_up("alice").await;
    let long = "x".repeat(100_000);
    for (body, status, kind) in [
        (r#"{"username":"alice"}"#, 400, ErrorKind::UserInUse),
        (r#"{"username":"a b"}"#, 400, ErrorKind::InvalidUsername),
        (r#"{"password":"a"}"#, 400, ErrorKind::WeakPassword),
        (
            r#"{"auth":{"type":"m.login.dummy"}}"#,
            400,
            ErrorKind::MissingParam,
        ),
        (r#"{"username":5}"#, 400, ErrorKind::BadJson),
        ("[]", 400, ErrorKind::BadJson),
        ("{", 400, ErrorKind::NotJson),
        (long.as_str(), 413, ErrorKind::TooLarge),
    ] {
        let reply = server.post_text(REGISTER, body).await;
        let excerpt = &body[..body.len().min(40)];
        assert_eq!(
            (reply.status.as_u16(), refused(&reply)),
            (status, kind),
            "{excerpt}"
        );
    }
    let reply = server
        .post(&format!("{REGISTER}?kind=admin"), &json!({}))
        .await;
    assert_eq!(refused(&reply), ErrorKind::InvalidParam);
    let reply = server
        .post(&format!("{REGISTER}?kind=guest"), &json!({}))
        .await;
    assert_eq!(refused(&reply), ErrorKind::Forbidden, "GUEST-04");
}

/// AVAIL-02, AVAIL-03, AVAIL-07
#[tokio::test]
async fn avail_01_availability_and_its_errors_parse() {
    let server = TestServer::new().await;
    server.sign_up("alice").await;
    let free: available::Response =
        read(&server.get(&format!("{AVAILABLE}?username=bob")).await).unwrap();
    assert!(free.available);
    for (query, kind) in [
        ("?username=alice", ErrorKind::UserInUse),
        ("?username=a,b", ErrorKind::InvalidUsername),
        ("", ErrorKind::MissingParam),
    ] {
        let reply = server.get(&format!("{AVAILABLE}{query}")).await;
        assert_eq!(refused(&reply), kind, "{query}");
    }
}

#[tokio::test]
async fn rtok_01_valid_and_invalid_tokens_parse() {
    let server = TestServer::new().await;
    let token = server.registration_token(&["--uses", "1"]).await;
    for (token, valid) in [(token.as_str(), true), ("unknown", false)] {
        let reply = server.get(&format!("{VALIDITY}?token={token}")).await;
        let answer: validity::Response = read(&reply).unwrap();
        assert_eq!(answer.valid, valid);
    }
}

/// REG-29, RTOK-01
#[tokio::test]
async fn reg_29_a_closed_server_is_forbidden_everywhere() {
    let server = TestServer::with(&[("GATEHOUSE_REGISTRATION", "closed")]).await;
    for reply in [
        server.register(&json!({})).await,
        server.get(&format!("{AVAILABLE}?username=bob")).await,
        server.get(&format!("{VALIDITY}?token=x")).await,
    ] {
        assert_eq!(
            (reply.status.as_u16(), refused(&reply)),
            (403, ErrorKind::Forbidden)
        );
    }
}

/// VER-02
#[tokio::test]
async fn ver_01_ruma_knows_every_version() {
    let server = TestServer::new().await;
    let answer: versions::Response = read(&server.get("/_matrix/client/versions").await).unwrap();
    let known = answer.as_supported_versions();
    for version in [
        MatrixVersion::V1_0,
        MatrixVersion::V1_1,
        MatrixVersion::V1_11,
    ] {
        assert!(known.versions.contains(&version), "{version:?}");
    }
    for version in &answer.versions {
        assert!(version.parse::<MatrixVersion>().is_ok(), "{version}");
    }
    assert_eq!(answer.unstable_features.len(), 3, "VER-03");
}

/// TOK-05, TOK-06
#[tokio::test]
async fn tok_04_errors_about_a_bad_token_parse() {
    let server = TestServer::with(&[("GATEHOUSE_TOKEN_LIFETIME", "1h")]).await;
    let token = server.sign_up("alice").await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let soft_logout = |reply: &Reply| match refused(reply) {
        ErrorKind::UnknownToken(data) => data.soft_logout,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&server.get(WHOAMI).await), ErrorKind::MissingToken);
    assert!(!soft_logout(&server.get_as("junk", WHOAMI).await));
    server.advance(Duration::from_secs(3601));
    assert!(soft_logout(&server.get_as(&token, WHOAMI).await));
}

#[tokio::test]
async fn http_08_unknown_paths_are_unrecognized_to_ruma_too() {
    let server = TestServer::new().await;
    for (path, status) in [("/_matrix/client/v3/unknown", 404), (REGISTER, 405)] {
        let reply = server.get(path).await;
        assert_eq!(
            (reply.status.as_u16(), refused(&reply)),
            (status, ErrorKind::Unrecognized)
        );
        // Only the 404 means that the server does not implement the endpoint.
        let error = Error::from_http_response(as_http(&reply));
        assert_eq!(error.is_endpoint_not_implemented(), status == 404, "{path}");
    }
}

/// HTTP-20, HTTP-21
#[tokio::test]
async fn http_19_a_limit_tells_ruma_when_to_retry() {
    let server = TestServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    let mut last = server.get(&format!("{AVAILABLE}?username=bob")).await;
    for _ in 0..200 {
        if last.status == 429 {
            break;
        }
        last = server.get(&format!("{AVAILABLE}?username=bob")).await;
    }
    let ErrorKind::LimitExceeded(data) = refused(&last) else {
        panic!("{last:?}");
    };
    let Some(RetryAfter::Delay(delay)) = data.retry_after else {
        panic!("{data:?}");
    };
    assert!(delay >= Duration::from_secs(1) && delay < Duration::from_hours(1));
    server.advance(delay);
    assert_eq!(
        server
            .get(&format!("{AVAILABLE}?username=bob"))
            .await
            .status,
        200
    );
}
