//! No account enumeration by password attempts: neither the response nor the work of a request discloses the account
//! of an identifier or the networks of its owner, however many attempts were made before (UIA-45, UIA-46).

use std::{cell::Cell, net::IpAddr, time::Duration};

use http::Request;
use serde_json::{Value, json};
use shared::secrets::sha256_base64;
use test_support::{Log, PASSWORD, Reply, TestServer};

use crate::flows::support::{
    account_helpers::{ADDRESSES, DEACTIVATE_PATH, LOGIN, sign_up, sign_up_with},
    mail_helpers::{LIMITED, peer},
    page,
    threepid_helpers::{ALICE, EMAIL, MSISDN, NUMBER},
};

/// The network from which all accounts were registered, so that their owners are known there.
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
/// An address and a number that have no account, of the same length as those that have one.
const NO_MAIL: &str = "aaron@example.org";
const NO_NUMBER: &str = "07400 654321";

/// A request that verifies a password without an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Login,
    Stage,
    Page,
}

const ENDPOINTS: [Endpoint; 3] = [Endpoint::Login, Endpoint::Stage, Endpoint::Page];

/// Everything that a client can observe, and the work behind it, which a client can measure.
#[derive(Debug, PartialEq)]
struct Observation {
    status: u16,
    retry_after: Option<String>,
    body: String,
    hashes: f64,
    calls: Vec<String>,
}

impl Observation {
    fn is_one_hash(&self) -> bool {
        (self.hashes - 1.0).abs() < 0.1
    }
}

fn user(name: &str) -> Value {
    json!({ "type": "m.id.user", "user": name })
}

fn mail(address: &str) -> Value {
    json!({ "type": "m.id.thirdparty", "medium": "email", "address": address })
}

fn phone(number: &str) -> Value {
    json!({ "type": "m.id.phone", "country": "GB", "phone": number })
}

/// A server with the accounts alice, who has an e-mail address, bob, who has a phone number, and carol.
struct Accounts {
    server: TestServer,
    networks: Cell<u32>,
}

impl Accounts {
    async fn new() -> Self {
        let server = TestServer::with(&[&ADDRESSES[..], &[LIMITED]].concat()).await;
        sign_up_with(&server, "alice", EMAIL, ALICE).await;
        sign_up_with(&server, "bob", MSISDN, NUMBER.0).await;
        sign_up(&server, "carol").await;
        let accounts = Self {
            server,
            networks: Cell::new(1),
        };
        // The first request to each function reads more than the others.
        for endpoint in ENDPOINTS {
            accounts.observe(endpoint, HOME, &user("nobody"), "x").await;
        }
        // The quotas of the network are full again.
        accounts.server.advance(Duration::from_hours(2));
        accounts
    }

    /// A network that has sent no request.
    fn fresh(&self) -> IpAddr {
        self.networks.set(self.networks.get() + 1);
        peer(self.networks.get())
    }

    async fn send(&self, from: IpAddr, path: &str, kind: &str, body: String) -> Reply {
        let request = Request::post(path).header("content-type", kind);
        let request = request.body(body.into_bytes()).unwrap();
        self.server.send_from(from, request).await
    }

    async fn log_in(&self, from: IpAddr, identifier: &Value, password: &str) -> Reply {
        let body = json!({
            "type": "m.login.password", "identifier": identifier, "password": password,
        });
        self.send(from, LOGIN, "application/json", body.to_string())
            .await
    }

    /// Makes `count` attempts, ten from each network.
    async fn guess(&self, identifier: &Value, count: u32) {
        let mut from = HOME;
        for number in 0..count {
            if number % 10 == 0 {
                from = self.fresh();
            }
            let reply = self.log_in(from, identifier, "wrong").await;
            reply.error(403, "M_FORBIDDEN");
        }
    }

