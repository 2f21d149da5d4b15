//! The regular expression with which a reverse proxy in front of a homeserver selects the paths that it forwards.
//!
//! A path is a branch of a tree of segments, and equal subtrees are written once. An output of CloudFormation has at
//! most 1,024 characters, which a plain alternation of all paths would exceed.

use std::collections::BTreeMap;

use crate::declaration::Function;

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

/// A parameter at the end of a path may contain a slash, because nginx and Caddy match the decoded path.
fn segment_expression(segment: &str, below: &Node) -> String {
    if !segment.starts_with('{') {
        return segment.replace('.', "\\.");
    }
    if below.children.is_empty() {
        ".+".to_owned()
    } else {
        "[^/]+".to_owned()
    }
}

fn expression<'a>(paths: impl IntoIterator<Item = &'a str>) -> String {
    let mut tree = Node::default();
    for path in paths {
        tree.add(path);
    }
    format!("^{}$", tree.expression())
}

/// The expression for every path that a reverse proxy forwards.
fn forwarded(functions: &[Function]) -> String {
    let functions = functions.iter().filter(|function| function.reverse_proxy);
    let paths: Vec<String> = functions
        .flat_map(|function| function.paths().map(|(path, _)| path))
        .collect();
    expression(paths.iter().map(String::as_str))
}

/// The start of the line of nginx.
pub(crate) const NGINX: &str = "location ~ \"";

/// The start of the line of Caddy.
pub(crate) const CADDY: &str = "@gatehouse path_regexp ";

/// The line that opens the location of nginx.
pub(crate) fn nginx_location(functions: &[Function]) -> String {
    format!("{NGINX}{}\" {{", forwarded(functions))
}

/// The line of Caddy that names the paths.
pub(crate) fn caddy_matcher(functions: &[Function]) -> String {
    format!("{CADDY}{}", forwarded(functions))
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
