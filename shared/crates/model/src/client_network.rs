//! The client network of a request: the key of most rate limits.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ::http::HeaderMap;

/// The length of the prefix of the IPv4-mapped IPv6 addresses.
const MAPPED_BITS: u8 = 96;

/// A client network: an IPv4 address, or the /64 prefix of an IPv6 address, because one subscriber usually has
/// a whole /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientNetwork(IpAddr);

impl ClientNetwork {
    /// The network of all clients whose address a trusted proxy did not write in a readable form. No client has
    /// this address.
    pub const UNKNOWN: Self = Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// The network of `address`. An IPv4-mapped IPv6 address is treated as its IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            v4 @ IpAddr::V4(_) => Self(v4),
            IpAddr::V6(v6) => Self(IpAddr::V6(Ipv6Addr::from(
                u128::from(v6) & !u128::from(u64::MAX),
            ))),
        }
    }

    /// The network of the client behind `peer`, the address that connected to the gateway. The entries of
    /// `X-Forwarded-For` are used only as far as trusted proxies wrote them: from the right, up to the first address
    /// that is not a trusted proxy. If such an entry cannot be read, the network is [`UNKNOWN`](Self::UNKNOWN): the
    /// client must not be treated as the proxy, and no entry to the left of it counts, because the client may have
    /// written it.
    pub fn behind(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> Self {
        // The value is split as bytes, because a client can add other bytes than ASCII to it.
        let entries: Vec<&[u8]> = headers
            .get_all("x-forwarded-for")
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|entry| !entry.is_empty())
            .collect();
        let mut hops = entries.into_iter().rev().map(parse_entry).peekable();
        // API Gateway appends the address of the peer. That entry is skipped if it is there.
        hops.next_if(|hop| hop.is_some_and(|hop| hop == peer.to_canonical()));
        let mut client = peer;
        while proxies.contains(client) {
            match hops.next() {
                Some(Some(hop)) => client = hop,
                Some(None) => return Self::UNKNOWN,
                // The request comes from the proxy itself.
                None => break,
            }
        }
        Self::of(client)
    }

    /// The network whose [`Display`](fmt::Display) form is `text`.
    pub fn parse(text: &str) -> Option<Self> {
        let address = text.strip_suffix("/64").unwrap_or(text);
        address.parse().ok().map(Self::of)
    }

    /// The wider blocks of addresses that one subscriber may have, from the narrowest: the /56 and the /48 of an IPv6
    /// network. An IPv4 network has none.
    pub fn wider(self) -> Option<[AddressBlock; 2]> {
        match self.0 {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some([56, 48].map(|bits| AddressBlock::of(v6, bits))),
        }
    }

    /// The widest block of addresses that one subscriber may have: the IPv4 address, or the /48 of an IPv6 network.
    pub fn widest(self) -> AddressBlock {
        match self.0 {
            IpAddr::V4(_) => AddressBlock {
                base: self.0,
                bits: 32,
            },
            IpAddr::V6(v6) => AddressBlock::of(v6, 48),
        }
    }
}

/// A block of addresses. The text of a whole block and the text of a [`ClientNetwork`] are never equal, except for an
/// IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressBlock {
    base: IpAddr,
    bits: u8,
}

impl AddressBlock {
    fn of(address: Ipv6Addr, bits: u8) -> Self {
        let base = u128::from(address) & !(u128::MAX >> bits);
        Self {
            base: IpAddr::V6(Ipv6Addr::from(base)),
            bits,
        }
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/{}", self.bits),
        }
    }
}

