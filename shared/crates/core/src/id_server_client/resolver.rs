//! Which addresses may be called: those of the public internet, and nothing within.
//!
//! The rule stands in the resolver, so it is about the very address that is connected to: a name
//! that says something else each time it is asked gains nothing (CVE-2021-29431, CVE-2021-21392).

use std::net::IpAddr;

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};

use crate::id_server_name::is_public;

/// The addresses of a name, if all of them may be called; one inner address spoils them all.
fn check_public(addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, ResolveDnsError> {
    if addresses.iter().copied().all(is_public) {
        Ok(addresses)
    } else {
        Err(ResolveDnsError::new("the name leads into an inner network"))
    }
}

/// The system's resolver, with that rule behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicResolver;

impl ResolveDns for PublicResolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            // The port is the connector's business.
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
    fn one_inner_address_spoils_a_name() {
        let [public, inner] = [ip("1.1.1.1"), ip("10.0.0.1")];
        assert_eq!(check_public(vec![public]).unwrap(), [public]);
        assert!(check_public(vec![public, inner]).is_err());
        assert!(check_public(vec![inner]).is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_here_is_refused_by_the_resolver() {
        for name in ["localhost", "127.1", "2130706433"] {
            assert!(PublicResolver.resolve_dns(name).await.is_err(), "{name}");
        }
    }
}
