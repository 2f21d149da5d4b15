//! An independent client of identity servers: Gatehouse accepts ruma's requests to bind and unbind,
//! and ruma parses the responses.

use ruma_client_api::account::{
    IdentityServerInfo, ThirdPartyIdRemovalStatus, bind_3pid::v3 as bind, unbind_3pid::v3 as unbind,
};
use ruma_common::{
    ClientSecret, SessionId,
    api::{
        auth_scheme::SendAccessToken,
        error::{ErrorKind, FromHttpResponseError},
    },
    thirdparty::Medium,
};

use super::ruma_requests::send;
use crate::{
    api::support::text,
    flows::support::{
        identity_server::{IdServer, TOKEN},
        threepid_helpers::ALICE,
    },
};

#[tokio::test]
async fn ids_10_an_address_is_bound_and_unbound_by_ruma() {
    let id_server = IdServer::start("id.example.org");
    let server = IdServer::test_server(&[&id_server], &[]).await;
    let alice = server.sign_up("alice").await;
    let token = SendAccessToken::IfRequired(text(&alice, "access_token"));
    let request = || {
        bind::Request::new(
            ClientSecret::parse("secret").unwrap(),
            IdentityServerInfo::new(id_server.name.clone(), TOKEN.to_owned()),
            SessionId::parse("1").unwrap(),
        )
    };
    let refused = send(&server, request(), token).await;
    let Err(FromHttpResponseError::Server(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.status_code, 404, "IDS-07");
    let code = error.error_kind().map(ErrorKind::errcode);
    assert_eq!(code.unwrap().as_str(), "M_NO_VALID_SESSION");
    id_server.session("1", "secret", "email", ALICE);
    send(&server, request(), token).await.unwrap();
    for expected in [
        ThirdPartyIdRemovalStatus::Success,
        ThirdPartyIdRemovalStatus::NoSupport,
    ] {
        let request = unbind::Request::new(Medium::Email, ALICE.to_owned());
        let answer = send(&server, request, token).await.unwrap();
        assert_eq!(answer.id_server_unbind_result, expected);
    }
    assert!(id_server.bindings().is_empty());
}
