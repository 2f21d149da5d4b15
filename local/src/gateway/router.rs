//! The routing of API Gateway.
//!
//! A literal segment takes precedence over a `{parameter}`, which takes precedence over `{proxy+}`. As API Gateway
//! does, it ignores a trailing slash; the functions see the slash in the path of the event (HTTP-24). The prefixes r0
//! and v3 have separate routes to the same functions (HTTP-01).

use std::collections::BTreeMap;

use crate::template::{Route, Target, Template};

/// The route of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match<'a> {
    /// The route.
    pub route: &'a Route,
    /// The function or the constant response of the route for the method.
    pub target: &'a Target,
    /// The decoded parameters of the path.
    pub parameters: BTreeMap<String, String>,
}

/// The kind of match of a segment. Smaller values take precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Literal,
    Parameter,
    Greedy,
}

/// Finds the route of a request.
pub fn find<'a>(template: &'a Template, method: &str, path: &str) -> Option<Match<'a>> {
    let path = without_trailing_slash(path);
    let (_, route, parameters) = template
        .routes
        .iter()
        .filter_map(|route| {
            fit(&route.path, path).map(|(fit, parameters)| (fit, route, parameters))
        })
        .min_by(|one, other| one.0.cmp(&other.0))?;
    let target = route
        .methods
        .get(method)
        .or_else(|| route.methods.get("ANY"))?;
    Some(Match {
        route,
        target,
        parameters,
    })
}

fn without_trailing_slash(path: &str) -> &str {
    let shorter = path.strip_suffix('/');
    shorter
        .filter(|rest| !rest.is_empty() && !rest.ends_with('/'))
        .unwrap_or(path)
}

fn fit(template: &str, path: &str) -> Option<(Vec<Fit>, BTreeMap<String, String>)> {
    let mut fits = Vec::new();
    let mut parameters = BTreeMap::new();
    let mut rest = Some(path.strip_prefix('/')?);
    for expected in template.strip_prefix('/')?.split('/') {
        let left = rest?;
        if let Some(name) = expected
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix("+}"))
        {
            fits.push(Fit::Greedy);
            parameters.insert(name.to_owned(), decoded(left));
            return (!left.is_empty()).then_some((fits, parameters));
        }
        let (segment, after) = match left.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (left, None),
        };
        if let Some(name) = expected
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'))
        {
            if segment.is_empty() {
                return None;
            }
            fits.push(Fit::Parameter);
            parameters.insert(name.to_owned(), decoded(segment));
        } else if expected == segment {
            fits.push(Fit::Literal);
        } else {
            return None;
        }
        rest = after;
    }
    rest.is_none().then_some((fits, parameters))
}

/// The percent-decoded text. Invalid escapes stay as they are, and invalid UTF-8 is replaced.
fn decoded(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = match (digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (Some(high), Some(low)) if byte == b'%' => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        plain.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str) -> String {
        let template = Template::ours().expect("our own template parses");
        let found = find(&template, method, path).expect("every path has a route");
        let target = match found.target {
            Target::Function(id) => id.clone(),
            Target::Mock(_) => "mock".to_owned(),
        };
        format!("{} {target} {:?}", found.route.path, found.parameters)
    }

    #[test]
    fn literals_take_precedence_and_other_methods_have_a_route() {
        let register = "/_matrix/client/v3/register";
        assert_eq!(route("POST", register), format!("{register} Register {{}}"));
        assert_eq!(
            route("PATCH", register),
            format!("{register} Unrecognized {{}}")
        );
        assert_eq!(route("OPTIONS", register), format!("{register} mock {{}}"));
        assert_eq!(route("GET", "/"), "/ Unrecognized {}");
    }

    #[test]
    fn a_parameter_takes_one_segment_and_is_decoded() {
        assert_eq!(
            route(
                "GET",
                "/_matrix/client/r0/auth/m.login%2Eterms%zz/fallback/web"
            ),
            "/_matrix/client/r0/auth/{type}/fallback/web AuthFallbackWeb {\"type\": \"m.login.terms%zz\"}"
        );
        assert!(route("GET", "/_matrix/client/r0/auth//fallback/web").starts_with("/{proxy+} "));
    }

    #[test]
    fn a_trailing_slash_is_ignored_as_api_gateway_does() {
        let register = "/_matrix/client/v3/register";
        assert_eq!(
            route("POST", &format!("{register}/")),
            route("POST", register)
        );
        assert_eq!(
            route("GET", "/_matrix/client/v3/devices/"),
            "/_matrix/client/v3/devices Devices {}"
        );
        assert_eq!(
            route("GET", "/_matrix/client/v3/devices/PHONE/"),
            "/_matrix/client/v3/devices/{deviceId} DevicesDeviceId {\"deviceId\": \"PHONE\"}"
        );
    }

    #[test]
    fn a_path_with_a_double_slash_is_another_path() {
        for path in [
            "/_matrix/client/v3/register//",
            "//_matrix/client/v3/register",
            "/_matrix",
            "//",
        ] {
            assert!(
                route("POST", path).starts_with("/{proxy+} Unrecognized"),
                "{path}"
            );
        }
    }
}
