//! Names of identity servers, and the list of trusted ones.
//!
//! A name is a host with an optional port and nothing else (IDS-03): no scheme, no user, no path, no query.
//! Only names on the operator's list are ever resolved or called (IDS-02).

mod public_address;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use public_address::is_public;

/// The maximum length of a DNS name, in characters.
const MAX_NAME_CHARS: usize = 253;
/// The port of an identity server whose name has none.
const HTTPS_PORT: u16 = 443;
/// The maximum length of a label of a DNS name, in characters.
const MAX_LABEL_CHARS: usize = 63;

/// The reason why an `id_server` is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdServerNameError {
    /// The value is not a host with an optional port.
    #[error("the identity server must be a host with an optional port")]
    Form,
    /// The value is an IP address outside of the public internet.
    #[error("the identity server is an address of a private network")]
    PrivateNetwork,
    /// The operator does not trust this identity server.
    #[error("the identity server is not trusted")]
    Untrusted,
}

/// The name of an identity server: a host with an optional port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdServerName {
    text: String,
    /// The host, without the port.
    host: String,
    /// The host as an IP address, if it is one.
    address: Option<IpAddr>,
    port: u16,
}

/// An identity server that the operator trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedServer {
    /// The name in signatures and in stored records.
    pub name: IdServerName,
    /// The URL that the operator configured for it, if any. The rule against private networks does not apply to
    /// this URL, because an operator may run an identity server in a private network.
    pub address: Option<String>,
}

impl IdServerName {
    /// Parses a name. Returns `None` unless it is a host with an optional port.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rfind(':') {
            Some(at) if !text.ends_with(']') => (&text[..at], Some(&text[at + 1..])),
            _ => (text, None),
        };
        let port = match port {
            Some(port) => parse_port(port)?,
            None => HTTPS_PORT,
        };
        let address = match host.strip_prefix('[') {
            Some(rest) => Some(rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into()),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        };
        (address.is_some() || is_dns_name(host)).then(|| Self {
            text: text.to_ascii_lowercase(),
            host: host.to_ascii_lowercase(),
            address,
            port,
        })
    }

    /// The name as a string.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether both names are names of the same server, in any spelling: an IP address has several, and the port may
    /// be missing if it is 443.
    pub fn is_same_server(&self, other: &Self) -> bool {
        let is_same_host = match (self.address, other.address) {
            (Some(own), Some(other)) => own.to_canonical() == other.to_canonical(),
            _ => self.host == other.host,
        };
        is_same_host && self.port == other.port
    }

    /// Whether the host is an IP address outside of the public internet.
    pub fn is_private_address(&self) -> bool {
        self.address.is_some_and(|ip| !is_public(ip))
    }
}

impl TrustedServer {
    /// The base URL, without a trailing slash.
    pub fn base(&self) -> String {
        match &self.address {
            Some(address) => address.clone(),
            None => format!("https://{}", self.name.as_str()),
        }
    }
}

/// The trusted server with this name, in any spelling. Records and signatures have the operator's spelling. Sends no
/// request and resolves no name.
pub fn find<'a>(
    trusted: &'a [TrustedServer],
    text: &str,
) -> Result<&'a TrustedServer, IdServerNameError> {
    let name = IdServerName::parse(text).ok_or(IdServerNameError::Form)?;
    match trusted
        .iter()
        .find(|server| server.name.is_same_server(&name))
    {
        Some(server) => Ok(server),
        None if name.is_private_address() => Err(IdServerNameError::PrivateNetwork),
        None => Err(IdServerNameError::Untrusted),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

/// Whether `host` is a DNS name. A name with a numeric last label is rejected, because resolvers treat
/// `2130706433` and `127.1` as IP addresses.
fn is_dns_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=MAX_LABEL_CHARS).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number =
        last.bytes().all(|b| b.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x");
    host.len() <= MAX_NAME_CHARS && host.split('.').all(label) && !is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> Vec<TrustedServer> {
        [
            ("id.example.org", None),
            ("127.0.0.1:8090", Some("http://127.0.0.1:8090")),
        ]
        .map(|(name, address)| TrustedServer {
            name: IdServerName::parse(name).unwrap(),
            address: address.map(str::to_owned),
        })
        .to_vec()
    }

    #[test]
    fn ids_03_a_name_is_a_host_with_an_optional_port() {
        for name in [
            "vector.im",
            "ID.Example.org",
            "id-1.example.org:8090",
            "localhost",
            "203.0.113.7",
            "203.0.113.7:443",
            "[2001:db8::1]",
            "[2001:db8::1]:8090",
            "xn--idserver-p4a.example",
        ] {
            let parsed = IdServerName::parse(name).expect(name);
            assert_eq!(parsed.as_str(), name.to_lowercase());
        }
        let long = format!("{}.example", "a".repeat(64));
        for name in [
            "",
            " ",
            ":",
            ":443",
            "https://id.example.org",
            "http://x",
            "a/b",
            "a?b",
            "a#b",
            "user@id.example.org",
            "user:secret@id.example.org",
            "id.example.org:",
            "id.example.org:0",
            "id.example.org:65536",
            "id.example.org:+80",
            "id.example.org:80:80",
            "id..example.org",
            ".example.org",
            "id.example.org.",
            "id_1.example.org",
            "-id.example.org",
            "id.example.org\r\nhost: x",
            "id.example.org\0",
            "ïd.example.org",
            "2001:db8::1",
            "[2001:db8::1",
            "[fe80::1%25eth0]",
            "[id.example.org]",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.0x1",
            "256.0.0.1",
            &long,
        ] {
            assert_eq!(IdServerName::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn ids_02_only_listed_servers_are_found() {
        let trusted = trusted();
        let found = |text| find(&trusted, text).map(TrustedServer::base);
        assert_eq!(
            found("ID.example.org"),
            Ok("https://id.example.org".to_owned())
        );
        for name in ["id.example.org:443", "ID.example.org:00443"] {
            assert_eq!(found(name), Ok("https://id.example.org".to_owned()));
        }
        for name in [
            "127.0.0.1:8090",
            "127.0.0.1:08090",
            "[::ffff:127.0.0.1]:8090",
        ] {
            assert_eq!(
                found(name),
                Ok("http://127.0.0.1:8090".to_owned()),
                "{name}"
            );
        }
        assert_eq!(
            found("id.example.org:8448"),
            Err(IdServerNameError::Untrusted)
        );
        assert_eq!(found("example.org"), Err(IdServerNameError::Untrusted));
        assert_eq!(
            found("127.0.0.1:80"),
            Err(IdServerNameError::PrivateNetwork)
        );
        assert_eq!(
            found("169.254.169.254"),
            Err(IdServerNameError::PrivateNetwork)
        );
        assert_eq!(
            found("[::ffff:10.0.0.1]"),
            Err(IdServerNameError::PrivateNetwork)
        );
        assert_eq!(found("http://id.example.org"), Err(IdServerNameError::Form));
    }
}
