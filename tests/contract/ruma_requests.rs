//! An independent client: Gatehouse accepts the requests that ruma-client-api builds, and ruma
//! parses the responses.
#![expect(
    clippy::unwrap_used,
    reason = "a request that ruma cannot build ends the test"
)]

use std::{
    borrow::Cow,
    io::{Read, Write},
    net::TcpListener,
};

use ruma_client_api::{
    account::{
        check_registration_token_validity::v1 as validity,
        get_username_availability::v3 as available,
        register::{LoginType, RegistrationKind, v3 as register},
        whoami::v3 as whoami,
    },
    discovery::get_supported_versions as versions,
    uiaa::{
        AuthData, Dummy, ReCaptcha, RegistrationToken, Terms, UiaaInfo, UiaaResponse,
        get_uiaa_fallback_page::v3 as fallback,
    },
};
use ruma_common::{
    api::{
        AppserviceUserIdentity, IncomingResponseExt, OutgoingRequest, OutgoingRequestAppserviceExt,
        OutgoingRequestExt, SupportedVersions,
        auth_scheme::{AuthScheme, SendAccessToken},
        error::{ErrorKind, FromHttpResponseError},
        path_builder::PathBuilder,
    },
    user_id,
};
use test_support::{PASSWORD, TestServer};

const BASE: &str = "https://localhost";
const TERMS: &str =
    r#"{"privacy":{"version":"1","en":{"name":"Privacy","url":"https://example.org/en"}}}"#;

pub(super) type Answer<R> = Result<
    <R as OutgoingRequest>::IncomingResponse,
    FromHttpResponseError<<R as OutgoingRequest>::EndpointError>,
>;

/// Sends a request as ruma builds it for the versions of this server.
pub(super) async fn send<R>(
    server: &TestServer,
    request: R,
    token: SendAccessToken<'_>,
) -> Answer<R>
where
    R: OutgoingRequest,
    for<'a> R::Authentication: AuthScheme<Input<'a> = SendAccessToken<'a>>,
    for<'a> R::PathBuilder: PathBuilder<Input<'a> = Cow<'a, SupportedVersions>>,
{
    let server_versions = Cow::Owned(supported(server).await);
    let request = request
        .try_into_http_request(BASE, token, server_versions)
        .unwrap();
    answer::<R>(server, request).await
}

async fn answer<R: OutgoingRequest>(
    server: &TestServer,
    request: http::Request<Vec<u8>>,
) -> Answer<R> {
    let reply = server.send(request).await;
    let mut response = http::Response::new(reply.body.as_slice());
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers.clone();
    R::IncomingResponse::try_from_http_response(response)
}

/// Requests the versions, as a client does before its first request.
async fn supported(server: &TestServer) -> SupportedVersions {
    let request = versions::Request::new();
    let request = request
        .try_into_http_request::<Vec<u8>>(BASE, SendAccessToken::None, ())
        .unwrap();
    let answer = answer::<versions::Request>(server, request).await.unwrap();
    answer.as_supported_versions()
}

fn sign_up(name: &str) -> register::Request {
    let mut request = register::Request::new();
    request.username = Some(name.to_owned());
    request.password = Some(PASSWORD.to_owned());
    request
}

async fn register(server: &TestServer, request: register::Request) -> Answer<register::Request> {
    send(server, request, SendAccessToken::None).await
}

