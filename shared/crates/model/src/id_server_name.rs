//! What an identity server is called, and which of them the operator trusts.
//!
//! A name is a host with an optional port and nothing else (IDS-03): no scheme, no user, no path,
//! no query. Only names on the operator's list are ever looked up or called (IDS-02).

mod public_address;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use public_address::is_public;

/// The longest DNS name, in characters.
const MAX_NAME_CHARS: usize = 253;
/// The longest part of one.
const MAX_LABEL_CHARS: usize = 63;

/// Why an `id_server` is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdServerNameError {
    /// It is no host with an optional port.
    #[error("it is no host")]
    Form,
    /// It is an address of an inner network.
    #[error("it is an address of an inner network")]
    PrivateNetwork,
    /// The operator does not trust it.
    #[error("it is not trusted")]
    Untrusted,
}

/// A host with an optional port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdServerName {
    text: String,
    address: Option<IpAddr>,
}

/// An identity server that the operator trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedServer {
    /// Its name: what signatures are made for, and records kept under.
    pub name: IdServerName,
    /// Where it is reached if the operator said so: then no rule of networks holds, since an operator
    /// may well have one within.
    pub address: Option<String>,
}

impl IdServerName {
    /// Parses a name; `None` if it is anything else than a host with an optional port.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rfind(':') {
            Some(at) if !text.ends_with(']') => (&text[..at], Some(&text[at + 1..])),
            _ => (text, None),
        };
        if !port.is_none_or(is_port) {
            return None;
        }
        let address = match host.strip_prefix('[') {
            Some(rest) => Some(rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into()),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        };
        (address.is_some() || is_dns_name(host)).then(|| Self {
            text: text.to_ascii_lowercase(),
            address,
        })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is an address that nothing outside has.
    pub fn is_private_address(&self) -> bool {
        self.address.is_some_and(|ip| !is_public(ip))
    }
}

impl TrustedServer {
    /// Where its paths begin, without a slash at the end.
    pub fn base(&self) -> String {
        match &self.address {
            Some(address) => address.clone(),
            None => format!("https://{}", self.name.as_str()),
        }
    }
}

/// The server of this name among those that are trusted. Nobody is asked and no name is looked up.
pub fn find<'a>(
    trusted: &'a [TrustedServer],
    text: &str,
) -> Result<&'a TrustedServer, IdServerNameError> {
    let name = IdServerName::parse(text).ok_or(IdServerNameError::Form)?;
    match trusted.iter().find(|server| server.name == name) {
        Some(server) => Ok(server),
        None if name.is_private_address() => Err(IdServerNameError::PrivateNetwork),
        None => Err(IdServerNameError::Untrusted),
    }
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A DNS name. One whose last part is a number is none: resolvers take `2130706433` and `127.1` for
/// addresses.
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
    fn ids_03_a_name_is_a_host_with_an_optional_port_and_nothing_else() {
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
    fn ids_02_only_what_is_listed_is_found_and_inner_addresses_are_told_apart() {
        let trusted = trusted();
        let found = |text| find(&trusted, text).map(TrustedServer::base);
        assert_eq!(
            found("ID.example.org"),
            Ok("https://id.example.org".to_owned())
        );
        assert_eq!(
            found("127.0.0.1:8090"),
            Ok("http://127.0.0.1:8090".to_owned())
        );
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
