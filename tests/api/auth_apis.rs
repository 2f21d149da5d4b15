//! The setting `GATEHOUSE_AUTH_APIS`: the endpoints in each mode, and the tokens after a change of the mode (OA-145).

use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use super::support::{ENDPOINTS, add_appservice, post_as, request};

const MODES: [&str; 3] = ["legacy", "both", "oauth"];
const LOGIN: &str = "/_matrix/client/v3/login";
const REGISTER: &str = "/_matrix/client/v3/register";
const V3: &str = "/_matrix/client/v3";
const DEVICE: &str = "PHONE";

/// The paths of the account API, below `/_matrix/client/{version}`, that do not exist in the mode `oauth`, with their methods.
const ACCOUNT_API: [(&str, &str); 17] = [
    ("POST", "/account/3pid"),
    ("POST", "/account/3pid/add"),
    ("POST", "/account/3pid/delete"),
    ("POST", "/account/3pid/email/requestToken"),
    ("POST", "/account/3pid/msisdn/requestToken"),
    ("POST", "/account/deactivate"),
    ("POST", "/account/password"),
    ("POST", "/account/password/email/requestToken"),
    ("POST", "/account/password/msisdn/requestToken"),
    ("GET POST", "/auth/m.login.terms/fallback/web"),
    ("POST", "/delete_devices"),
    ("DELETE", "/devices/DEVICE"),
    ("GET POST", "/login"),
    ("GET", "/register/available"),
    ("POST", "/register/email/requestToken"),
    ("POST", "/register/msisdn/requestToken"),
    ("GET", "/register/m.login.registration_token/validity"),
];

async fn start(mode: &str, data: &std::path::Path) -> TestServer {
    TestServer::in_directory(&[("GATEHOUSE_AUTH_APIS", mode)], data).await
}

async fn in_mode(mode: &str) -> TestServer {
    TestServer::with(&[("GATEHOUSE_AUTH_APIS", mode)]).await
}

fn is_unknown(reply: &Reply) -> bool {
    reply.status == 404 && reply.text().contains("M_UNRECOGNIZED")
}

/// Whether the endpoint exists in the mode.
fn exists(mode: &str, method: &str, path: &str) -> bool {
    let is_page = path.contains("auth_metadata") || path.starts_with("/.well-known/openid");
    let pages = ["/account", "/link", "/oauth2/"];
    if is_page || pages.iter().any(|start| path.starts_with(start)) {
        // Without a homeserver there is no introspection.
        return mode != "legacy" && path != "/oauth2/introspect";
    }
    let own = [
        "/_matrix/client/r0",
        "/_matrix/client/v3",
        "/_matrix/client/v1",
    ];
    let path = own.iter().find_map(|prefix| path.strip_prefix(prefix));
    let is_account_api = ACCOUNT_API
        .iter()
        .any(|(methods, own)| path == Some(*own) && methods.split(' ').any(|own| own == method));
    !is_account_api || mode != "oauth"
}

#[tokio::test]
async fn oa_145_a_mode_decides_which_endpoints_exist() {
    for mode in MODES {
        let server = in_mode(mode).await;
        for (path, methods) in ENDPOINTS {
            for method in *methods {
                let reply = server.send(request(method, path, &[], b"{}")).await;
                let expected = exists(mode, method, path);
                assert_eq!(!is_unknown(&reply), expected, "{mode}: {method} {path}");
            }
        }
    }
}

/// Every browser may ask for the CORS headers of a path, and the answer does not depend on the mode.
#[tokio::test]
async fn oa_145_a_preflight_has_the_same_answer_in_every_mode() {
    for mode in MODES {
        let server = in_mode(mode).await;
        for path in ["/_matrix/client/v3/account/password", "/oauth2/token"] {
            let reply = server.send(request("OPTIONS", path, &[], b"")).await;
            assert_eq!(reply.status, 200, "{mode}: {path}");
        }
    }
}