#[track_caller]
fn challenge(answer: Answer<register::Request>) -> UiaaInfo {
    match answer {
        Err(FromHttpResponseError::Server(UiaaResponse::AuthResponse(info))) => info,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refusal(answer: Answer<register::Request>) -> ErrorKind {
    match answer {
        Err(FromHttpResponseError::Server(UiaaResponse::MatrixError(error))) => {
            error.error_kind().unwrap().clone()
        }
        other => panic!("{other:?}"),
    }
}

/// UIA-11: without a session, ruma sends `"session": null`.
#[tokio::test]
async fn uia_58_rumas_dummy_registers_with_and_without_a_session() {
    let server = TestServer::new().await;
    let mut request = sign_up("alice");
    request.auth = Some(AuthData::Dummy(Dummy::new()));
    let alice = register(&server, request).await.unwrap();
    let token = alice.access_token.unwrap();
    let user = send(
        &server,
        whoami::Request::new(),
        SendAccessToken::IfRequired(&token),
    )
    .await;
    assert_eq!(user.unwrap().user_id, alice.user_id);

    let info = challenge(register(&server, sign_up("bob")).await);
    let mut dummy = Dummy::new();
    dummy.session = info.session;
    let mut request = sign_up("bob");
    request.auth = Some(AuthData::Dummy(dummy));
    request.device_id = Some("LAPTOP".into());
    request.initial_device_display_name = Some("Laptop".to_owned());
    request.refresh_token = true;
    let bob = register(&server, request).await.unwrap();
    assert_eq!(bob.user_id, "@bob:localhost");
    assert_eq!(bob.device_id.unwrap(), "LAPTOP");
    assert!(bob.refresh_token.is_some());

    let mut request = sign_up("carol");
    request.auth = Some(AuthData::Dummy(Dummy::new()));
    request.inhibit_login = true;
    assert_eq!(register(&server, request).await.unwrap().access_token, None);
}

#[tokio::test]
async fn uia_62_rumas_terms_and_registration_token_register() {
    let server = TestServer::with(&[
        (
            "GATEHOUSE_REGISTRATION_FLOWS",
            "m.login.terms+m.login.registration_token",
        ),
        ("GATEHOUSE_TERMS", TERMS),
    ])
    .await;
    let code = server.registration_token(&["--uses", "1"]).await;
    let valid = |code: &str| {
        send(
            &server,
            validity::Request::new(code.to_owned()),
            SendAccessToken::None,
        )
    };
    assert!(valid(&code).await.unwrap().valid);

    let info = challenge(register(&server, sign_up("alice")).await);
    let mut terms = Terms::new();
    terms.session.clone_from(&info.session);
    let mut request = register::Request::new();
    request.auth = Some(AuthData::Terms(terms));
    let after = challenge(register(&server, request.clone()).await);
    assert_eq!((after.completed.len(), &after.session), (1, &info.session));

    let mut token = RegistrationToken::new(code.clone());
    token.session.clone_from(&info.session);
    request.auth = Some(AuthData::RegistrationToken(token));
    let alice = register(&server, request).await.unwrap();
    assert_eq!(alice.user_id, "@alice:localhost");
    assert!(
        !valid(&code).await.unwrap().valid,
        "the token is still valid after its one use"
    );
}

/// UIA-18, UIA-70: after the fallback page is completed, ruma sends only the session.
#[tokio::test]
async fn uia_72_rumas_fallback_acknowledgement_registers() {
    let server = TestServer::with(&[
        ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.terms"),
        ("GATEHOUSE_TERMS", TERMS),
    ])
    .await;
    let info = challenge(register(&server, sign_up("alice")).await);
    let session = info.session.unwrap();
    let acknowledge = || {
        let mut request = register::Request::new();
        request.auth = Some(AuthData::fallback_acknowledgement(session.clone()));
        request
    };
    let early = challenge(register(&server, acknowledge()).await);
    assert!(early.completed.is_empty() && early.auth_error.is_none());

    let page = fallback::Request::new("m.login.terms".into(), session.clone());
    let server_versions = Cow::Owned(supported(&server).await);
    let page = page
        .try_into_http_request::<Vec<u8>>(BASE, SendAccessToken::None, server_versions)
        .unwrap();
    let shown = server.send(page.clone()).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    let submitted = http::Request::post(page.uri())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Vec::new());
    assert_eq!(server.send(submitted.unwrap()).await.status, 200);

    let alice = register(&server, acknowledge()).await.unwrap();
    assert_eq!(alice.user_id, "@alice:localhost");
}

#[tokio::test]
async fn uia_47_rumas_captcha_response_registers() {
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    let verify_url = format!("http://{}/siteverify", provider.local_addr().unwrap());
    let provider_thread = std::thread::spawn(move || one_form(&provider));
    let server = TestServer::with(&[
        ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.recaptcha"),
        ("GATEHOUSE_CAPTCHA_PROVIDER", "recaptcha"),
        ("GATEHOUSE_CAPTCHA_SITE_KEY", "site"),
        ("GATEHOUSE_CAPTCHA_SECRET_KEY", "hush"),
        ("GATEHOUSE_CAPTCHA_VERIFY_URL", &verify_url),
    ])
    .await;
    let mut request = sign_up("alice");
    request.auth = Some(AuthData::ReCaptcha(ReCaptcha::new("ticked".to_owned())));
    let alice = register(&server, request).await.unwrap();
    assert_eq!(alice.user_id, "@alice:localhost");
    assert_eq!(
        provider_thread.join().unwrap(),
        "secret=hush&response=ticked"
    );
}

/// Runs a captcha provider that accepts one request, and returns the form of the request.
fn one_form(provider: &TcpListener) -> String {
    let (mut stream, _) = provider.accept().unwrap();
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let count = stream.read(&mut chunk).unwrap();
        request.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let complete = text.split_once("\r\n\r\n").filter(|(head, body)| {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse().ok())?
            });
            length == Some(body.len())
        });
        if let Some((_, body)) = complete {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\nconnection: close\r\n\r\n{\"success\":true}";
            stream.write_all(answer).unwrap();
            return body.to_owned();
        }
        assert!(
            count > 0,
            "the connection closed inside the request: {text}"
        );
    }
}

