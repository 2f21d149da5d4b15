//! The `Host` check for routes and services that only this machine may use.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, header,
    request::Parts,
    uri::{Authority, Scheme},
};

/// The host of a request, for example `localhost:8008` or `[::1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestHost(Authority);

impl RequestHost {
    /// The value of the `Host` header. Returns `None` if the header is missing, repeated or not a plain host and port,
    /// or if the target of the request has another host.
    pub(crate) fn of(head: &Parts) -> Option<Self> {
        let authority: Authority = single_value(&head.headers, &header::HOST)?.parse().ok()?;
        // With user information before an `@`, the authority does not start with the host.
        let port = authority.as_str().strip_prefix(authority.host())?;
        let is_plain = port.is_empty() || authority.port_u16().is_some();
        let target = &head.uri;
        let agrees = target.authority().is_none_or(|named| *named == authority)
            && target.scheme().is_none_or(|scheme| *scheme == Scheme::HTTP);
        (is_plain && agrees).then_some(Self(authority))
    }

    /// Whether it is `localhost` or a loopback address.
    pub(crate) fn is_loopback(&self) -> bool {
        self.0.host().eq_ignore_ascii_case("localhost")
            || self.address().is_some_and(|address| address.is_loopback())
    }

    /// Whether it is the name of this machine in Docker containers.
    pub(crate) fn is_docker_host(&self) -> bool {
        self.0.host().eq_ignore_ascii_case("host.docker.internal")
    }

    /// The IP address, if the host is not a name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let host = self.0.host();
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let address: IpAddr = inner.unwrap_or(host).parse().ok()?;
        Some(address.to_canonical())
    }

    /// The origin of web pages of this host.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.0)
    }
}

/// The value of a header that occurs exactly once.
pub(crate) fn single_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn of(target: &str, hosts: &[&str]) -> Option<RequestHost> {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        RequestHost::of(&request.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn loopback_names_and_addresses_are_found_with_any_port() {
        for host in [
            "localhost:8008",
            "LOCALHOST",
            "127.0.0.1:8008",
            "127.9.8.7",
            "[::1]:8008",
            "[::ffff:127.0.0.1]",
        ] {
            let found = of("/", &[host]).expect(host);
            assert!(found.is_loopback(), "{host}");
            assert_eq!(found.origin(), format!("http://{host}"));
        }
        for host in [
            "192.0.2.1:8008",
            "rebound.example",
            "localhost.example",
            "127.0.0.1.nip.example",
            "[::2]",
        ] {
            assert!(!of("/", &[host]).expect(host).is_loopback(), "{host}");
        }
    }

    #[test]
    fn a_host_header_must_be_single_and_plain() {
        for hosts in [
            &[] as &[&str],
            &[""],
            &["localhost", "localhost"],
            &["localhost", "elsewhere.example"],
            &["user@localhost"],
            &["user:8008@localhost:8008"],
            &["localhost:"],
            &["localhost:http"],
            &["localhost:65536"],
            &["localhost/path"],
            &["localhost, elsewhere.example"],
        ] {
            assert_eq!(of("/", hosts), None, "{hosts:?}");
        }
    }

    #[test]
    fn the_target_must_have_the_same_host() {
        assert!(of("http://localhost:8008/_local/", &["localhost:8008"]).is_some());
        for target in [
            "http://elsewhere.example/_local/",
            "http://localhost/_local/",
            "http://user@localhost:8008/_local/",
            "https://localhost:8008/_local/",
        ] {
            assert_eq!(of(target, &["localhost:8008"]), None, "{target}");
        }
    }
}