    /// Sends one attempt and records everything about it.
    async fn observe(
        &self,
        endpoint: Endpoint,
        from: IpAddr,
        identifier: &Value,
        password: &str,
    ) -> Observation {
        let json = "application/json";
        let (path, kind, body, session) = match endpoint {
            Endpoint::Login => {
                let body = json!({
                    "type": "m.login.password", "identifier": identifier, "password": password,
                });
                (LOGIN.to_owned(), json, body.to_string(), String::new())
            }
            Endpoint::Stage => {
                let auth = json!({
                    "type": "m.login.password", "identifier": identifier, "password": password,
                });
                let body = json!({ "auth": auth });
                let path = DEACTIVATE_PATH.to_owned();
                (path, json, body.to_string(), String::new())
            }
            Endpoint::Page => {
                let begun = self
                    .send(from, DEACTIVATE_PATH, json, "{}".to_owned())
                    .await;
                let session = begun.challenge()["session"].as_str().unwrap().to_owned();
                let path = page("/_matrix/client/v3", "m.login.password", &session);
                let name = identifier["user"].as_str().unwrap();
                let form = format!("user={name}&password={}", password.replace(' ', "+"));
                (path, "application/x-www-form-urlencoded", form, session)
            }
        };
        let (log, guard) = Log::capture();
        let request = self.send(from, &path, kind, body);
        let (reply, calls) = self.server.calls_of(request).await;
        drop(guard);
        let mut text = reply.text();
        let challenge = (endpoint == Endpoint::Stage)
            .then(|| reply.json()["session"].as_str().map(str::to_owned))
            .flatten();
        for session in [session, challenge.unwrap_or_default()] {
            if !session.is_empty() {
                text = text.replace(&session, "SESSION");
            }
        }
        if endpoint == Endpoint::Page {
            // The form keeps the username that was typed.
            let name = identifier["user"].as_str().unwrap();
            text = text.replace(&format!("value=\"{name}\""), "value=\"NAME\"");
        }
        let lines = log.request_lines();
        let mut calls: Vec<_> = calls
            .iter()
            .map(|call| format!("{} {}", call.operation, call.tables.join("&")))
            .collect();
        calls.sort();
        Observation {
            status: reply.status.as_u16(),
            retry_after: reply
                .headers
                .get("retry-after")
                .map(|value| value.to_str().unwrap().to_owned()),
            body: text,
            hashes: lines
                .iter()
                .map(|line| line["argon2.hashes"].as_f64().unwrap_or_default())
                .sum(),
            calls,
        }
    }

    /// Asserts that an attempt at each identifier, from a network of its own, looks the same, with one hash.
    async fn assert_equal(&self, endpoint: Endpoint, identifiers: &[Value]) {
        let mut first: Option<Observation> = None;
        for identifier in identifiers {
            let from = self.fresh();
            let seen = self.observe(endpoint, from, identifier, "wrong").await;
            assert!(seen.is_one_hash(), "{endpoint:?} {identifier}: {seen:?}");
            assert_eq!(seen.retry_after, None, "{endpoint:?} {identifier}");
            match &first {
                None => first = Some(seen),
                Some(first) => assert_eq!(seen, *first, "{endpoint:?} {identifier}"),
            }
        }
    }
}

/// The names that a client could try to give to the bucket of an address without an account.
fn computable_names(identifier: &str) -> Vec<String> {
    let hash = sha256_base64(identifier.as_bytes()).to_ascii_lowercase();
    vec![format!("_{}", &hash[..20]), identifier.to_owned()]
}

/// No client can use up the limit of an unknown identifier under the name of a user.
#[tokio::test]
async fn uia_46_no_user_name_has_the_limit_of_an_unknown_address() {
    let accounts = Accounts::new().await;
    for key in [format!("email {NO_MAIL}"), "msisdn 447400654321".to_owned()] {
        for name in computable_names(&key) {
            accounts.guess(&user(&name), 100).await;
        }
    }
    for endpoint in [Endpoint::Login, Endpoint::Stage] {
        accounts
            .assert_equal(endpoint, &[mail(ALICE), mail(NO_MAIL)])
            .await;
        accounts
            .assert_equal(endpoint, &[phone(NUMBER.0), phone(NO_NUMBER)])
            .await;
    }
}

