//! An independent client that manages the 3PIDs of its account: Gatehouse accepts ruma's requests,
//! and ruma parses the responses.
#![expect(
    clippy::unwrap_used,
    reason = "a request that ruma cannot build ends the test"
)]

use ruma_client_api::{
    account::{
        ThirdPartyIdRemovalStatus, add_3pid::v3 as add, delete_3pid::v3 as delete,
        get_3pids::v3 as list,
    },
    uiaa::{AuthData, AuthType, Password, UiaaInfo, UiaaResponse, UserIdentifier},
};
use ruma_common::{
    ClientSecret, SessionId,
    api::{
        auth_scheme::SendAccessToken,
        error::{ErrorKind, FromHttpResponseError},
    },
    thirdparty::Medium,
};
use serde_json::Value;
use test_support::{PASSWORD, TestServer};

use super::ruma_requests::{Answer, send};
use crate::api::account_threepids::{
    ALICE, NUMBER, add_threepid, request_validation, test_server, user_token, validated_credentials,
};

/// The request that ruma builds from these credentials.
fn addition(creds: &Value) -> add::Request {
    let secret = ClientSecret::parse(creds["client_secret"].as_str().unwrap()).unwrap();
    let sid = SessionId::parse(creds["sid"].as_str().unwrap()).unwrap();
    add::Request::new(secret, sid)
}

#[track_caller]
fn challenge(answer: Answer<add::Request>) -> UiaaInfo {
    match answer {
        Err(FromHttpResponseError::Server(UiaaResponse::AuthResponse(info))) => info,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refusal(answer: Answer<add::Request>) -> ErrorKind {
    match answer {
        Err(FromHttpResponseError::Server(UiaaResponse::MatrixError(error))) => {
            error.error_kind().unwrap().clone()
        }
        other => panic!("{other:?}"),
    }
}

fn password(text: &str, session: Option<String>) -> AuthData {
    let identifier = UserIdentifier::Matrix(ruma_client_api::uiaa::MatrixUserIdentifier::new(
        "alice".to_owned(),
    ));
    let mut password = Password::new(identifier, text.to_owned());
    password.session = session;
    AuthData::Password(password)
}

/// UIA-40, UIA-41
#[tokio::test]
async fn acc3_03_ruma_adds_lists_and_removes_an_address() {
    let server: TestServer = test_server(&[]).await;
    let token = user_token(&server, "alice").await;
    let token = SendAccessToken::IfRequired(&token);
    let creds = validated_credentials(&server, ALICE, "secret").await;
    let info = challenge(send(&server, addition(&creds), token).await);
    assert_eq!(info.flows[0].stages, [AuthType::Password]);
    let mut request = addition(&creds);
    request.auth = Some(password("wrong", info.session.clone()));
    let wrong = challenge(send(&server, request, token).await);
    assert_eq!(wrong.auth_error.unwrap().kind, ErrorKind::Forbidden);
    let mut request = addition(&creds);
    request.auth = Some(password(PASSWORD, info.session));
    send(&server, request, token).await.unwrap();

    let listed = send(&server, list::Request::new(), token).await.unwrap();
    let [own] = &listed.threepids[..] else {
        panic!("{:?}", listed.threepids);
    };
    assert_eq!(
        (own.medium.clone(), own.address.as_str()),
        (Medium::Email, ALICE)
    );
    assert_eq!(i64::from(own.added_at.get()), test_support::NOW);

    let request = delete::Request::new(Medium::Email, ALICE.to_owned());
    let removed = send(&server, request, token).await.unwrap();
    let expected = ThirdPartyIdRemovalStatus::NoSupport;
    assert_eq!(removed.id_server_unbind_result, expected);
    let listed = send(&server, list::Request::new(), token).await.unwrap();
    assert!(listed.threepids.is_empty());
}

/// ACC3-04: ruma has a kind for each error.
#[tokio::test]
async fn acc3_03_ruma_knows_every_error_of_an_addition() {
    let server = test_server(&[]).await;
    let (alice, bob) = (
        user_token(&server, "alice").await,
        user_token(&server, "bob").await,
    );
    let token = SendAccessToken::IfRequired(&alice);
    let pending = request_validation(&server, ALICE, "secret").await;
    let kind = refusal(send(&server, addition(&pending), token).await);
    assert_eq!(kind, ErrorKind::ThreepidAuthFailed);
    let creds = validated_credentials(&server, NUMBER, "secret").await;
    add_threepid(&server, &bob, NUMBER).await;
    let mut request = addition(&creds);
    request.auth = Some(password(PASSWORD, None));
    let kind = refusal(send(&server, request, token).await);
    assert_eq!(kind, ErrorKind::ThreepidInUse);
}
