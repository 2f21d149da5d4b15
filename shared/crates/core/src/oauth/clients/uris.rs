//! The URIs in the metadata of a client. The server requests none of them (OA-29).
//!
//! The parser accepts only ASCII of RFC 3986 and splits a URI at its first separators, so that this server and every
//! browser find the same host in it.

use crate::host_name::is_domain;

/// The maximum length of a redirect URI in bytes.
const MAX_REDIRECT_BYTES: usize = 2048;
/// The maximum length of a host name in bytes.
const MAX_HOST_BYTES: usize = 253;
/// The hosts of the loopback interface (OA-20).
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The labels of the host of `client_uri`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientHost(Vec<String>);

/// A URI with the scheme `http` or `https`, without user information.
struct WebUri<'a> {
    is_https: bool,
    host: &'a str,
    has_port: bool,
    has_fragment: bool,
}

impl<'a> WebUri<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = split_scheme(text)?;
        // The consent page finds the host after a scheme in lower case.
        let is_https = scheme == "https";
        if !is_https && scheme != "http" {
            return None;
        }
        let rest = rest.strip_prefix("//")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of an IPv6 address is not the start of a port.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let is_port = |port: &str| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        };
        if host.contains('@') || !port.is_none_or(is_port) {
            return None;
        }
        Some(Self {
            is_https,
            host,
            has_port: port.is_some(),
            has_fragment: text.contains('#'),
        })
    }
}

/// The scheme and the rest of an absolute URI.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (is_scheme && has_uri_characters(text)).then_some((scheme, rest))
}

/// Whether the text has only characters of a URI. Browsers treat a backslash like a slash and remove tabs and line feeds,
/// so these could move the end of the host.
fn has_uri_characters(text: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let mut escapes = text.split('%').skip(1);
    text.bytes().all(is_allowed)
        && escapes.all(|rest| {
            let digits = rest.as_bytes().get(..2);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        })
}

/// The labels of a DNS name with a dot. `None` for every IP address, also in the notations that browsers accept, and for
/// names of this computer.
fn labels(host: &str) -> Option<Vec<String>> {
    let labels: Vec<String> = host.split('.').map(str::to_ascii_lowercase).collect();
    let last = labels.last()?;
    // The URL standard parses a host with such an end as an IPv4 address.
    let is_hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_public =
        is_domain(host) && host.len() <= MAX_HOST_BYTES && !is_hexadecimal && last != "localhost";
    is_public.then_some(labels)
}

/// The host of a valid `client_uri` (OA-12).
pub(super) fn parse_client_uri(text: &str) -> Option<ClientHost> {
    let uri = WebUri::parse(text).filter(|uri| uri.is_https && !uri.has_fragment)?;
    labels(uri.host).map(ClientHost)
}

/// Whether an `https` URI belongs to the client: its host is the host of the client or a subdomain (OA-13).
pub(super) fn is_own_page(text: &str, client: &ClientHost) -> bool {
    let uri = WebUri::parse(text).filter(|uri| uri.is_https);
    let labels = uri.and_then(|uri| labels(uri.host));
    labels.is_some_and(|labels| labels.ends_with(&client.0))
}

/// Whether a text is an absolute URI that is short enough and has no fragment (OA-14). The other checks exclude user
/// information.
fn is_redirect_uri(text: &str) -> bool {
    text.len() <= MAX_REDIRECT_BYTES && !text.contains('#')
}

/// Whether a web client may register the redirect URI (OA-15).
pub(super) fn is_web_redirect(text: &str, client: &ClientHost) -> bool {
    is_redirect_uri(text) && is_own_page(text, client)
}

/// Whether a native client may register the redirect URI (OA-16).
pub(super) fn is_native_redirect(text: &str, client: &ClientHost, accepts_ports: bool) -> bool {
    is_web_redirect(text, client)
        || (is_redirect_uri(text)
            && (is_private_use(text, client) || is_loopback(text, accepts_ports)))
}

/// Whether a URI has a private-use scheme of the client: the labels of the scheme begin with the labels of the host in
/// reverse order. They are compared as labels, because the scheme `com.examplevil` begins with `com.example` (OA-17).
fn is_private_use(text: &str, client: &ClientHost) -> bool {
    let Some((scheme, rest)) = split_scheme(text) else {
        return false;
    };
    let scheme = scheme.to_ascii_lowercase();
    let labels: Vec<&str> = scheme.split('.').collect();
    let own = client.0.iter().rev().map(String::as_str);
    let is_own =
        labels.len() >= client.0.len() && own.zip(&labels).all(|(own, label)| own == *label);
    is_own && labels.iter().all(|label| !label.is_empty()) && !rest.starts_with("//")
}

/// Whether a URI is on the loopback interface (OA-20). Its port has no effect, and is refused if the operator requires
/// the specification (OA-21).
fn is_loopback(text: &str, accepts_ports: bool) -> bool {
    let uri = WebUri::parse(text).filter(|uri| !uri.is_https);
    uri.is_some_and(|uri| LOOPBACK_HOSTS.contains(&uri.host) && (accepts_ports || !uri.has_port))
}

#[cfg(test)]
mod tests;
