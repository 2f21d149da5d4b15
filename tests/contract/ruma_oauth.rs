//! ruma reads the metadata of the OAuth 2.0 API.

use ruma_client_api::discovery::get_authorization_server_metadata::v1::{
    AccountManagementAction, CodeChallengeMethod, GrantType, Prompt, Response, ResponseMode,
    ResponseType,
};
use ruma_common::api::IncomingResponseExt;
use test_support::TestServer;

use crate::flows::support::oauth_pages::OAUTH;

/// OA-01, OA-03: matrix-rust-sdk accepts the metadata with the same checks.
#[tokio::test]
async fn oa_01_the_metadata_parses_and_its_urls_are_valid() {
    let public = ("GATEHOUSE_PUBLIC_URL", "https://example.org/base");
    let server = TestServer::with(&[OAUTH, public]).await;
    let reply = server.get("/_matrix/client/v1/auth_metadata").await;
    let mut response = http::Response::new(reply.body.as_slice());
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers.clone();
    let parsed = Response::try_from_http_response(response).unwrap();
    let metadata = parsed.metadata.deserialize().unwrap();
    metadata.validate_urls().unwrap();
    assert_eq!(metadata.issuer.as_str(), "https://example.org/base/");
    assert!(metadata.registration_endpoint.is_some());
    assert!(metadata.device_authorization_endpoint.is_some());
    let actions = [
        AccountManagementAction::Profile,
        AccountManagementAction::DevicesList,
        AccountManagementAction::DeviceView,
        AccountManagementAction::DeviceDelete,
        AccountManagementAction::AccountDeactivate,
    ];
    assert_eq!(
        metadata.account_management_actions_supported,
        actions.into()
    );
    let grants = [
        GrantType::AuthorizationCode,
        GrantType::RefreshToken,
        GrantType::DeviceCode,
    ];
    assert_eq!(metadata.grant_types_supported, grants.into());
    assert_eq!(
        metadata.response_types_supported,
        [ResponseType::Code].into()
    );
    let modes = [ResponseMode::Query, ResponseMode::Fragment];
    assert_eq!(metadata.response_modes_supported, modes.into());
    let challenges = [CodeChallengeMethod::S256].into();
    assert_eq!(metadata.code_challenge_methods_supported, challenges);
    let prompts = metadata.prompt_values_supported;
    assert!(prompts.contains(&Prompt::Create));
}
