//! The reverse proxy configurations of docs/homeserver.md forward the declared routes and no others (HS-20).
#![expect(
    clippy::expect_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use gatehouse_local::template::Template;
use regex_lite::Regex;
use serde_yaml_ng::Value;

use crate::contract::files;

/// The declared paths that no proxy forwards: the homeserver answers them, or sends requests to them itself.
const NOT_FORWARDED: [&str; 15] = [
    "/",
    "/{proxy+}",
    "/.well-known/matrix/client",
    "/_matrix/client/r0/account/whoami",
    "/_matrix/client/v3/account/whoami",
    "/_matrix/client/r0/capabilities",
    "/_matrix/client/v3/capabilities",
    "/_matrix/client/r0/devices",
    "/_matrix/client/v3/devices",
    "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
    "/_matrix/client/v1/auth_metadata",
    "/_matrix/client/versions",
    "/_matrix/key/v2/server",
    "/_matrix/key/v2/server/",
    "/oauth2/introspect",
];

/// Other paths of a homeserver. Many of them begin or end like a path of this service.
const OF_THE_HOMESERVER: [&str; 46] = [
    "/.well-known/matrix/server",
    "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
    "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
    "/_matrix/client/unstable/register",
    "/_matrix/client/v1/login/get_token",
    "/_matrix/client/v1/media/config",
    "/_matrix/client/v1/media/download/example.org/login",
    "/_matrix/client/v1/rooms/!r:example.org/hierarchy",
    "/_matrix/client/v3/account_data",
    "/_matrix/client/v3/admin/whois/@alice:example.org",
    "/_matrix/client/v3/auth/m.oauth/fallback/web",
    "/_matrix/client/v3/auth/org.matrix.cross_signing_reset/fallback/web",
    "/_matrix/client/v3/createRoom",
    "/_matrix/client/v3/devices2",
    "/_matrix/client/v3/directory/room/#login:example.org",
    "/_matrix/client/v3/events",
    "/_matrix/client/v3/join/!r:example.org",
    "/_matrix/client/v3/joined_rooms",
    "/_matrix/client/v3/keys/changes",
    "/_matrix/client/v3/keys/claim",
    "/_matrix/client/v3/keys/device_signing/upload",
    "/_matrix/client/v3/keys/query",
    "/_matrix/client/v3/keys/upload",
    "/_matrix/client/v3/login/get_token",
    "/_matrix/client/v3/login/sso/redirect",
    "/_matrix/client/v3/notifications",
    "/_matrix/client/v3/presence/@alice:example.org/status",
    "/_matrix/client/v3/profile/@alice:example.org",
    "/_matrix/client/v3/profile/@alice:example.org/displayname",
    "/_matrix/client/v3/pushers",
    "/_matrix/client/v3/pushrules/",
    "/_matrix/client/v3/registered",
    "/_matrix/client/v3/room_keys/version",
    "/_matrix/client/v3/rooms/!r:example.org/send/m.room.message/login",
    "/_matrix/client/v3/sendToDevice/m.room_key/register",
    "/_matrix/client/v3/sync",
    "/_matrix/client/v3/user/@alice:example.org/account_data/register",
    "/_matrix/client/v3/user/@alice:example.org/filter",
    "/_matrix/client/v3/user/@alice:example.org/openid/request_token",
    "/_matrix/client/v3/user_directory/search",
    "/_matrix/federation/v1/version",
    "/_matrix/key/v2/query",
    "/_matrix/media/v3/config",
    "/_synapse/admin/v1/register",
    "/_synapse/client/pick_username",
    "/_synapse/mas/provision_user",
];

/// The part of the page for a proxy.
fn configuration(proxy: &str) -> String {
    let page = files::read("docs/homeserver.md");
    let part = files::between(&page, proxy).expect("the page has the configuration");
    part.to_owned()
}

/// The text of a configuration between `start` and the next `end`.
fn part<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect("the start of the part");
    let (inside, _) = rest.split_once(end).expect("the end of the part");
    inside
}

/// The block of code in a part of the page, without its fences.
fn code(text: &str) -> &str {
    let (_, code) = text.split_once('\n').expect("an opening fence");
    code.strip_suffix("\n```").expect("a closing fence")
}

/// The expression for a pattern in which `*` is any text and `?` is any character.
fn of_pattern(pattern: &str) -> String {
    let characters = pattern.chars().map(|character| match character {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        '.' => "\\.".to_owned(),
        other => other.to_string(),
    });
    format!("^{}$", characters.collect::<String>())
}

fn nginx() -> Vec<String> {
    let configuration = configuration("nginx");
    vec![part(&configuration, "location ~ \"", "\" {\n").to_owned()]
}

