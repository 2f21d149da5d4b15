//! Compares `template.yaml` with the functions, the settings, the headers and the quotas of AWS.
#![expect(
    clippy::expect_used,
    reason = "a template that does not parse ends the test"
)]

mod functions;
mod parameters;

use std::collections::{BTreeMap, BTreeSet};

use gatehouse_local::template::{GatewayResponse, Target, Template};
use regex_lite::Regex;
use serde_yaml_ng::{Mapping, Value};
use shared::{
    config::{Config, SETTINGS, sender_address},
    http::COMMON_HEADERS,
    key_ring::MEMBERS,
};

use crate::contract::files;

fn yaml() -> Value {
    serde_yaml_ng::from_str(&files::read("template.yaml")).expect("template.yaml is YAML")
}

fn template() -> std::sync::Arc<Template> {
    Template::ours().expect("template.yaml parses")
}

/// Whether AWS events invoke the function instead of a route.
fn is_worker(id: &str) -> bool {
    template().workers.contains_key(id)
}

fn mapping<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Mapping> {
    path.iter()
        .try_fold(value, |value, name| value.get(name))?
        .as_mapping()
}

fn keys(mapping: &Mapping) -> impl Iterator<Item = &str> {
    mapping.keys().filter_map(Value::as_str)
}

/// The `GATEHOUSE_` variables that the template sets, for all functions or for some.
fn variables() -> BTreeSet<String> {
    let yaml = yaml();
    let global = mapping(&yaml, &["Globals", "Function", "Environment", "Variables"]);
    let resources = mapping(&yaml, &["Resources"]).expect("Resources");
    let own = resources
        .values()
        .filter_map(|resource| mapping(resource, &["Properties", "Environment", "Variables"]));
    global
        .into_iter()
        .chain(own)
        .flat_map(keys)
        .filter(|name| name.starts_with("GATEHOUSE_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn http_01_r0_and_v3_have_the_same_routes_to_the_same_functions() {
    let template = template();
    let under = |prefix: &str| -> BTreeMap<String, _> {
        let routes = template.routes.iter();
        routes
            .filter_map(|route| Some((route.path.strip_prefix(prefix)?.to_owned(), &route.methods)))
            .collect()
    };
    let (r0, v3) = (under("/_matrix/client/r0/"), under("/_matrix/client/v3/"));
    assert!(!v3.is_empty());
    assert_eq!(r0, v3);
}

/// HTTP-08, HTTP-09: a request that is not for an endpoint reaches `unrecognized`.
#[test]
fn http_10_other_methods_of_every_path_reach_unrecognized() {
    let template = template();
    for path in ["/", "/{proxy+}"] {
        assert!(
            template.routes.iter().any(|route| route.path == path),
            "{path}"
        );
    }
    let mut reached = BTreeSet::new();
    for route in &template.routes {
        assert!(
            matches!(route.methods.get("OPTIONS"), Some(Target::Mock(_))),
            "{}",
            route.path
        );
        let any = route.methods.get("ANY");
        assert_eq!(
            any,
            Some(&Target::Function("Unrecognized".to_owned())),
            "{}",
            route.path
        );
        reached.extend(route.methods.values().filter_map(|target| match target {
            Target::Function(id) => Some(id.clone()),
            Target::Mock(_) => None,
        }));
    }
    let endpoints = template.functions.keys().filter(|id| !is_worker(id));
    assert_eq!(reached, endpoints.cloned().collect());
}

/// HTTP-12
#[test]
fn http_11_gateway_and_functions_have_the_same_cors_headers() {
    let template = template();
    let mocks = template.routes.iter().filter_map(|route| {
        let Some(Target::Mock(response)) = route.methods.get("OPTIONS") else {
            return None;
        };
        Some((format!("OPTIONS {}", route.path), response))
    });
    let own = template.gateway_responses.iter();
    let own = own.map(|(kind, response)| (kind.clone(), response));
    for (told, response) in mocks.chain(own) {
        let found = cors(response);
        let expected: BTreeMap<_, _> = COMMON_HEADERS
            .iter()
            .filter(|(name, _)| name.starts_with("access-control-"))
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(found, expected, "{told}");
    }
}

fn cors(response: &GatewayResponse) -> BTreeMap<String, String> {
    let headers = response.headers.iter();
    headers
        .map(|(name, value)| (name.to_lowercase(), value.clone()))
        .filter(|(name, _)| name.starts_with("access-control-"))
        .collect()
}

/// HTTP-20, HTTP-21: a response to a throttled request has the delay in a header and in the body. API Gateway responds
/// with 5xx while Lambda throttles the functions; this response has the header as well.
#[test]
fn http_06_gateway_responses_are_matrix_errors() {
    let template = template();
    for kind in [
        "DEFAULT_4XX",
        "DEFAULT_5XX",
        "REQUEST_TOO_LARGE",
        "THROTTLED",
    ] {
        assert!(template.gateway_responses.contains_key(kind), "{kind}");
    }
    for (kind, response) in &template.gateway_responses {
        let body: serde_json::Value = serde_json::from_str(&response.body).expect(kind);
        let code = body["errcode"].as_str().unwrap_or_default();
        assert!(
            code.starts_with("M_") && body["error"].is_string(),
            "{kind}: {body}"
        );
        let by_cause = kind.starts_with("DEFAULT_");
        if kind == "DEFAULT_5XX" {
            assert!(response.headers.contains_key("Retry-After"));
        }
        // The status of QUOTA_EXCEEDED and of THROTTLED is fixed, so the template need not repeat it.
        assert!(
            response.status.is_some() || by_cause || kind == "THROTTLED",
            "{kind}"
        );
        if code == "M_LIMIT_EXCEEDED" {
            let seconds: u64 = response.headers["Retry-After"].parse().expect("seconds");
            assert!(seconds >= 1);
            assert_eq!(body["retry_after_ms"], seconds * 1000);
        }
    }
}

#[test]
fn every_variable_of_the_template_is_a_setting() {
    for name in variables() {
        assert!(
            SETTINGS.iter().any(|row| row.name == name),
            "there is no setting {name}"
        );
    }
}

#[test]
fn every_required_setting_is_set_and_the_others_are_settable() {
    let faults = Config::from_lookup(|_| None)
        .expect_err("some settings are required")
        .to_string();
    let required: Vec<_> = faults
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert!(required.contains(&"GATEHOUSE_SECRET"), "{faults}");
    let variables = variables();
    for name in required {
        assert!(
            variables.contains(name),
            "{name} is required, but the template does not set it"
        );
    }
    // Secrets are not in the environment. They are members of the key ring.
    let secrets: BTreeSet<_> = MEMBERS.iter().map(|(_, setting)| *setting).collect();
    for row in SETTINGS {
        let settable = variables.contains(row.name) || secrets.contains(row.name);
        assert!(settable, "the template cannot set {}", row.name);
        // `GATEHOUSE_SECRET` is also a parameter, for `sam local`.
        let both = variables.contains(row.name) && secrets.contains(row.name);
        assert_eq!(both, row.name == "GATEHOUSE_SECRET", "{}", row.name);
    }
}

#[test]
fn every_parameter_is_used() {
    let text = files::read("template.yaml");
    let yaml = yaml();
    for name in keys(mapping(&yaml, &["Parameters"]).expect("Parameters")) {
        let used = [
            format!("!Ref {name}\n"),
            format!("!Ref {name},"),
            format!("${{{name}}}"),
        ];
        assert!(used.iter().any(|form| text.contains(form)), "{name}");
    }
}

/// The text of a scalar, without its tag.
fn text(value: &Value) -> &str {
    match value {
        Value::Tagged(tagged) => text(&tagged.value),
        other => other.as_str().unwrap_or_default(),
    }
}

#[test]
fn the_stack_is_within_the_quotas_of_aws() {
    let yaml = yaml();
    let resources = mapping(&yaml, &["Resources"]).expect("Resources");
    // SAM creates a role for each function, a rule or mapping and a permission for each of its events, and a
    // deployment and a stage for the API.
    let resource_count: usize = resources
        .values()
        .map(|resource| match text(&resource["Type"]) {
            "AWS::Serverless::Function" => {
                let events = mapping(resource, &["Properties", "Events"]);
                2 + 2 * events.map_or(0, Mapping::len)
            }
            "AWS::Serverless::Api" => 3,
            _ => 1,
        })
        .sum();
    assert!(
        resource_count < 500,
        "{resource_count} resources in one stack"
    );

    // Each segment of a path is one resource of the API, even if several paths share it.
    let template = template();
    let segments: BTreeSet<String> = template
        .routes
        .iter()
        .flat_map(|route| {
            let path = &route.path;
            let ends = path.match_indices('/').map(|(index, _)| index).skip(1);
            ends.chain([path.len()])
                .map(|end| path[..end].to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(segments.contains("/_matrix/client/v3/register"));
    assert!(
        segments.len() < 300,
        "{} resources in one API",
        segments.len()
    );

    let size = files::read("template.yaml").len();
    assert!(size < 1_000_000, "the template has {size} bytes");
}

/// A value that the stack accepts must not prevent the functions from starting.
#[test]
fn the_stack_and_the_program_accept_the_same_senders() {
    let template = yaml();
    let pattern = template["Parameters"]["MailFrom"]["AllowedPattern"].as_str();
    let pattern = Regex::new(pattern.expect("a pattern")).expect("a regular expression");
    for (text, is_valid) in [
        ("a@example.org", true),
        ("<a@example.org>", true),
        ("Example <a@example.org>", true),
        ("Example<a@example.org>", true),
        ("Example, Inc. <a@example.org>", true),
        ("\"Example, Inc.\" <a@example.org>", true),
        ("Ex (test) <a@example.org>", true),
        ("me@home <a@example.org>", true),
        ("B\u{fc}cherei K\u{f6}ln <a@example.org>", true),
        ("\u{65e5}\u{672c}\u{8a9e} <a@example.org>", true),
        ("a@b\u{fc}cher.example", true),
        ("Example", false),
        ("a@example", false),
        ("@example.org", false),
        ("a@example.org>", false),
        ("<a@example.org", false),
        ("A <a@example.org> b", false),
        ("A <a@example.org>, <b@example.org>", false),
        ("a@example.org, b@example.org", false),
        ("a@b@example.org", false),
        ("a,b@example.org", false),
    ] {
        assert_eq!(pattern.is_match(text), is_valid, "the stack: {text}");
        let found = sender_address(text);
        assert_eq!(found.is_some(), is_valid, "the program: {text}");
    }
}