/// The address in an entry of `X-Forwarded-For`: an IPv4 or IPv6 address, which some proxies write with a port, with a
/// zone or in quotes. An IPv6 address with a port is in square brackets.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let unquoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = unquoted.unwrap_or(text);
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        rest.split_once(']')
            .filter(|(host, _)| host.contains(':'))?
    } else if text.matches(':').count() == 1 {
        text.split_at(text.find(':')?)
    } else {
        (text, "")
    };
    let is_port = |port: &str| {
        (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return None;
    }
    let without_zone = host.split_once('%').map_or(host, |(address, _)| address);
    let address: IpAddr = without_zone.parse().ok()?;
    Some(address.to_canonical())
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// The proxies that may set `X-Forwarded-For`: addresses and CIDR ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<(IpAddr, u8)>);

impl TrustedProxies {
    /// Parses addresses and `address/bits` ranges separated by spaces. `Err` contains the first invalid entry.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split_whitespace()
            .map(|text| parse_range(text).ok_or_else(|| text.to_owned()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|(base, bits)| match (base, address) {
            (IpAddr::V4(base), IpAddr::V4(own)) => {
                same_prefix(u32::from(*base).into(), u32::from(own).into(), 32, *bits)
            }
            (IpAddr::V6(base), IpAddr::V6(own)) => {
                same_prefix(u128::from(*base), u128::from(own), 128, *bits)
            }
            _ => false,
        })
    }
}

fn same_prefix(a: u128, b: u128, width: u8, bits: u8) -> bool {
    let rest = u32::from(width - bits);
    a.checked_shr(rest).unwrap_or(0) == b.checked_shr(rest).unwrap_or(0)
}

fn parse_range(text: &str) -> Option<(IpAddr, u8)> {
    let (base, bits) = text
        .split_once('/')
        .map_or((text, None), |(base, bits)| (base, Some(bits)));
    let base: IpAddr = base.parse().ok()?;
    let width = if base.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits.map_or(Some(width), |bits| bits.parse().ok())?;
    let range = (bits <= width).then_some((base, bits))?;
    // Addresses are compared in their canonical form, so an IPv4-mapped range must be an IPv4 range.
    match base.to_canonical() {
        v4 @ IpAddr::V4(_) if base.is_ipv6() && bits >= MAPPED_BITS => {
            Some((v4, bits - MAPPED_BITS))
        }
        _ => Some(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(peer: &str, forwarded: &str, proxies: &str) -> String {
        behind_lines(peer, &[forwarded.as_bytes()], proxies)
    }

    /// The network for a request with these lines of `X-Forwarded-For`.
    fn behind_lines(peer: &str, lines: &[&[u8]], proxies: &str) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = ::http::HeaderValue::from_bytes(line).unwrap();
            headers.append("x-forwarded-for", value);
        }
        ClientNetwork::behind(
            peer.parse().unwrap(),
            &headers,
            &TrustedProxies::parse(proxies).unwrap(),
        )
        .to_string()
    }

    #[test]
    fn a_client_cannot_forge_its_address_without_a_trusted_proxy() {
        assert_eq!(behind("203.0.113.7", "10.0.0.1", ""), "203.0.113.7");
        assert_eq!(
            behind("203.0.113.7", "198.51.100.1, 203.0.113.7", ""),
            "203.0.113.7"
        );
    }

    #[test]
    fn forwarded_entries_count_from_the_right_past_trusted_proxies() {
        let proxies = "10.0.0.0/8 203.0.113.7";
        assert_eq!(
            behind("203.0.113.7", "1.2.3.4, 198.51.100.1, 10.1.1.1", proxies),
            "198.51.100.1"
        );
        assert_eq!(
            behind("203.0.113.7", "1.2.3.4, 10.1.1.1, 203.0.113.7", proxies),
            "1.2.3.4"
        );
        assert_eq!(behind("203.0.113.7", "", proxies), "203.0.113.7");
    }

    /// The proxy is 10.0.0.1, and the client has written the entries before the last one.
    #[test]
    fn an_entry_of_a_proxy_is_read_in_every_usual_form() {
        for (written, network) in [
            ("198.51.100.1", "198.51.100.1"),
            ("198.51.100.1:5678", "198.51.100.1"),
            ("\"198.51.100.1:5678\"", "198.51.100.1"),
            (" \t198.51.100.1 ", "198.51.100.1"),
            ("198.51.100.1,", "198.51.100.1"),
            ("198.51.100.1, ,", "198.51.100.1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
            ("[::ffff:198.51.100.1]:443", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:DB8:0:0::1", "2001:db8::/64"),
            ("[2001:db8::1]", "2001:db8::/64"),
            ("[2001:db8::1]:443", "2001:db8::/64"),
            ("\"[2001:db8::1]:443\"", "2001:db8::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("[fe80::1%25eth0]:443", "fe80::/64"),
        ] {
            for before in ["", "1.2.3.4, ", "1.2.3.4:1,", "junk, "] {
                let line = format!("{before}{written}");
                for appended in ["", ", 10.0.0.1"] {
                    let line = format!("{line}{appended}");
                    assert_eq!(behind("10.0.0.1", &line, "10.0.0.1"), network, "{line}");
                    // Two trusted proxies, of which the inner one writes a port too.
                    let line = format!("{line}, 10.0.0.2:81");
                    let found = behind("10.0.0.1", &line, "10.0.0.0/8");
                    assert_eq!(found, network, "{line}");
                }
            }
        }
    }

    #[test]
    fn an_unreadable_entry_does_not_make_the_client_the_proxy() {
        for written in [
            "unknown",
            "_hidden",
            "unix:",
            "1.2.3",
            "198.51.100.1:",
            "198.51.100.1:http",
            "198.51.100.1:+80",
            "198.51.100.1 10.0.0.1",
            "[198.51.100.1]:443",
            "[2001:db8::1",
            "[2001:db8::1]443",
            "\"198.51.100.1",
            "for=198.51.100.1",
            "198.51.100.1\u{e9}",
        ] {
            for before in ["", "1.2.3.4, "] {
                let line = format!("{before}{written}, 10.0.0.1");
                assert_eq!(behind("10.0.0.1", &line, "10.0.0.1"), "0.0.0.0", "{line}");
            }
        }
    }

    /// The client writes the first line, or the beginning of the only line.
    #[test]
    fn bytes_that_are_not_ascii_hide_no_later_entry() {
        for lines in [
            &[b"caf\xe9, 198.51.100.1, 10.0.0.1".as_slice()][..],
            &[b"\xff\xfe,198.51.100.1"],
            &[b"\xe9", b"198.51.100.1, 10.0.0.1"],
            &[b"1.2.3.4", b"", b"198.51.100.1"],
            &[b"198.51.100.1", b"10.0.0.1"],
        ] {
            let found = behind_lines("10.0.0.1", lines, "10.0.0.1");
            assert_eq!(found, "198.51.100.1", "{lines:?}");
        }
        let unreadable = behind_lines("10.0.0.1", &[b"1.2.3.4, 198.51.100.1\xe9"], "10.0.0.1");
        assert_eq!(unreadable, "0.0.0.0");
    }

    #[test]
    fn an_ipv4_mapped_range_is_an_ipv4_range() {
        let found = behind("10.0.0.1", "198.51.100.1", "::ffff:10.0.0.0/104");
        assert_eq!(found, "198.51.100.1");
        let found = behind("::ffff:10.0.0.1", "198.51.100.1", "10.0.0.1");
        assert_eq!(found, "198.51.100.1");
    }

    #[test]
    fn ipv6_clients_are_grouped_by_their_64_bit_prefix() {
        assert_eq!(behind("2001:db8:1:2:3:4:5:6", "", ""), "2001:db8:1:2::/64");
        assert_eq!(behind("::ffff:192.0.2.1", "", ""), "192.0.2.1");
    }

    #[test]
    fn a_network_has_wider_blocks_and_a_text_that_can_be_parsed() {
        let network = |text: &str| ClientNetwork::of(text.parse().unwrap());
        let v6 = network("2001:db8:1:2345:6::7");
        let wider = v6.wider().unwrap().map(|block| block.to_string());
        assert_eq!(wider, ["2001:db8:1:2300::/56", "2001:db8:1::/48"]);
        assert_eq!(v6.widest().to_string(), "2001:db8:1::/48");
        let v4 = network("192.0.2.1");
        assert_eq!(
            (v4.wider(), v4.widest().to_string()),
            (None, v4.to_string())
        );
        for network in [v4, v6] {
            assert_eq!(ClientNetwork::parse(&network.to_string()), Some(network));
        }
        assert_eq!(ClientNetwork::parse("192.0.2"), None);
    }

    #[test]
    fn a_prefix_length_must_fit_its_address_family() {
        assert_eq!(
            TrustedProxies::parse("10.0.0.0/33"),
            Err("10.0.0.0/33".to_owned())
        );
        assert_eq!(
            TrustedProxies::parse("::/0 nonsense"),
            Err("nonsense".to_owned())
        );
        assert!(TrustedProxies::parse("::/0 10.0.0.0/0").is_ok());
    }
}
