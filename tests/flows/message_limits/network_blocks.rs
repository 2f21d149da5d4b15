//! The blocks of addresses that one subscriber may have, and the spellings of one mailbox.

use std::net::{IpAddr, Ipv6Addr};

use shared::limits::Limit;
use test_support::TestServer;

use super::{burst, consumed, sent};
use crate::flows::support::mail_helpers::{
    LIMITED, REGISTER, RESET, mail_to, peer, request_token_from, test_server,
};

/// An address in the network with this number, of this /48.
fn in_block(block: u16, network: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, block, network, 0, 0, 0, 1).into()
}

/// Requests an e-mail for a new address and returns whether the request was accepted.
async fn is_accepted(server: &TestServer, from: IpAddr, number: usize) -> bool {
    let body = mail_to(&format!("user{number}@example.org"), "secret", 1);
    let reply = request_token_from(server, from, REGISTER, &body).await;
    if reply.status != 200 {
        reply.error(429, "M_LIMIT_EXCEEDED");
    }
    reply.status == 200
}

#[tokio::test]
async fn the_networks_of_one_ipv6_block_have_a_common_quota() {
    for (limit, step) in [(Limit::MessageBlock56, 1), (Limit::MessageBlock48, 0x100)] {
        let server = test_server(&[LIMITED]).await;
        let mut accepted = 0;
        for number in 0..burst(limit) + 10 {
            let network = u16::try_from(number).unwrap_or_default().wrapping_mul(step);
            accepted += usize::from(is_accepted(&server, in_block(1, network), number).await);
        }
        assert_eq!(accepted, burst(limit), "{limit:?}");
        assert!(is_accepted(&server, in_block(2, 0), 9_999).await);
    }
}

/// A network over its own quota uses nothing of its block.
#[tokio::test]
async fn a_limited_network_uses_nothing_of_its_block() {
    let server = test_server(&[LIMITED]).await;
    for number in 0..burst(Limit::Message) {
        assert!(is_accepted(&server, in_block(1, 0), number).await);
    }
    let before = consumed(&server);
    for number in 100..200 {
        assert!(!is_accepted(&server, in_block(1, 0), number).await);
    }
    let block = |(name, _): &(&String, &i64)| name.starts_with("message-");
    let after = consumed(&server);
    let [before, after] = [&before, &after].map(|all| all.iter().filter(block).collect::<Vec<_>>());
    assert_eq!(before, after);
    assert!(is_accepted(&server, in_block(1, 1), 500).await);
}

/// The networks of one /48 have one share of the quota of a mailbox.
#[tokio::test]
async fn one_ipv6_block_has_one_share_of_a_mailbox() {
    let server = test_server(&[LIMITED]).await;
    let mut accepted = 0;
    for number in 0..20 {
        let body = mail_to("a@example.org", &format!("secret{number}"), 1);
        let reply = request_token_from(&server, in_block(1, number), RESET, &body).await;
        accepted += usize::from(reply.status == 200);
    }
    assert_eq!(accepted, burst(Limit::ResetMailFromNetwork));
}

/// All spellings of a mailbox at a provider that ignores dots have one quota.
#[tokio::test]
async fn the_spellings_of_one_mailbox_have_one_quota() {
    let server = test_server(&[LIMITED]).await;
    let mut number = 0;
    for domain in ["gmail.com", "googlemail.com"] {
        for name in [
            "alice", "a.lice", "al.ice", "ali.ce", "alic.e", "a.l.ice", "a.l.i.ce", "alice+x",
        ] {
            let body = mail_to(&format!("{name}@{domain}"), "secret", 1);
            number += 1;
            request_token_from(&server, peer(number), REGISTER, &body)
                .await
                .ok();
        }
    }
    assert_eq!(sent(&server).await, burst(Limit::MailAddress));
    // Dots matter at other providers.
    for name in ["b.ob", "bo.b", "bob"] {
        let body = mail_to(&format!("{name}@example.org"), "secret", 1);
        request_token_from(&server, peer(500), REGISTER, &body)
            .await
            .ok();
    }
    assert_eq!(sent(&server).await, 3);
}
