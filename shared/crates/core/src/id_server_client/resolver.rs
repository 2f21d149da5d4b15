//! A DNS resolver that allows only addresses of the public internet.
//!
//! The check is part of the resolver, so it applies to exactly the address that the connector uses. A name with
//! changing addresses (DNS rebinding) cannot bypass it (CVE-2021-29431, CVE-2021-21392).

use std::net::IpAddr;

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};

use crate::id_server_name::is_public;

/// Returns the addresses of a name if all of them are public. The name is rejected if any of its addresses is
/// private.
fn check_public(addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, ResolveDnsError> {
    if addresses.iter().copied().all(is_public) {
        Ok(addresses)
    } else {
        Err(ResolveDnsError::new(
            "the name resolves to an address of a private network",
        ))
    }
}

/// The resolver of the operating system with this check.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicResolver;

impl ResolveDns for PublicResolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            // The connector sets the port.
            let found = tokio::net::lookup_host((name, 0)).await;
            let found = found.map_err(ResolveDnsError::new)?;
            check_public(found.map(|address| address.ip()).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_private_address_rejects_the_name() {
        let [public, private] = [ip("1.1.1.1"), ip("10.0.0.1")];
        assert_eq!(check_public(vec![public]).unwrap(), [public]);
        assert!(check_public(vec![public, private]).is_err());
        assert!(check_public(vec![private]).is_err());
    }

    #[tokio::test]
    async fn names_of_loopback_addresses_are_rejected() {
        for name in ["localhost", "127.1", "2130706433"] {
            assert!(PublicResolver.resolve_dns(name).await.is_err(), "{name}");
        }
    }
}
