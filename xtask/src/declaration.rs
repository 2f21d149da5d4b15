//! The declaration of a function, `functions/<stem>/function.yaml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_yaml_ng::Value;

use crate::{files, route::Route, text};

/// The members of a declaration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "the text of a block is copied with its comments; parsing it finds mistakes"
)]
struct Members {
    /// A sentence for the table of endpoints.
    summary: String,
    /// The description in the console of Lambda. If it is missing, the first route is the description.
    description: Option<String>,
    /// Route lines. A function without routes is invoked by its `Events`.
    #[serde(default)]
    routes: Vec<String>,
    /// The routes that a reverse proxy in front of a homeserver forwards.
    #[serde(default)]
    reverse_proxy: Forwarding,
    /// Memory in MB. A function with 1769 MB has one whole vCPU.
    memory: u32,
    /// Whether requests hash passwords. For such functions, concurrency can be reserved.
    #[serde(default)]
    hashes_passwords: bool,
    /// Seconds, if the value in infra/globals.yaml does not fit.
    timeout: Option<u32>,
    /// Environment variables in addition to those in infra/globals.yaml.
    #[serde(default)]
    environment: BTreeMap<String, Value>,
    /// Other properties of the resource, for example `Events`.
    #[serde(default)]
    properties: BTreeMap<String, Value>,
    /// Whether the function reads the key ring.
    #[serde(default)]
    key_ring: bool,
    /// The actions of DynamoDB by table, or by table and index (`Outbox/index/due`).
    #[serde(default)]
    tables: BTreeMap<String, Vec<String>>,
    /// Other statements of the policy.
    #[serde(default)]
    statements: Vec<Value>,
    /// The methods that have no rate limit. They make no call, or none without the secret of the homeserver, so API
    /// Gateway's throttle is enough.
    #[serde(default)]
    without_limit: Vec<String>,
}

/// The value of `reverse_proxy`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Forwarding {
    /// All routes or none.
    All(bool),
    /// These route lines.
    Routes(Vec<String>),
}

impl Default for Forwarding {
    fn default() -> Self {
        Self::All(true)
    }
}

/// A function with its declaration.
#[derive(Debug)]
pub(crate) struct Function {
    /// The name of the directory, the package and the binary.
    pub(crate) stem: String,
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) routes: Vec<Route>,
    /// The routes that a reverse proxy in front of a homeserver forwards.
    pub(crate) forwarded: Vec<Route>,
    pub(crate) memory: u32,
    pub(crate) hashes_passwords: bool,
    pub(crate) timeout: Option<u32>,
    pub(crate) key_ring: bool,
    pub(crate) tables: BTreeMap<String, Vec<String>>,
    /// The methods that have no rate limit.
    pub(crate) without_limit: Vec<String>,
    /// The text of the declaration, from which comments and verbatim blocks are copied.
    source: String,
}

impl Function {
    fn parse(stem: &str, source: String) -> Result<Self> {
        let members: Members = serde_yaml_ng::from_str(&source)?;
        let routes: Vec<Route> = members
            .routes
            .iter()
            .map(|line| Route::parse(line))
            .collect::<Result<_>>()?;
        for method in &members.without_limit {
            ensure!(
                routes.iter().any(|route| route.methods.contains(method)),
                "`without_limit`: no route has the method {method}"
            );
        }
        let forwarded = match members.reverse_proxy {
            Forwarding::All(true) => routes.clone(),
            Forwarding::All(false) => Vec::new(),
            Forwarding::Routes(lines) => lines
                .iter()
                .map(|line| {
                    let route = Route::parse(line)?;
                    ensure!(
                        routes.contains(&route),
                        "`reverse_proxy`: `{line}` is not a route line"
                    );
                    Ok(route)
                })
                .collect::<Result<_>>()?,
        };
        let description = match (members.description, routes.first()) {
            (Some(description), _) => description,
            (None, Some(route)) => route.to_string(),
            (None, None) => bail!("a function without routes needs a `description`"),
        };
        Ok(Self {
            stem: stem.to_owned(),
            summary: members.summary,
            description,
            routes,
            forwarded,
            memory: members.memory,
            hashes_passwords: members.hashes_passwords,
            timeout: members.timeout,
            key_ring: members.key_ring,
            tables: members.tables,
            without_limit: members.without_limit,
            source,
        })
    }

    /// The logical ID in the template: `RegisterAvailable` for `register-available`.
    pub(crate) fn id(&self) -> String {
        let words = self.stem.split('-').map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        });
        words.collect()
    }

    /// The name of the library: `register_available` for `register-available`.
    pub(crate) fn library(&self) -> String {
        self.stem.replace('-', "_")
    }

    /// Whether API Gateway invokes the function.
    pub(crate) fn is_endpoint(&self) -> bool {
        !self.routes.is_empty()
    }

    /// The whole paths with the methods that API Gateway passes to the function.
    pub(crate) fn served_paths(&self) -> impl Iterator<Item = (String, Vec<&str>)> {
        self.routes.iter().flat_map(|route| {
            let paths = route.paths().into_iter();
            paths.map(|path| (path, route.served()))
        })
    }

    /// The whole paths with their methods, in the order of the declaration.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (String, &[String])> {
        self.routes.iter().flat_map(|route| {
            let paths = route.paths().into_iter();
            paths.map(|path| (path, route.methods.as_slice()))
        })
    }

    /// The comment directly above a member.
    pub(crate) fn comment_above(&self, member: &str) -> Vec<&str> {
        let lines: Vec<&str> = self.source.lines().collect();
        let is_wanted = |line: &&str| {
            line.strip_prefix(member)
                .is_some_and(|rest| rest.starts_with(':'))
        };
        let end = lines.iter().position(is_wanted).unwrap_or_default();
        let above = lines[..end].iter().rev();
        let count = above.take_while(|line| line.starts_with('#')).count();
        lines[end - count..end].to_vec()
    }

    /// The lines of a member's value as they are written, without their common indentation.
    pub(crate) fn block(&self, member: &str) -> Vec<&str> {
        let header = format!("{member}:");
        let lines = self.source.lines().skip_while(|line| *line != header);
        let lines = lines.skip(1).take_while(|line| line.starts_with(' '));
        let lines: Vec<&str> = lines.collect();
        let depth = lines.iter().map(|line| text::indentation(line)).min();
        let depth = depth.unwrap_or_default();
        lines.iter().map(|line| &line[depth..]).collect()
    }
}