fn caddy() -> Vec<String> {
    let configuration = configuration("caddy");
    let name = part(&configuration, "handle @", " {");
    let matcher = format!("@{name} path_regexp ");
    vec![part(&configuration, &matcher, "\n").to_owned()]
}

/// The expressions of all routers that forward to the service `gatehouse`.
fn traefik() -> Vec<String> {
    let configuration: Value =
        serde_yaml_ng::from_str(code(&configuration("traefik"))).expect("YAML");
    let routers = configuration["http"]["routers"].as_mapping();
    let routers = routers.expect("routers").values();
    let ours = routers.filter(|router| router["service"] == "gatehouse");
    ours.map(|router| {
        let rule = router["rule"].as_str().expect("a rule");
        part(rule, "PathRegexp(`", "`)").to_owned()
    })
    .collect()
}

fn cloudfront_patterns() -> Vec<String> {
    let configuration = configuration("cloudfront");
    let patterns = part(&configuration, "<<'PATTERNS'\n", "\nPATTERNS\n");
    patterns.lines().map(str::to_owned).collect()
}

/// The patterns of each rule.
fn load_balancer_rules() -> Vec<Vec<String>> {
    let configuration = configuration("alb");
    let rules = part(&configuration, "<<'RULES'\n", "\nRULES\n").lines();
    rules
        .map(|rule| rule.split(',').map(str::to_owned).collect())
        .collect()
}

/// The expressions of each proxy. A proxy forwards a path to this service if one of them matches.
fn proxies() -> [(&'static str, Vec<Regex>); 5] {
    let patterns = cloudfront_patterns();
    let rules = load_balancer_rules().concat();
    [
        ("nginx", nginx()),
        ("Caddy", caddy()),
        ("Traefik", traefik()),
        (
            "CloudFront",
            patterns.iter().map(|it| of_pattern(it)).collect(),
        ),
        ("ALB", rules.iter().map(|it| of_pattern(it)).collect()),
    ]
    .map(|(proxy, expressions)| {
        let expressions = expressions.iter().map(|text| {
            assert!(text.starts_with('^') && text.ends_with('$'), "{text}");
            Regex::new(text).expect("an expression that compiles")
        });
        (proxy, expressions.collect())
    })
}

/// A path with an example for each parameter. The last parameter contains a slash, which some proxies decode.
fn example(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{type}" => "m.login.dummy",
        "{medium}" => "email",
        part if part.starts_with('{') => "ABC/DEF",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn hs_20_proxies_forward_the_declared_routes_and_no_others() {
    let template = Template::ours().unwrap();
    for (proxy, expressions) in proxies() {
        let is_forwarded = |path: &str| expressions.iter().any(|it| it.is_match(path));
        for route in &template.routes {
            let path = example(&route.path);
            let expected = !NOT_FORWARDED.contains(&route.path.as_str());
            assert_eq!(is_forwarded(&path), expected, "{proxy}: {path}");
        }
        for path in OF_THE_HOMESERVER {
            assert!(!is_forwarded(path), "{proxy}: {path}");
        }
    }
}

/// HS-20: AWS rejects a configuration that exceeds a quota.
#[test]
fn hs_20_the_patterns_are_within_the_quotas_of_aws() {
    let patterns = cloudfront_patterns();
    assert!(patterns.len() <= 75, "CloudFront: {}", patterns.len());
    let rules = load_balancer_rules();
    assert!(rules.len() <= 100, "ALB: {}", rules.len());
    for rule in &rules {
        let wildcards: usize = rule
            .iter()
            .map(|pattern| pattern.matches(['*', '?']).count())
            .sum();
        assert!(rule.len() <= 3 && wildcards <= 5, "{rule:?}");
    }
    let of_rules = rules.concat();
    assert_eq!(of_rules, patterns, "both have the same patterns");
    for pattern in patterns {
        let allowed = |character: char| {
            character.is_ascii_alphanumeric() || "_-.*?$/~\"'@:+&".contains(character)
        };
        assert!(
            pattern.len() <= 128 && pattern.chars().all(allowed),
            "{pattern}"
        );
    }
}

#[test]
fn hs_20_the_nginx_output_is_the_documented_snippet() {
    let template = files::read("template.yaml");
    let (_, from) = template.split_once("  Nginx:\n").expect("an output");
    let (_, from) = from.split_once("- |-\n").expect("a text");
    let (output, _) = from.split_once("      - Host:").expect("an end");
    let output = output
        .replace("${Host}", "accounts.example.org")
        .replace("${Path}", "");
    let configuration = configuration("nginx");
    let lines = code(&configuration).lines().map(str::trim);
    let snippet: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
    let output: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!(output, snippet);
}