/// Attempts at an address, one or a hundred, change nothing that an attempt at a username shows.
#[tokio::test]
async fn uia_46_attempts_at_an_address_do_not_reveal_its_account() {
    for count in [1, 100] {
        let accounts = Accounts::new().await;
        accounts.guess(&mail(ALICE), count).await;
        accounts.guess(&phone(NUMBER.0), count).await;
        let names = ["carol", "alice", "bob", "nobody"].map(user);
        for endpoint in ENDPOINTS {
            accounts.assert_equal(endpoint, &names).await;
        }
    }
}

/// Attempts at a username, one or a hundred, change nothing that an attempt at an address shows.
#[tokio::test]
async fn uia_46_attempts_at_a_name_do_not_reveal_its_addresses() {
    for count in [1, 100] {
        let accounts = Accounts::new().await;
        accounts.guess(&user("alice"), count).await;
        accounts.guess(&user("@bob:localhost"), count).await;
        for endpoint in [Endpoint::Login, Endpoint::Stage] {
            accounts
                .assert_equal(endpoint, &[mail(NO_MAIL), mail(ALICE)])
                .await;
            accounts
                .assert_equal(endpoint, &[phone(NO_NUMBER), phone(NUMBER.0)])
                .await;
        }
    }
}

/// A wrong password takes the same work in a network of the account owner as elsewhere, and gets the same response.
#[tokio::test]
async fn uia_46_attempts_do_not_reveal_the_networks_of_an_owner() {
    for count in [0, 1, 100] {
        for endpoint in ENDPOINTS {
            let accounts = Accounts::new().await;
            accounts.guess(&user("alice"), count).await;
            let [known, other] = [HOME, accounts.fresh()];
            let known = accounts.observe(endpoint, known, &user("alice"), "x").await;
            let other = accounts.observe(endpoint, other, &user("alice"), "x").await;
            assert!(known.is_one_hash(), "{endpoint:?}: {known:?}");
            assert_eq!(known, other, "{endpoint:?} after {count}");
        }
    }
}

/// Beyond the limit of the account, the correct password gets the response of a wrong one, after the same work. The
/// account owner can log in from a known network, by every identifier.
#[tokio::test]
async fn uia_46_beyond_the_limit_the_right_password_is_wrong() {
    for exhausted in [user("alice"), mail(ALICE)] {
        let accounts = Accounts::new().await;
        accounts.guess(&exhausted, 100).await;
        for identifier in [user("alice"), mail(ALICE)] {
            for endpoint in [Endpoint::Login, Endpoint::Stage] {
                let [one, two] = [accounts.fresh(), accounts.fresh()];
                let wrong = accounts.observe(endpoint, one, &identifier, "x").await;
                let right = accounts.observe(endpoint, two, &identifier, PASSWORD).await;
                assert_eq!(wrong, right, "{endpoint:?} {identifier}");
            }
            accounts.log_in(HOME, &identifier, PASSWORD).await.ok();
        }
        let carol = accounts.fresh();
        accounts.log_in(carol, &user("carol"), PASSWORD).await.ok();
    }
}

/// A network above its own limit does not charge the limit of the account, not even for a moment.
#[tokio::test]
async fn uia_46_a_refused_network_does_not_charge_the_account() {
    let accounts = Accounts::new().await;
    let buckets = || {
        let rows = accounts.server.local.dynamodb().table("Limits").unwrap();
        let is_of_account = |row: &Value| row.to_string().contains("account-guess#");
        rows.into_iter().filter(is_of_account).collect::<Vec<_>>()
    };
    accounts.guess(&user("alice"), 10).await;
    let before = buckets();
    assert!(!before.is_empty());
    let over = peer(accounts.networks.get());
    for _ in 0..5 {
        for password in ["wrong", PASSWORD] {
            let reply = accounts.log_in(over, &user("alice"), password).await;
            reply.error(429, "M_LIMIT_EXCEEDED");
        }
    }
    assert_eq!(buckets(), before);
}
