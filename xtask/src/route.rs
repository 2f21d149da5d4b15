//! Route lines of a declaration, for example `GET POST r0 v3 /account/3pid`.

use std::fmt;

use anyhow::{Context, Result, ensure};

/// The methods that a path of an API can have besides OPTIONS and HEAD, and `ANY` for all paths and methods without a
/// route.
const METHODS: [&str; 6] = ["ANY", "DELETE", "GET", "PATCH", "POST", "PUT"];

/// One route line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The methods in the order of the line.
    pub(crate) methods: Vec<String>,
    /// The versions of the Client-Server API. If there are none, `path` is a whole path.
    versions: Vec<String>,
    path: String,
}

impl Route {
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let mut words: Vec<&str> = line.split(' ').collect();
        let path = words.pop().unwrap_or_default();
        ensure!(path.starts_with('/'), "`{line}` does not end with a path");
        let is_version = |word: &&str| {
            word.strip_prefix(['r', 'v'])
                .is_some_and(|number| number.parse::<u8>().is_ok())
        };
        let start = words.iter().position(is_version);
        let versions = words.split_off(start.unwrap_or(words.len()));
        ensure!(
            versions.iter().all(is_version),
            "`{line}` has something else between the versions and the path"
        );
        ensure!(
            versions
                .iter()
                .all(|version| version.len() == versions[0].len()),
            "`{line}` has versions of different lengths, which no pattern of a proxy matches"
        );
        ensure!(!words.is_empty(), "`{line}` has no method");
        for method in &words {
            ensure!(
                METHODS.contains(method),
                "`{line}`: {method} is not a method"
            );
        }
        let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        Ok(Self {
            methods: owned(words),
            versions: owned(versions),
            path: path.to_owned(),
        })
    }

    /// The methods with HEAD beside GET: the function responds to both, and the body of a HEAD response is empty.
    pub(crate) fn served(&self) -> Vec<&str> {
        let mut methods: Vec<&str> = self.methods.iter().map(String::as_str).collect();
        if let Some(get) = methods.iter().position(|method| *method == "GET") {
            methods.insert(get + 1, "HEAD");
        }
        methods
    }

    /// The whole paths, one for each version.
    pub(crate) fn paths(&self) -> Vec<String> {
        if self.versions.is_empty() {
            return vec![self.path.clone()];
        }
        let versions = self.versions.iter();
        versions
            .map(|version| format!("/_matrix/client/{version}{}", self.path))
            .collect()
    }

    /// The path as a pattern in which `*` is any text and `?` is any character. `??` stands for several versions.
    pub(crate) fn wildcard_path(&self) -> String {
        let versions = self.versions.as_slice();
        match versions {
            [] | [_] => self.paths().concat(),
            [first, ..] => format!("/_matrix/client/{}{}", "?".repeat(first.len()), self.path),
        }
    }

    /// Whether this is the route for all paths and methods without another route.
    pub(crate) fn is_fallback(&self) -> bool {
        self.methods == ["ANY"]
    }

    /// `GET, POST /account/3pid` for a path below r0 and v3. The whole path for any other route.
    pub(crate) fn short(&self) -> String {
        let methods = self.methods.join(", ");
        if self.versions == ["r0", "v3"] {
            return format!("{methods} {}", self.path);
        }
        format!("{methods} {}", self.paths().join(", "))
    }
}

/// `GET and POST /account/3pid`, for the console of Lambda.
impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (last, rest) = self
            .methods
            .split_last()
            .map_or(("", &[][..]), |(last, rest)| (last, rest));
        if !rest.is_empty() {
            write!(formatter, "{} and ", rest.join(", "))?;
        }
        // The prefix does not distinguish functions.
        let path = self.path.strip_prefix("/_matrix/client");
        write!(formatter, "{last} {}", path.unwrap_or(&self.path))
    }
}

/// The names of a path's parameters.
pub(crate) fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// `path` with `example` for each parameter.
pub(crate) fn with_examples(path: &str, examples: &[(&str, &str)]) -> Result<String> {
    parameters(path).try_fold(path.to_owned(), |filled, name| {
        let example = examples.iter().find(|(known, _)| *known == name);
        let (_, example) = example.with_context(|| {
            format!("{path}: `EXAMPLES` in xtask/src/lists.rs has no example for {{{name}}}")
        })?;
        Ok(filled.replace(&format!("{{{name}}}"), example))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_methods_versions_and_a_path() {
        let route = Route::parse("GET PUT DELETE r0 v3 /devices/{deviceId}").unwrap();
        assert_eq!(route.methods, ["GET", "PUT", "DELETE"]);
        assert_eq!(route.served(), ["GET", "HEAD", "PUT", "DELETE"]);
        assert_eq!(
            route.paths(),
            [
                "/_matrix/client/r0/devices/{deviceId}",
                "/_matrix/client/v3/devices/{deviceId}"
            ]
        );
        assert_eq!(
            route.wildcard_path(),
            "/_matrix/client/??/devices/{deviceId}"
        );
        assert_eq!(route.to_string(), "GET, PUT and DELETE /devices/{deviceId}");
        assert_eq!(route.short(), "GET, PUT, DELETE /devices/{deviceId}");
        assert_eq!(parameters("/a/{b}/c/{d}").collect::<Vec<_>>(), ["b", "d"]);
    }

    #[test]
    fn a_path_without_versions_is_whole() {
        let route = Route::parse("GET /_matrix/client/versions").unwrap();
        assert_eq!(route.paths(), ["/_matrix/client/versions"]);
        assert_eq!(route.wildcard_path(), "/_matrix/client/versions");
        assert_eq!(route.to_string(), "GET /versions");
        assert_eq!(route.short(), "GET /_matrix/client/versions");
        let fallback = Route::parse("ANY /{proxy+}").unwrap();
        assert!(fallback.is_fallback() && !route.is_fallback());
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error() {
        for line in [
            "",
            "GET",
            "/x",
            "v3 /x",
            "get /x",
            "GET v3 x /x",
            "GET v3",
            "GET  /x",
            "GET v3 v10 /x",
        ] {
            assert!(Route::parse(line).is_err(), "{line}");
        }
    }
}
