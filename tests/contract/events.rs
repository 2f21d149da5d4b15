//! Sends events of API Gateway to the same service that runs on Lambda: those of REST APIs (1.0) and HTTP APIs (2.0).
//! `sam local invoke -e` uses the files in `events/` too.
#![expect(
    clippy::unwrap_used,
    reason = "an event that cannot be parsed ends the test"
)]

use std::{collections::BTreeSet, sync::Arc};

use gatehouse_local::{
    dynamodb::proxy::{Fault, FaultKind},
    template::{Target, Template},
};
use lambda_http::{Context, LambdaEvent, request::LambdaRequest, tower::ServiceExt};
use serde_json::{Value, json};
use shared::{
    app::App,
    error::Rejection,
    http::{COMMON_HEADERS, Request, Response},
    lambda::{self, Service},
    rng::SystemRng,
};
use test_support::TestServer;

use crate::contract::files;

/// Values that an attacker may send in a header that names the host.
const HOSTILE_HOSTS: [&str; 8] = [
    "",
    " ",
    "[::1",
    "a b",
    "user@evil.example:99999",
    "evil.example/../..?x#y",
    "\"><svg onload=alert(1)>",
    "%zz%00",
];

fn event(name: &str) -> Value {
    serde_json::from_str(&files::read(&format!("events/{name}.json"))).unwrap()
}

/// The state of a function, as on Lambda, with the tables and the clock of this server.
fn app(server: &TestServer, function: &str) -> Arc<App> {
    let aws = server.local.aws(function);
    let config = Arc::clone(server.local.config());
    let clock = Arc::clone(server.local.clock());
    App::new(config, &aws, clock, Arc::new(SystemRng))
}

/// The response that Lambda gets, with lower-case header names and the body as JSON.
async fn invoke(service: Service, event: &Value) -> Value {
    let request: LambdaRequest = serde_json::from_str(&event.to_string()).unwrap();
    let event = LambdaEvent::new(request, Context::default());
    let mut answer = service.oneshot(event).await.unwrap();
    assert_eq!(answer["isBase64Encoded"], false, "{answer}");
    let body = answer["body"].as_str().unwrap();
    answer["body"] = serde_json::from_str(body).unwrap();
    let expected = COMMON_HEADERS.iter().copied();
    for (name, value) in expected.chain([("content-type", "application/json")]) {
        let single = &answer["headers"][name];
        let multi = &answer["multiValueHeaders"][name];
        let once = multi.as_array().is_none_or(|values| values.len() == 1);
        assert!(
            *single == value || *multi == json!([value]),
            "{name}: {answer}"
        );
        assert!(once, "{name}: {answer}");
    }
    answer
}

