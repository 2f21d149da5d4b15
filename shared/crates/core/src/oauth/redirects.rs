//! Redirect URIs of authorization requests: their comparison with the registered URIs, and the URL with the response.

use serde::{Deserialize, Serialize};

use super::{ApplicationType, ClientMetadata, metadata::issuer};
use crate::config::Config;

/// The hosts of the loopback interface (OA-20).
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The part of the redirect URI that gets the parameters of the response (OA-40).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseMode {
    /// The query. A registered query is kept.
    Query,
    /// The fragment.
    Fragment,
}

/// The destination of a redirect URI, as a page names it (OA-63).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'a> {
    /// A web server, by host.
    Host(&'a str),
    /// An app on the device of the user, by a private-use scheme.
    App,
    /// A program on the computer of the user, by the loopback interface.
    Program,
}

/// The place where a client expects the response to its authorization request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseTarget {
    /// The redirect URI, byte for byte as it was sent.
    pub redirect_uri: String,
    /// The part of the URI that gets the parameters.
    pub mode: ResponseMode,
    /// The state that the client sent (OA-46).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whether a page may open the URI without a click.
    opens_itself: bool,
}

crate::opaque_debug!(ResponseTarget);

impl ResponseTarget {
    /// The target of a client's request. `redirect_uri` must be registered.
    pub(super) fn new(
        client: &ClientMetadata,
        redirect_uri: &str,
        mode: ResponseMode,
        state: Option<&str>,
    ) -> Self {
        // OA-52: browsers open an app only on a click.
        let opens_itself = client.application_type == ApplicationType::Web
            || destination(redirect_uri) == Destination::Program;
        Self {
            redirect_uri: redirect_uri.to_owned(),
            mode,
            state: state.map(str::to_owned),
            opens_itself,
        }
    }

    /// The destination of the redirect URI.
    pub fn destination(&self) -> Destination<'_> {
        destination(&self.redirect_uri)
    }

    /// Whether the last page may open the URL without a click: for web and loopback clients (OA-52).
    pub fn opens_itself(&self) -> bool {
        self.opens_itself
    }

    /// The URL of a response: the redirect URI, byte for byte (OA-41), with this parameter, `state` and `iss` (OA-46).
    pub fn url(&self, config: &Config, (name, value): (&str, &str)) -> String {
        let issuer = issuer(config);
        let mut parameters = vec![(name, value)];
        parameters.extend(self.state.as_deref().map(|state| ("state", state)));
        parameters.push(("iss", &issuer));
        let parameters: Vec<_> = parameters
            .into_iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let uri = &self.redirect_uri;
        let separator = match self.mode {
            ResponseMode::Fragment => "#",
            ResponseMode::Query if uri.ends_with(['?', '&']) => "",
            ResponseMode::Query if uri.contains('?') => "&",
            ResponseMode::Query => "?",
        };
        format!("{uri}{separator}{}", parameters.join("&"))
    }
}

/// Encodes a value so that it has the same meaning with and without the rule that `+` is a space.
fn encode(value: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    encoded.replace('+', "%20")
}

/// Whether the client has registered the redirect URI. The comparison is exact, without any normalisation, except for the
/// port of a loopback URI (OA-21, OA-31).
pub(super) fn is_registered(client: &ClientMetadata, uri: &str) -> bool {
    let loopback = loopback_parts(uri);
    let is_equal =
        |own: &String| own == uri || (loopback.is_some() && loopback_parts(own) == loopback);
    client.redirect_uris.iter().any(is_equal)
}

/// The host of a loopback URI and everything after its port.
fn loopback_parts(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    LOOPBACK_HOSTS.into_iter().find_map(|host| {
        let rest = rest.strip_prefix(host)?;
        let (port, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let is_port = |port: &str| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        };
        let is_valid = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        is_valid.then_some((host, rest))
    })
}

fn destination(uri: &str) -> Destination<'_> {
    if loopback_parts(uri).is_some() {
        return Destination::Program;
    }
    match uri.strip_prefix("https://") {
        Some(rest) => Destination::Host(rest.split(['/', '?']).next().unwrap_or_default()),
        None => Destination::App,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::GrantType;

    fn client(kind: ApplicationType, uris: &[&str]) -> ClientMetadata {
        ClientMetadata {
            application_type: kind,
            client_name: None,
            client_uri: "https://example.com".to_owned(),
            grant_types: vec![GrantType::AuthorizationCode],
            logo_uri: None,
            policy_uri: None,
            redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            tos_uri: None,
        }
    }

    #[test]
    fn oa_31_a_redirect_uri_must_be_equal() {
        let client = client(
            ApplicationType::Native,
            &[
                "https://example.com/cb?a=b",
                "com.example:/cb",
                "http://localhost/cb",
            ],
        );
        for uri in [
            "https://example.com/cb?a=b",
            "com.example:/cb",
            "http://localhost/cb",
        ] {
            assert!(is_registered(&client, uri), "{uri}");
        }
        for uri in [
            "https://example.com/cb",
            "https://example.com/cb?a=b&c=d",
            "https://example.com/cb?a=b/",
            "https://example.com/CB?a=b",
            "HTTPS://example.com/cb?a=b",
            "https://example.com/x/../cb?a=b",
            "https://example.com/%63b?a=b",
            "https://example.com/%2e/cb?a=b",
            "https://example.com@evil.example/cb?a=b",
            "https://example.com\\@evil.example/cb?a=b",
            "https://example.com:443/cb?a=b",
            "https://example.com/cb?a=b#c",
            "com.example:/cb/",
            "com.example://cb",
            "",
        ] {
            assert!(!is_registered(&client, uri), "{uri}");
        }
    }

    #[test]
    fn oa_21_only_the_port_of_a_loopback_uri_may_differ() {
        let client = client(
            ApplicationType::Native,
            &["http://localhost:3001/login", "http://[::1]/"],
        );
        for uri in [
            "http://localhost/login",
            "http://localhost:3001/login",
            "http://localhost:65535/login",
            "http://[::1]:80/",
        ] {
            assert!(is_registered(&client, uri), "{uri}");
        }
        for uri in [
            "http://localhost:3001/",
            "http://localhost:/login",
            "http://localhost:+1/login",
            "http://localhost:65536/login",
            "http://localhost:80@evil.example/login",
            "http://localhost.evil.example/login",
            "http://localhost\\evil.example/login",
            "http://127.0.0.1/login",
            "https://localhost/login",
            "http://[::1]:80",
        ] {
            assert!(!is_registered(&client, uri), "{uri}");
        }
    }

    #[test]
    fn oa_52_only_web_and_loopback_clients_need_no_click() {
        for (kind, uri, destination, opens_itself) in [
            (
                ApplicationType::Web,
                "https://example.com/?a",
                Destination::Host("example.com"),
                true,
            ),
            (
                ApplicationType::Native,
                "https://example.com/a",
                Destination::Host("example.com"),
                false,
            ),
            (
                ApplicationType::Native,
                "com.example:/cb",
                Destination::App,
                false,
            ),
            (
                ApplicationType::Native,
                "http://[::1]:1/",
                Destination::Program,
                true,
            ),
        ] {
            let target = ResponseTarget::new(&client(kind, &[uri]), uri, ResponseMode::Query, None);
            assert_eq!(target.destination(), destination, "{uri}");
            assert_eq!(target.opens_itself(), opens_itself, "{uri}");
        }
    }
}