/// A method that the path does not support.
#[tokio::test]
async fn oa_145_an_absent_endpoint_has_no_other_method() {
    for (mode, path) in [
        ("legacy", "/oauth2/token"),
        ("oauth", "/_matrix/client/v3/account/password"),
    ] {
        let server = in_mode(mode).await;
        server.get(path).await.error(404, "M_UNRECOGNIZED");
        let server = in_mode("both").await;
        server.get(path).await.error(405, "M_UNRECOGNIZED");
    }
}

/// The account API registers no users and no guests. REG-32: an application service registers users without a login.
#[tokio::test]
async fn oa_145_only_pages_register_users_in_mode_oauth() {
    let server = in_mode("oauth").await;
    let user = json!({ "username": "alice", "password": PASSWORD });
    server.register(&user).await.error(403, "M_FORBIDDEN");
    server.register(&json!({})).await.error(403, "M_FORBIDDEN");
    let guest = server
        .post(&format!("{REGISTER}?kind=guest"), &json!({}))
        .await;
    guest.error(403, "M_FORBIDDEN");
    let flows = server.get(LOGIN).await;
    flows.error(404, "M_UNRECOGNIZED");
}

/// REG-32
#[tokio::test]
async fn oa_145_application_services_register_without_login() {
    let server = in_mode("oauth").await;
    let token = add_appservice(&server, "irc", &[("@_irc_.*", true)]).await;
    let body = |more: Value| {
        let mut body = json!({ "type": "m.login.application_service", "username": "_irc_bob" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for more in [json!({}), json!({ "inhibit_login": false })] {
        let reply = post_as(&server, &token, REGISTER, &body(more)).await;
        reply.error(400, "M_APPSERVICE_LOGIN_UNSUPPORTED");
    }
    let silent = body(json!({ "inhibit_login": true }));
    let answer = post_as(&server, &token, REGISTER, &silent).await.ok();
    assert_eq!(answer["user_id"], "@_irc_bob:localhost");
    let identifier = json!({ "type": "m.id.user", "user": "_irc_bob" });
    let login = body(json!({ "identifier": identifier }));
    let reply = post_as(&server, &token, LOGIN, &login).await;
    reply.error(400, "M_APPSERVICE_LOGIN_UNSUPPORTED");
    let login =
        json!({ "type": "m.login.password", "identifier": identifier, "password": PASSWORD });
    server
        .post(LOGIN, &login)
        .await
        .error(404, "M_UNRECOGNIZED");
}

/// A change of the mode ends no session of the account API.
#[tokio::test]
async fn oa_145_older_tokens_stay_valid_in_mode_oauth() {
    let directory = tempfile::tempdir().unwrap();
    let before = start("both", directory.path()).await;
    let body = json!({
        "username": "alice", "password": PASSWORD, "device_id": DEVICE, "refresh_token": true,
        "auth": { "type": "m.login.dummy" },
    });
    let tokens = before.register(&body).await.ok();
    drop(before);
    let server = start("oauth", directory.path()).await;
    let refreshed = json!({ "refresh_token": tokens["refresh_token"] });
    let tokens = server.post(&format!("{V3}/refresh"), &refreshed).await.ok();
    let token = tokens["access_token"].as_str().unwrap();
    assert_eq!(server.whoami(token).await.ok()["device_id"], DEVICE);
    let devices = server.get_as(token, &format!("{V3}/devices")).await.ok();
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1);
    let capabilities = server
        .get_as(token, &format!("{V3}/capabilities"))
        .await
        .ok();
    for name in ["m.change_password", "m.3pid_changes"] {
        assert_eq!(
            capabilities["capabilities"][name]["enabled"], false,
            "{name}"
        );
    }
    post_as(
        &server,
        token,
        &format!("{V3}/account/password"),
        &json!({}),
    )
    .await
    .error(404, "M_UNRECOGNIZED");
    post_as(&server, token, &format!("{V3}/logout/all"), &json!({}))
        .await
        .ok();
    server.whoami(token).await.error(401, "M_UNKNOWN_TOKEN");
}
