//! The paths that a reverse proxy in front of a homeserver forwards to this service: as a regular expression, and as
//! patterns with wildcards for the proxies that have no regular expressions.
//!
//! A path is a branch of a tree of segments, and equal subtrees are written once. An output of CloudFormation has at
//! most 1,024 characters, which a plain alternation of all paths would exceed.

use std::collections::BTreeMap;

use crate::{declaration::Function, route::Route};

/// The start of every value of a parameter. The homeserver serves the fallback pages of other stages (`m.oauth`).
const STARTS: [(&str, &str); 1] = [("{type}", "m.login.")];

/// An AWS load balancer takes at most five values for a rule, and at most three for a condition.
const VALUES_OF_A_RULE: usize = 3;

/// An AWS load balancer takes at most this number of wildcards for a rule.
const WILDCARDS_OF_A_RULE: usize = 5;

/// The segments below a path, and whether a path ends here.
#[derive(Debug, Default)]
struct Node {
    ends: bool,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn add(&mut self, path: &str) {
        let mut node = self;
        for segment in path.split('/').skip(1) {
            node = node.children.entry(segment.to_owned()).or_default();
        }
        node.ends = true;
    }

    /// The expression for the segments below this one.
    fn expression(&self) -> String {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for (segment, child) in &self.children {
            let rest = child.expression();
            let segment = segment_expression(segment, child);
            match groups.iter_mut().find(|(known, _)| *known == rest) {
                Some((_, segments)) => segments.push(segment),
                None => groups.push((rest, vec![segment])),
            }
        }
        // Segments with nothing below them need no separate group.
        let branches: Vec<String> = groups
            .into_iter()
            .flat_map(|(rest, segments)| match segments.as_slice() {
                [one] => vec![format!("{one}{rest}")],
                _ if rest.is_empty() => segments,
                _ => vec![format!("({}){rest}", segments.join("|"))],
            })
            .collect();
        let below = match branches.as_slice() {
            [] => return String::new(),
            [one] => format!("/{one}"),
            several => format!("/({})", several.join("|")),
        };
        if self.ends {
            format!("({below})?")
        } else {
            below
        }
    }
}

/// The start of the values of a parameter. `None` for a segment that is not a parameter.
fn parameter_start(segment: &str) -> Option<&'static str> {
    segment.starts_with('{').then(|| {
        let known = STARTS.iter().find(|(name, _)| *name == segment);
        known.map_or("", |(_, start)| *start)
    })
}

/// A parameter at the end of a path may contain a slash, because nginx and Caddy match the decoded path.
fn segment_expression(segment: &str, below: &Node) -> String {
    let escaped = |text: &str| text.replace('.', "\\.");
    match parameter_start(segment) {
        None => escaped(segment),
        Some(start) if below.children.is_empty() => escaped(start) + ".+",
        Some(start) => escaped(start) + "[^/]+",
    }
}

fn expression<'a>(paths: impl IntoIterator<Item = &'a str>) -> String {
    let mut tree = Node::default();
    for path in paths {
        tree.add(path);
    }
    format!("^{}$", tree.expression())
}

/// The routes that a reverse proxy forwards.
fn forwarded(functions: &[Function]) -> impl Iterator<Item = &Route> {
    functions.iter().flat_map(|function| &function.forwarded)
}

/// The expression for every path that a reverse proxy forwards.
fn forwarded_expression(functions: &[Function]) -> String {
    let paths: Vec<String> = forwarded(functions).flat_map(Route::paths).collect();
    expression(paths.iter().map(String::as_str))
}

/// A pattern for every path that a reverse proxy forwards, sorted.
pub(crate) fn patterns(functions: &[Function]) -> Vec<String> {
    let mut patterns: Vec<String> = forwarded(functions)
        .map(|route| pattern(&route.wildcard_path()))
        .collect();
    patterns.sort_unstable();
    patterns
}

/// A path with a wildcard in place of each parameter.
fn pattern(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let start = parameter_start(segment).map(|start| format!("{start}*"));
        start.unwrap_or_else(|| segment.to_owned())
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The rules of an AWS load balancer, one on each line: the patterns of the rule, separated by commas.
pub(crate) fn load_balancer_rules(functions: &[Function]) -> Vec<String> {
    let wildcards = |pattern: &str| pattern.matches(['*', '?']).count();
    let mut rules: Vec<String> = Vec::new();
    for pattern in patterns(functions) {
        match rules.last_mut() {
            Some(rule)
                if rule.split(',').count() < VALUES_OF_A_RULE
                    && wildcards(rule) + wildcards(&pattern) <= WILDCARDS_OF_A_RULE =>
            {
                *rule = format!("{rule},{pattern}");
            }
            _ => rules.push(pattern),
        }
    }
    rules
}

/// The start of the line of nginx.
pub(crate) const NGINX: &str = "location ~ \"";

/// The start of the line of Caddy.
pub(crate) const CADDY: &str = "@gatehouse path_regexp ";

/// The start of the line of Traefik.
pub(crate) const TRAEFIK: &str = "rule: Host(`matrix.example.org`) && PathRegexp(`";

/// The line that opens the location of nginx.
pub(crate) fn nginx_location(functions: &[Function]) -> String {
    format!("{NGINX}{}\" {{", forwarded_expression(functions))
}

/// The line of Caddy that names the paths.
pub(crate) fn caddy_matcher(functions: &[Function]) -> String {
    format!("{CADDY}{}", forwarded_expression(functions))
}

/// The line of Traefik with the rule of the router.
pub(crate) fn traefik_rule(functions: &[Function]) -> String {
    format!("{TRAEFIK}{}`)", forwarded_expression(functions))
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::*;

    #[test]
    fn equal_subtrees_are_written_once() {
        let paths = [
            "/r0/a",
            "/v3/a",
            "/r0/a/b/x.y",
            "/v3/a/b/x.y",
            "/r0/a/c/x.y",
            "/v3/a/c/x.y",
            "/v1/z",
        ];
        assert_eq!(expression(paths), "^/((r0|v3)/a(/(b|c)/x\\.y)?|v1/z)$");
        assert_eq!(expression(["/a", "/b", "/c/d"]), "^/(a|b|c/d)$");
    }

    #[test]
    fn a_stage_with_a_fallback_page_starts_like_ours() {
        assert_eq!(
            expression(["/auth/{type}/web"]),
            "^/auth/m\\.login\\.[^/]+/web$"
        );
        assert_eq!(pattern("/auth/{type}/web"), "/auth/m.login.*/web");
        assert_eq!(pattern("/devices/{id}"), "/devices/*");
    }

    #[test]
    fn a_parameter_at_the_end_takes_slashes_and_no_other() {
        let expression = Regex::new(&expression(["/a", "/a/{x}", "/b/{x}/c"])).unwrap();
        for path in ["/a", "/a/1", "/a/1/2", "/b/1/c"] {
            assert!(expression.is_match(path), "{path}");
        }
        for path in ["/", "/a/", "/b", "/b/1", "/b/1/2/c", "/ab", "/x/a"] {
            assert!(!expression.is_match(path), "{path}");
        }
    }
}
