//! Helpers for the tests of all endpoints.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod endpoints;
pub(crate) mod homeserver;

use std::collections::BTreeSet;

use gatehouse_local::template::Template;
use http::{Method, Request};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

pub(crate) use self::endpoints::{ENDPOINTS, WITHOUT_LIMIT};

/// The endpoint that returns the user of an access token.
pub(crate) const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

/// A request with headers and a body.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Request<Vec<u8>> {
    let method: Method = method.parse().unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_vec()).unwrap()
}

/// Sends a `POST` with an access token.
pub(crate) async fn post_as(server: &TestServer, token: &str, path: &str, body: &Value) -> Reply {
    send_as(server, token, ("POST", path), body.to_string().as_bytes()).await
}

/// Sends a request with an access token.
pub(crate) async fn send_as(
    server: &TestServer,
    token: &str,
    (method, path): (&str, &str),
    body: &[u8],
) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    server.send(request(method, path, &headers, body)).await
}

/// `a` with the members of `b`.
pub(crate) fn with(mut a: Value, b: &Value) -> Value {
    for (name, value) in b.as_object().unwrap() {
        a[name] = value.clone();
    }
    a
}

/// The body that registers a user with [`PASSWORD`] and the dummy stage in one request.
pub(crate) fn dummy_registration(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" } })
}

/// Registers a guest.
pub(crate) async fn register_guest(server: &TestServer) -> Value {
    let path = "/_matrix/client/v3/register?kind=guest";
    server.post(path, &json!({})).await.ok()
}

/// The body of a login, or the completed password stage of `auth`.
pub(crate) fn password_login(name: &str, password: &str) -> Value {
    let identifier = json!({ "type": "m.id.user", "user": name });
    json!({ "type": "m.login.password", "identifier": identifier, "password": password })
}

/// A response as indented JSON for a snapshot. Each member in `random` must be a string. It is replaced by its name,
/// because its value is different in every response.
#[track_caller]
pub(crate) fn masked(answer: &Value, random: &[&str]) -> String {
    let mut shown = answer.clone();
    for name in random {
        text(answer, name);
        shown[name] = format!("[{name}]").into();
    }
    serde_json::to_string_pretty(&shown).unwrap()
}

/// A member that must be a string.
#[track_caller]
pub(crate) fn text<'a>(body: &'a Value, member: &str) -> &'a str {
    body[member]
        .as_str()
        .unwrap_or_else(|| panic!("`{member}` is not a string in {body}"))
}

/// The response of `whoami` to a valid token.
pub(crate) async fn whoami(server: &TestServer, token: &str) -> Value {
    server.get_as(token, WHOAMI).await.ok()
}

/// The response of `whoami` to the access token in `answer`.
pub(crate) async fn whoami_as(server: &TestServer, answer: &Value) -> Reply {
    server.get_as(text(answer, "access_token"), WHOAMI).await
}

/// The rows of an account, by sort key.
pub(crate) fn rows_of(server: &TestServer, localpart: &str) -> Vec<(String, Value)> {
    let partition = format!("USER#{localpart}");
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    rows.into_iter()
        .filter(|row| row["pk"]["S"] == partition)
        .map(|row| (text(&row["sk"], "S").to_owned(), row))
        .collect()
}

/// Sets the status of an account directly in the table.
pub(crate) fn set_status(server: &TestServer, localpart: &str, status: &str) {
    let update = json!({
        "TableName": format!("{}-accounts", server.local.config().tables),
        "Key": { "pk": { "S": format!("USER#{localpart}") }, "sk": { "S": "A" } },
        "UpdateExpression": "SET #status = :status",
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeNames": { "#status": "status" },
        "ExpressionAttributeValues": { ":status": { "S": status } },
    });
    server.raw_dynamodb("UpdateItem", &update);
}

/// Registers an application service with these user namespaces (`regex`, `exclusive`) through the
/// admin CLI and returns its token, `{id}-as-token`. Its own user is `{id}bot`.
pub(crate) async fn add_appservice(
    server: &TestServer,
    id: &str,
    namespaces: &[(&str, bool)],
) -> String {
    let token = format!("{id}-as-token");
    add_appservice_with_token(server, id, &token, namespaces).await;
    token
}

/// Like [`add_appservice`], with this token.
pub(crate) async fn add_appservice_with_token(
    server: &TestServer,
    id: &str,
    token: &str,
    namespaces: &[(&str, bool)],
) {
    let users: Vec<Value> = namespaces
        .iter()
        .map(|(regex, exclusive)| json!({ "regex": regex, "exclusive": exclusive }))
        .collect();
    let registration = json!({
        "id": id, "url": "http://localhost:1", "as_token": token, "hs_token": "not ours",
        "sender_localpart": format!("{id}bot"), "rate_limited": false,
        "namespaces": { "users": users, "aliases": [], "rooms": [] },
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        serde_yaml_ng::to_string(&registration).unwrap(),
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let added = server.admin_run(&["appservices", "add", path]).await;
    let report = added.unwrap();
    let is_stored = ["added", "replaced"]
        .iter()
        .any(|done| report[done] == json!([id]));
    assert!(is_stored, "{report}");
}

/// Registers a user of an application service.
pub(crate) async fn register_as(server: &TestServer, token: &str, username: &str) -> Reply {
    let body = json!({ "type": "m.login.application_service", "username": username });
    post_as(server, token, "/_matrix/client/v3/register", &body).await
}

/// Runs a property test against one server. The cases are the same in every run.
pub(crate) fn for_all<S: proptest::strategy::Strategy>(
    cases: u32,
    settings: &[(&str, &str)],
    strategy: &S,
    property: &impl AsyncFn(&TestServer, S::Value),
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let server = runtime.block_on(TestServer::with(settings));
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let result = TestRunner::new_with_rng(config, rng).run(strategy, |case| {
        runtime.block_on(property(&server, case));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn the_endpoints_are_the_routes_of_the_template() {
    let template = Template::ours().unwrap();
    let routes: BTreeSet<(String, &str)> = template
        .routes
        .iter()
        .flat_map(|route| {
            let path = route.path.replace("{type}", "m.login.terms");
            let path = path.replace("{medium}", "email");
            let path = path.replace("{deviceId}", "DEVICE");
            let path = path.replace("{action}", "logout");
            let methods = route.methods.keys().map(String::as_str);
            let own = methods.filter(|method| !["ANY", "OPTIONS"].contains(method));
            own.map(move |method| (path.clone(), method))
        })
        .collect();
    // Every GET route also serves HEAD.
    let served = |method: &&'static str| match *method {
        "GET" => vec!["GET", "HEAD"],
        other => vec![other],
    };
    let endpoints: BTreeSet<_> = ENDPOINTS
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.iter().flat_map(served);
            methods.map(|method| ((*path).to_owned(), method))
        })
        .collect();
    assert_eq!(endpoints, routes);
}