/// A handler that returns its request.
async fn echo(_app: Arc<App>, request: Request) -> Result<Response, Rejection> {
    let all = |name: &str| {
        let values = request.headers.get_all(name).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    Ok(Response::ok(&json!({
        "method": request.method.as_str(),
        "path": request.path,
        "resource": request.resource,
        "kind": request.query.get("kind"),
        "languages": all("accept-language"),
        "origin": all("origin"),
        "network": request.network.to_string(),
        "id": request.id,
        "body": String::from_utf8_lossy(&request.body),
    })))
}

#[tokio::test]
async fn a_register_event_of_either_version_registers() {
    for name in ["register-v1", "register-v2"] {
        let server = TestServer::new().await;
        let service = lambda::service(app(&server, "Register"), register::handle);
        let answer = invoke(service.clone(), &event(name)).await;
        assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
        assert_eq!(answer["body"]["user_id"], "@alice:localhost");
        assert_eq!(answer["body"]["device_id"], "PHONE");

        let token = answer["body"]["access_token"].as_str().unwrap();
        let user = server
            .get_as(token, "/_matrix/client/v3/account/whoami")
            .await
            .ok();
        assert_eq!(user["user_id"], "@alice:localhost");

        let again = invoke(service, &event(name)).await;
        assert_eq!(again["statusCode"], 400, "{name}: {again}");
        assert_eq!(again["body"]["errcode"], "M_USER_IN_USE");
    }
}

#[tokio::test]
async fn a_versions_event_of_either_version_is_answered() {
    let server = TestServer::new().await;
    for name in ["versions-v1", "versions-v2"] {
        let service = lambda::service(app(&server, "Versions"), versions::handle);
        let answer = invoke(service, &event(name)).await;
        assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
        assert_eq!(answer["body"]["versions"][0], "r0.5.0");
    }
}

#[tokio::test]
async fn events_of_both_versions_become_the_same_request() {
    let server = TestServer::new().await;
    for (name, id) in [
        ("register-v1", "8f3c2f0e-3a55-4c0e-9a3d-0d9a3f6f1c11"),
        ("register-v2", "JKJaXmPLvHcESHA="),
    ] {
        let service = lambda::service(app(&server, "Register"), echo);
        let echoed = invoke(service, &event(name)).await["body"].clone();
        assert_eq!(echoed["method"], "POST");
        assert_eq!(
            echoed["path"], "/_matrix/client/v3/register",
            "{name}: without the stage"
        );
        assert!(
            echoed["resource"]
                .as_str()
                .unwrap()
                .ends_with("/_matrix/client/v3/register")
        );
        assert_eq!(echoed["kind"], "user");
        // A REST API keeps repeated headers separate, and an HTTP API joins them with commas.
        let languages: Vec<_> = echoed["languages"].as_array().unwrap().iter().collect();
        let joined = languages
            .iter()
            .map(|value| value.as_str().unwrap())
            .collect::<Vec<_>>();
        assert_eq!(joined.join(","), "en,de;q=0.8", "{name}");
        assert_eq!(
            echoed["origin"],
            json!(["https://app.element.io"]),
            "{name}: once"
        );
        assert!(
            echoed["network"]
                .as_str()
                .unwrap()
                .starts_with("203.0.113.7"),
            "{echoed}"
        );
        assert_eq!(echoed["id"], id);
        assert!(
            echoed["body"]
                .as_str()
                .unwrap()
                .starts_with("{\"username\":\"alice\"")
        );
    }
}

/// A function URL has no routes. Its stage is not in the path.
#[tokio::test]
async fn an_event_of_a_function_url_becomes_a_request() {
    let server = TestServer::new().await;
    let service = lambda::service(app(&server, "Oauth2Introspect"), echo);
    let event = event("oauth2-introspect-url");
    let echoed = invoke(service, &event).await["body"].clone();
    for (member, expected) in [
        ("method", "POST"),
        ("path", "/oauth2/introspect"),
        ("resource", "$default"),
        ("network", "203.0.113.7"),
        ("id", "5b0c8a52-3d0e-4c6f-9c7e-2f1f0d9b8a76"),
        ("body", "token=$access_token&token_type_hint=access_token"),
    ] {
        assert_eq!(echoed[member], expected, "{echoed}");
    }
}

/// Covers responses of functions, of the router and of the gateway.
#[tokio::test]
async fn http_05_an_answer_with_any_status_is_json() {
    let server = TestServer::with(&[("GATEHOUSE_LIMITS", "on")]).await;
    let register = "/_matrix/client/v3/register";
    let closed = TestServer::with(&[("GATEHOUSE_REGISTRATION", "closed")]).await;
    let mut replies = vec![
        (200, server.get("/_matrix/client/versions").await),
        (400, server.post_text(register, "{").await),
        (401, server.post_text(register, "{}").await),
        (401, server.get("/_matrix/client/v3/account/whoami").await),
        (403, closed.post_text(register, "{}").await),
        (404, server.get("/_matrix/unknown").await),
        (405, server.get(register).await),
        (413, server.post_text(register, &" ".repeat(100_000)).await),
        // The gateway itself rejects a body of this size.
        (413, server.post_text(register, &" ".repeat(11 << 20)).await),
    ];
    for guess in 0..30 {
        let path = "/_matrix/client/v1/register/m.login.registration_token/validity";
        let reply = server.get(&format!("{path}?token={guess}")).await;
        if reply.status == 429 {
            replies.push((429, reply));
            break;
        }
    }
    assert_eq!(replies.last().unwrap().0, 429, "no guess was limited");
    server.expect_faults();
    server
        .local
        .proxy()
        .inject(Fault::new(FaultKind::InternalError).times(1000));
    replies.push((500, server.post_text(register, "{}").await));
    for (status, reply) in replies {
        assert_eq!(reply.status, status);
        let kind: Vec<_> = reply.headers.get_all("content-type").iter().collect();
        assert_eq!(kind, ["application/json"], "{status}");
        assert!(reply.json().is_object(), "{status}");
    }
}

/// HTTP-02
#[tokio::test]
async fn http_02_a_base64_body_that_is_not_utf_8_is_not_json() {
    for name in ["register-v1", "register-v2"] {
        let server = TestServer::new().await;
        let service = lambda::service(app(&server, "Register"), register::handle);
        let mut event = event(name);
        for (body, encoded) in [
            // `{"username":"\x81"}`
            (json!("eyJ1c2VybmFtZSI6IoEifQ=="), true),
            (json!("{"), false),
            (json!(""), false),
            (Value::Null, false),
        ] {
            event["body"] = body;
            event["isBase64Encoded"] = encoded.into();
            let answer = invoke(service.clone(), &event).await;
            assert_eq!(answer["statusCode"], 400, "{name}: {answer}");
            assert_eq!(answer["body"]["errcode"], "M_NOT_JSON", "{name}: {answer}");
        }
    }
}

/// HTTP-22: such a header would make `lambda_http` panic, and the gateway would respond with 502.
#[tokio::test]
async fn a_hostile_host_header_has_no_effect() {
    let server = TestServer::new().await;
    for name in ["versions-v1", "versions-v2"] {
        for hostile in HOSTILE_HOSTS {
            let mut event = event(name);
            for header in [
                "Host",
                "host",
                "X-Forwarded-Proto",
                "x-forwarded-proto",
                "X-Forwarded-Host",
            ] {
                // Like a gateway, the test replaces only headers that the event has, in either
                // spelling.
                if event["headers"].get(header).is_some() || header == "X-Forwarded-Host" {
                    event["headers"][header] = hostile.into();
                    if event["multiValueHeaders"].is_object() {
                        event["multiValueHeaders"][header] = json!([hostile]);
                    }
                }
            }
            event["requestContext"]["domainName"] = hostile.into();
            let service = lambda::service(app(&server, "Versions"), versions::handle);
            let answer = invoke(service, &event).await;
            assert_eq!(answer["statusCode"], 200, "{name}: {hostile:?}: {answer}");
            let echoed = answer.to_string();
            assert!(
                !echoed.contains("evil.example") && !echoed.contains("svg"),
                "{echoed}"
            );
        }
    }
}

#[tokio::test]
async fn a_hostile_query_is_decoded_or_dropped_but_never_fatal() {
    let server = TestServer::new().await;
    let service = lambda::service(app(&server, "Register"), echo);
    for query in [
        "kind=%75ser&x=%ff%zz",
        "x=<>\"{}|\\^`&kind=user",
        "&&=&=x&kind=user&%",
        "kind=user&x=é",
    ] {
        let mut event = event("register-v2");
        event["rawQueryString"] = query.into();
        let answer = invoke(service.clone(), &event).await;
        assert_eq!(answer["statusCode"], 200, "{query}: {answer}");
        assert_eq!(answer["body"]["kind"], "user", "{query}");
    }
    let mut event = event("register-v1");
    event["queryStringParameters"] = json!({ "kind": "a+b%2B c" });
    event["multiValueQueryStringParameters"] = json!({ "kind": ["a+b%2B c"] });
    let answer = invoke(service, &event).await;
    assert_eq!(
        answer["body"]["kind"], "a+b%2B c",
        "the gateway has decoded the query already"
    );
}

/// `tests/lambda-rie/run` sends these events to the built functions, so each must belong to a route
/// of its function.
#[test]
fn every_function_has_an_event_of_one_of_its_routes() {
    let template = Template::ours().unwrap();
    let mut without: BTreeSet<&str> = template.functions.values().map(String::as_str).collect();
    for file in files::names_in("events") {
        let name = file.strip_suffix(".json").unwrap();
        let event = event(name);
        let version_2 = || match event["routeKey"].as_str().unwrap() {
            // An event of a function URL has no route.
            "$default" => {
                let method = &event["requestContext"]["http"]["method"];
                (method.as_str().unwrap(), event["rawPath"].as_str().unwrap())
            }
            route => route.split_once(' ').unwrap(),
        };
        let (method, path) = match (event["httpMethod"].as_str(), &event["version"]) {
            (Some(method), _) => (method, event["resource"].as_str().unwrap()),
            (None, version) if version == "2.0" => version_2(),
            // An event of the stream or of the schedule.
            _ => {
                without.remove("deliver");
                continue;
            }
        };
        let route = template.routes.iter().find(|route| route.path == path);
        let methods = &route.unwrap_or_else(|| panic!("{name}: {path}")).methods;
        let target = methods.get(method).or_else(|| methods.get("ANY"));
        let Some(Target::Function(id)) = target else {
            panic!("{name}: {method} {path}")
        };
        let stem = &template.functions[id];
        assert!(name.starts_with(stem.as_str()), "{name} belongs to {stem}");
        without.remove(stem.as_str());
    }
    assert!(without.is_empty(), "events/ has no event for {without:?}");
}