/// Every function's declaration, sorted by stem.
pub(crate) fn read_all(root: &Path) -> Result<Vec<Function>> {
    let functions: Vec<Function> = files::names_in(root, "functions")?
        .iter()
        .map(|stem| {
            let path = format!("functions/{stem}/function.yaml");
            let source = files::read(root, &path)?;
            Function::parse(stem, source).context(path)
        })
        .collect::<Result<_>>()?;
    ensure_paths_are_unique(&functions)?;
    Ok(functions)
}

/// Returns an error if API Gateway would reject the paths. A path may be in one route line only, because the OpenAPI
/// document has each path once. API Gateway ignores a trailing slash, and a segment has at most one parameter beside
/// its literal values, with the same name in all paths.
fn ensure_paths_are_unique(functions: &[Function]) -> Result<()> {
    let mut known = BTreeSet::new();
    let mut parameters = BTreeMap::new();
    for function in functions {
        for (path, _) in function.paths() {
            let file = format!("functions/{}/function.yaml", function.stem);
            ensure!(
                path == "/" || !path.ends_with('/'),
                "{file}: API Gateway ignores the trailing slash of {path}; remove it"
            );
            ensure!(
                known.insert(path.to_lowercase()),
                "{file}: {path} is in another route line; put all methods of a path into one line"
            );
            for (at, _) in path.match_indices('{') {
                let (parent, rest) = path.split_at(at);
                let segment = rest.split('/').next().unwrap_or_default().to_owned();
                let other = parameters
                    .entry(parent.to_owned())
                    .or_insert(segment.clone());
                ensure!(
                    *other == segment,
                    "{file}: {path} has {segment} where another path has {other}"
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
# Above.
summary: Lists things.
routes:
  - GET POST r0 v3 /some/things
# Below it one.
# And two.
memory: 256
environment:
  # A reason.
  SOME: !Ref Thing
tables:
  Things: [GetItem]
";

    #[test]
    fn a_declaration_keeps_its_comments_and_blocks() {
        let function = Function::parse("some-things", SOURCE.to_owned()).unwrap();
        assert_eq!(
            (function.id(), function.library()),
            ("SomeThings".to_owned(), "some_things".to_owned())
        );
        assert_eq!(function.description, "GET and POST /some/things");
        assert_eq!(function.comment_above("summary"), ["# Above."]);
        assert_eq!(
            function.comment_above("memory"),
            ["# Below it one.", "# And two."]
        );
        assert_eq!(function.comment_above("timeout"), [""; 0]);
        assert_eq!(
            function.block("environment"),
            ["# A reason.", "SOME: !Ref Thing"]
        );
        assert_eq!(function.block("statements"), [""; 0]);
    }

    #[test]
    fn a_member_that_is_not_known_is_an_error() {
        let wrong = SOURCE.replace("memory", "memories");
        assert!(Function::parse("some-things", wrong).is_err());
        let method = format!("{SOURCE}without_limit: [PUT]\n");
        assert!(Function::parse("some-things", method).is_err());
        let route = format!("{SOURCE}reverse_proxy: [GET r0 v3 /some/things]\n");
        assert!(Function::parse("some-things", route).is_err());
        let without = "summary: Sends.\nmemory: 256\n".to_owned();
        assert!(Function::parse("sender", without).is_err());
    }

    #[test]
    fn a_reverse_proxy_forwards_all_routes_some_or_none() {
        let routes = "routes:\n  - GET /a\n";
        for (member, expected) in [
            ("", 2),
            ("reverse_proxy: false\n", 0),
            ("reverse_proxy: [GET /a]\n", 1),
        ] {
            let source = SOURCE.replace("routes:\n", routes) + member;
            let function = Function::parse("some-things", source).unwrap();
            assert_eq!(function.forwarded.len(), expected, "{member}");
        }
    }

    #[test]
    fn a_path_in_two_route_lines_is_an_error() {
        let parse = |stem| Function::parse(stem, SOURCE.to_owned()).unwrap();
        assert!(ensure_paths_are_unique(&[parse("some-things")]).is_ok());
        assert!(ensure_paths_are_unique(&[parse("some-things"), parse("others")]).is_err());
    }

    /// API Gateway ignores a trailing slash, and allows one parameter beside the literal values of a segment.
    #[test]
    fn paths_that_api_gateway_would_reject_are_errors() {
        let with = |paths: &[&str]| {
            let functions: Vec<_> = paths
                .iter()
                .map(|path| {
                    let source = SOURCE.replace("/some/things", path);
                    Function::parse("some-things", source).unwrap()
                })
                .collect();
            ensure_paths_are_unique(&functions)
        };
        assert!(with(&["/a/{id}", "/a/{id}/b", "/a/c", "/b/{other}"]).is_ok());
        for rejected in [
            &["/a/"][..],
            &["/a", "/A"],
            &["/a/{id}", "/a/{name}/b"],
            &["/a/{id}", "/a/{id+}"],
        ] {
            assert!(with(rejected).is_err(), "{rejected:?}");
        }
    }
}
