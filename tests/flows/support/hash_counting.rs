//! A server that counts password hashes. Each hash reads one salt from the random source, and no other
//! code reads sixteen bytes at a time. The tests also assert a count of exactly one, so a change of the
//! salt's length makes them fail.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use clap::Parser;
use gatehouse_admin::Cli;
use gatehouse_local::{Local, Options, runtime::clock::MovableClock};
use http::Request;
use serde_json::Value;
use shared::rng::{Rng, SystemRng};
use test_support::NOW;

const SALT_BYTES: usize = 16;

/// The random source of the operating system, with a count of the salts that were read.
#[derive(Debug, Default)]
struct CountingRng(AtomicUsize);

impl Rng for CountingRng {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() == SALT_BYTES {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        SystemRng.fill(bytes);
    }
}

/// A server with a [`CountingRng`].
pub(crate) struct HashCountingServer {
    pub(crate) local: Local,
    rng: Arc<CountingRng>,
    network: AtomicU32,
}

impl HashCountingServer {
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let mut values = HashMap::from([
            ("GATEHOUSE_ARGON2".to_owned(), "m=8,t=1,p=1".to_owned()),
            ("GATEHOUSE_LIMITS".to_owned(), "off".to_owned()),
            ("GATEHOUSE_PASSWORD_MIN_SCORE".to_owned(), "0".to_owned()),
        ]);
        let own = settings.iter();
        values.extend(own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let rng = Arc::new(CountingRng::default());
        let options = Options {
            lookup: Arc::new(move |name| values.get(name).cloned()),
            clock: Arc::new(MovableClock::frozen(NOW)),
            rng: Arc::clone(&rng) as Arc<dyn Rng>,
            ..Options::default()
        };
        let local = Local::start(options).unwrap();
        Self {
            local,
            rng,
            network: AtomicU32::new(0x0a00_0000),
        }
    }

    /// The number of passwords that were hashed so far.
    pub(crate) fn hashes(&self) -> usize {
        self.rng.0.load(Ordering::SeqCst)
    }

    pub(crate) async fn register(&self, body: &Value) -> (u16, Value) {
        let request = Request::post("/_matrix/client/v3/register");
        self.send(request.body(body.to_string().into_bytes()).unwrap())
            .await
    }

    /// Sends later requests from another network, for which other rate limits apply.
    pub(crate) fn move_network(&self) {
        self.network.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> (u16, Value) {
        let peer = Ipv4Addr::from(self.network.load(Ordering::SeqCst));
        let reply = self.local.call_from(peer.into(), request).await;
        let body = serde_json::from_slice(reply.body()).unwrap_or_default();
        (reply.status().as_u16(), body)
    }

    pub(crate) async fn whoami(&self, token: &str) -> Value {
        let request = Request::get("/_matrix/client/v3/account/whoami")
            .header("authorization", format!("Bearer {token}"));
        self.send(request.body(Vec::new()).unwrap()).await.1
    }

    pub(crate) async fn new_token(&self, arguments: &[&str]) -> String {
        let admin = test_support::operator(&self.local, Arc::new(SystemRng));
        let create = ["gatehouse-admin", "registration-tokens", "create"];
        let cli = Cli::try_parse_from(create.iter().chain(arguments)).unwrap();
        let made = admin.run(&cli.command).await.unwrap().json;
        made["token"].as_str().unwrap().to_owned()
    }

    fn accounts(&self) -> Vec<(String, String, Value)> {
        let rows = self.local.dynamodb().table("Accounts").unwrap();
        let key = |row: &Value, name: &str| row[name]["S"].as_str().unwrap().to_owned();
        rows.into_iter()
            .map(|row| (key(&row, "pk"), key(&row, "sk"), row))
            .collect()
    }

    /// Asserts that this many accounts exist, each with account row, password and one device.
    #[track_caller]
    pub(crate) fn assert_users(&self, number: usize) {
        let mut users: HashMap<String, Vec<String>> = HashMap::new();
        for (pk, sk, _) in self.accounts() {
            if pk.starts_with("USER#") {
                users.entry(pk).or_default().push(sk);
            }
        }
        assert_eq!(users.len(), number);
        for (who, mut rows) in users {
            rows.sort();
            assert!(
                rows.len() == 3 && rows[0] == "A" && rows[1].starts_with("DEV#") && rows[2] == "PW",
                "{who}: {rows:?}"
            );
        }
    }

    /// The remaining uses of all limited registration tokens.
    pub(crate) fn uses_left(&self) -> i64 {
        let rows = self.accounts();
        let shares = rows.iter().filter(|(_, sk, _)| sk.starts_with("S#"));
        shares
            .map(|(_, _, row)| row["left"]["N"].as_str().unwrap().parse::<i64>().unwrap())
            .sum()
    }
}
