//! The requests of a homeserver to this server.

use std::{net::SocketAddr, sync::Arc};

use gatehouse_local::gateway::event;
use http::Request;
use lambda_http::{Context, LambdaEvent, request::LambdaRequest, tower::ServiceExt};
use serde_json::{Value, json};
use shared::{
    app::App,
    config::{Config, HomeserverConfig},
    http::Query,
    ids::ServerName,
    lambda::{self, Service},
    rng::SystemRng,
    secrets::Secret,
    tokens::{Token, TokenKind},
};
use test_support::{Reply, TestServer, raw_dynamodb_at};

use super::request;
use crate::contract::files;

/// The path of introspection.
pub(crate) const INTROSPECT: &str = "/oauth2/introspect";
/// The secret that the homeserver shares with this server.
pub(crate) const HOMESERVER_SECRET: &str = "marker-secret-of-a-homeserver";
/// The settings of a homeserver. Nothing listens at its address.
pub(crate) const HOMESERVER: [(&str, &str); 2] = [
    ("GATEHOUSE_HOMESERVER_URL", "http://127.0.0.1:9"),
    ("GATEHOUSE_HOMESERVER_SECRET", HOMESERVER_SECRET),
];

/// Records whether the homeserver has an account.
pub(crate) fn set_homeserver_state(server: &TestServer, name: &str, state: &str) {
    let update = json!({
        "TableName": "gatehouse-accounts",
        "Key": { "pk": { "S": format!("USER#{name}") }, "sk": { "S": "A" } },
        "UpdateExpression": "SET upstream = :state",
        "ExpressionAttributeValues": { ":state": { "S": state } },
    });
    server.raw_dynamodb("UpdateItem", &update);
}

/// Registers alice, and records that the homeserver has her account.
pub(crate) async fn sign_up_alice(server: &TestServer) -> Value {
    let alice = server.sign_up("alice").await;
    set_homeserver_state(server, "alice", "provisioned");
    alice
}

/// The function that the homeserver calls at its own URL, with the tables and the clock of a server that has no
/// homeserver. Sign-ups and logins at that server therefore call none. The accounts are recorded as accounts of the
/// homeserver before their tokens are introspected.
#[derive(Clone)]
pub(crate) struct FunctionUrl {
    service: Service,
    dynamodb: SocketAddr,
    server_name: ServerName,
}

impl FunctionUrl {
    pub(crate) fn of(server: &TestServer) -> Self {
        let config = Config {
            homeserver: Some(HomeserverConfig {
                url: HOMESERVER[0].1.to_owned(),
                secret: Secret::new(HOMESERVER_SECRET.to_owned()),
            }),
            ..Config::clone(server.local.config())
        };
        let aws = server.local.aws("Oauth2Introspect");
        let clock = Arc::clone(server.local.clock());
        let server_name = config.server_name.clone();
        let app = App::new(Arc::new(config), &aws, clock, Arc::new(SystemRng));
        Self {
            service: lambda::service(app, oauth2_introspect::handle),
            dynamodb: server.local.dynamodb().address(),
            server_name,
        }
    }

    /// Records that the homeserver has the account of a token.
    fn provision(&self, body: &[u8]) {
        let token = Query::of_form(body).ok();
        let token = token.and_then(|form| Some(Secret::new(form.get("token")?.to_owned())));
        let token =
            token.and_then(|token| Token::parse(TokenKind::Access, &token, &self.server_name));
        let Some(token) = token else { return };
        let update = json!({
            "TableName": "gatehouse-accounts",
            "Key": { "pk": { "S": format!("USER#{}", token.localpart.as_str()) }, "sk": { "S": "A" } },
            "UpdateExpression": "SET upstream = :provisioned",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": { ":provisioned": { "S": "provisioned" } },
        });
        raw_dynamodb_at(self.dynamodb, "UpdateItem", &update);
    }

    /// Sends a request as the event of a function URL.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Reply {
        self.provision(request.body());
        let event = event_of(&request);
        let event: LambdaRequest = serde_json::from_str(&event.to_string()).unwrap();
        let event = LambdaEvent::new(event, Context::default());
        let answer = self.service.clone().oneshot(event).await.unwrap();
        let (parts, body) = event::response(&answer).unwrap().into_parts();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// The response about a token.
    pub(crate) async fn introspect(&self, token: &str) -> Value {
        self.send(introspection(token)).await.ok()
    }

    /// Whether a token is active. An inactive token has no other members.
    pub(crate) async fn is_active(&self, token: &str) -> bool {
        let answer = self.introspect(token).await;
        if answer["active"] == false {
            assert_eq!(answer, json!({ "active": false }));
        }
        answer["active"].as_bool().unwrap()
    }
}

/// The event in `events/`, with the parts of this request.
fn event_of(request: &Request<Vec<u8>>) -> Value {
    let file = files::read("events/oauth2-introspect-url.json");
    let mut event: Value = serde_json::from_str(&file).unwrap();
    let (method, path) = (request.method().as_str(), request.uri().path());
    event["rawPath"] = path.into();
    event["rawQueryString"] = request.uri().query().unwrap_or_default().into();
    event["requestContext"]["http"]["path"] = path.into();
    event["requestContext"]["http"]["method"] = method.into();
    let headers = event["headers"].as_object_mut().unwrap();
    headers.remove("authorization");
    for name in request.headers().keys() {
        // A function URL joins repeated headers with commas.
        let values = request.headers().get_all(name).iter();
        let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
        headers.insert(name.to_string(), values.join(",").into());
    }
    event["body"] = String::from_utf8(request.body().clone()).unwrap().into();
    event["isBase64Encoded"] = json!(false);
    event
}

/// The request about a token, as Synapse sends it.
pub(crate) fn introspection(token: &str) -> Request<Vec<u8>> {
    let form = format!("token={}&token_type_hint=access_token", encoded(token));
    introspection_with(&format!("Bearer {HOMESERVER_SECRET}"), form.as_bytes())
}

/// A request for introspection with this `Authorization` header and body.
pub(crate) fn introspection_with(authorization: &str, body: &[u8]) -> Request<Vec<u8>> {
    let headers = [
        ("accept", "application/json"),
        ("authorization", authorization),
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-mas-supports-device-id", "1"),
    ];
    request("POST", INTROSPECT, &headers, body)
}

/// A value in a form, with every byte escaped.
fn encoded(value: &str) -> String {
    let escapes = value.bytes().map(|byte| format!("%{byte:02X}"));
    escapes.collect::<Vec<_>>().concat()
}