/// UIA-28, WHO-01
#[tokio::test]
async fn reg_31_rumas_appservice_registers_and_acts_as_its_users() {
    let server = TestServer::new().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bridge.yaml");
    let yaml = "id: bridge\nurl: null\nas_token: as-secret\nhs_token: hs-secret\nsender_localpart: bridgebot\n\
                namespaces:\n  users:\n    - exclusive: true\n      regex: '@irc_.*'\n  aliases: []\n  rooms: []\n";
    std::fs::write(&file, yaml).unwrap();
    server
        .admin_run(&["appservices", "add", file.to_str().unwrap()])
        .await
        .unwrap();

    let appservice = SendAccessToken::Appservice("as-secret");
    let mut request = register::Request::new();
    request.username = Some("irc_alice".to_owned());
    request.login_type = Some(LoginType::ApplicationService);
    let alice = send(&server, request.clone(), appservice).await.unwrap();
    assert_eq!(alice.user_id, "@irc_alice:localhost");
    assert!(alice.access_token.is_some());

    request.username = Some("alice".to_owned());
    assert_eq!(
        refusal(send(&server, request.clone(), appservice).await),
        ErrorKind::Exclusive
    );
    let wrong = SendAccessToken::Appservice("wrong");
    let kind = refusal(send(&server, request.clone(), wrong).await);
    assert!(matches!(kind, ErrorKind::UnknownToken(_)), "{kind:?}");
    let kind = refusal(send(&server, request, SendAccessToken::None).await);
    assert_eq!(kind, ErrorKind::MissingToken);
    assert_eq!(
        refusal(register(&server, sign_up("irc_bob")).await),
        ErrorKind::Exclusive,
        "REG-12"
    );

    let user = send(&server, whoami::Request::new(), appservice)
        .await
        .unwrap();
    assert_eq!(
        (user.user_id.as_str(), user.device_id),
        ("@bridgebot:localhost", None)
    );
    let identity = AppserviceUserIdentity::new(user_id!("@irc_alice:localhost"));
    let server_versions = Cow::Owned(supported(&server).await);
    let request = whoami::Request::new()
        .try_into_http_request_with_identity::<Vec<u8>>(BASE, appservice, identity, server_versions)
        .unwrap();
    let user = answer::<whoami::Request>(&server, request).await.unwrap();
    assert_eq!(user.user_id, alice.user_id);
}

/// GUEST-01, GUEST-08: a guest registers and becomes a user.
#[tokio::test]
async fn guest_08_rumas_guest_becomes_a_user() {
    let server = TestServer::with(&[("GATEHOUSE_GUESTS", "true")]).await;
    let mut request = register::Request::new();
    request.kind = RegistrationKind::Guest;
    let guest = register(&server, request).await.unwrap();
    let mut request = sign_up(guest.user_id.localpart());
    request.guest_access_token = guest.access_token;
    request.auth = Some(AuthData::Dummy(Dummy::new()));
    let user = register(&server, request).await.unwrap();
    assert_eq!(user.user_id, guest.user_id);
    let token = user.access_token.unwrap();
    let user = send(
        &server,
        whoami::Request::new(),
        SendAccessToken::Always(&token),
    )
    .await;
    assert!(!user.unwrap().is_guest);
}

#[tokio::test]
async fn avail_05_rumas_query_is_percent_decoded_once() {
    let server = TestServer::new().await;
    let check = |name: &str| {
        send(
            &server,
            available::Request::new(name.to_owned()),
            SendAccessToken::None,
        )
    };
    assert!(check("a+b=c/d").await.unwrap().available);
    let mut request = sign_up("a+b=c/d");
    request.auth = Some(AuthData::Dummy(Dummy::new()));
    assert_eq!(
        register(&server, request).await.unwrap().user_id,
        "@a+b=c/d:localhost"
    );
    for (name, kind) in [
        ("a+b=c/d", ErrorKind::UserInUse),
        ("A+B=C/D", ErrorKind::UserInUse),
        ("a b", ErrorKind::InvalidUsername),
        ("é&username=free", ErrorKind::InvalidUsername),
    ] {
        match check(name).await {
            Err(FromHttpResponseError::Server(error)) => {
                assert_eq!(error.error_kind(), Some(&kind), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}
