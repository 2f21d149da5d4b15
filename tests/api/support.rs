//! What the tests of several endpoints need.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

mod endpoints;

use std::collections::BTreeSet;

use gatehouse_local::template::Template;
use http::{Method, Request};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use test_support::{Reply, TestServer};

pub(crate) use self::endpoints::ENDPOINTS;

/// Where it is asked whose a token is.
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

/// `POST` with an `Authorization` header.
pub(crate) async fn post_as(server: &TestServer, token: &str, path: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    server
        .send(request("POST", path, &headers, body.to_string().as_bytes()))
        .await
}

/// A member that must be text.
#[track_caller]
pub(crate) fn text<'a>(body: &'a Value, member: &str) -> &'a str {
    body[member]
        .as_str()
        .unwrap_or_else(|| panic!("`{member}` is no text in {body}"))
}

/// What a living token says of itself.
pub(crate) async fn whoami(server: &TestServer, token: &str) -> Value {
    server.get_as(token, WHOAMI).await.ok()
}

/// The rows under a user, by their sort keys.
pub(crate) fn rows_of(server: &TestServer, localpart: &str) -> Vec<(String, Value)> {
    let partition = format!("USER#{localpart}");
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    rows.into_iter()
        .filter(|row| row["pk"]["S"] == partition)
        .map(|row| (text(&row["sk"], "S").to_owned(), row))
        .collect()
}

/// How many accounts there are.
pub(crate) fn accounts(server: &TestServer) -> usize {
    let rows = server.local.dynamodb().table("Accounts").unwrap();
    let account =
        |row: &&Value| text(&row["pk"], "S").starts_with("USER#") && row["sk"]["S"] == "A";
    rows.iter().filter(account).count()
}

/// How many UIA sessions there are.
pub(crate) fn sessions(server: &TestServer) -> usize {
    server.local.dynamodb().table("UiaSessions").unwrap().len()
}

/// Gives an account another status, as an operator will one day by a verb of its own.
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

/// An application service of these user namespaces (`regex`, `exclusive`), registered through the
/// operator's command. Its token is `id` and `-as-token`, its own user `id` and `bot`.
pub(crate) async fn add_appservice(
    server: &TestServer,
    id: &str,
    namespaces: &[(&str, bool)],
) -> String {
    let token = format!("{id}-as-token");
    add_appservice_with_token(server, id, &token, namespaces).await;
    token
}

/// The same, with a token of its own.
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
    assert_eq!(added.unwrap()["added"], json!([id]));
}

/// A user of an application service.
pub(crate) async fn register_as(server: &TestServer, token: &str, username: &str) -> Reply {
    let body = json!({ "type": "m.login.application_service", "username": username });
    post_as(server, token, "/_matrix/client/v3/register", &body).await
}

/// Runs a property over one house. The cases are the same in every run.
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
    let verdict = TestRunner::new_with_rng(config, rng).run(strategy, |case| {
        runtime.block_on(property(&server, case));
        Ok(())
    });
    if let Err(error) = verdict {
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
            let methods = route.methods.keys().map(String::as_str);
            let own = methods.filter(|method| !["ANY", "OPTIONS"].contains(method));
            own.map(move |method| (path.clone(), method))
        })
        .collect();
    let endpoints: BTreeSet<_> = ENDPOINTS
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(|method| ((*path).to_owned(), *method)))
        .collect();
    assert_eq!(endpoints, routes);
}
