//! Test support: a whole server in one process, with a frozen clock and seeded random numbers. Every
//! response is checked for the invariants that hold for all responses.
#![expect(
    clippy::expect_used,
    reason = "a failed expectation must fail the test"
)]

mod log;
mod reply;
mod requests;

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gatehouse_admin::{Admin, environment::Environment, services::Services};
use gatehouse_local::{
    Local, Options, aws_fakes::outbox::Message, dynamodb::proxy::Call, runtime::clock::MovableClock,
};
use http::{Request, request::Builder};
pub use log::Log;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng},
};
pub use reply::Reply;
pub use requests::{mail_to, text_to};
use serde_json::{Value, json};
use shared::{rng::Rng, store::Store};

/// The start time of every test: 2027-01-15, 08:00 UTC.
pub const NOW: i64 = 1_800_000_000_000;
/// A password that every policy accepts.
pub const PASSWORD: &str = "ostrich lamp 8 quarrel";
/// Both prefixes of the same API (HTTP-01).
pub const PREFIXES: [&str; 2] = ["/_matrix/client/r0", "/_matrix/client/v3"];

/// A random source that returns the same bytes in every run.
#[derive(Debug)]
pub struct SeededRng(Mutex<ChaCha20Rng>);

impl SeededRng {
    /// Starts the sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha20Rng::seed_from_u64(seed)))
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(bytes);
    }
}

/// A request with this JSON body.
fn json_request(request: Builder, body: &Value) -> Request<Vec<u8>> {
    let request = request.header("content-type", "application/json");
    request
        .body(body.to_string().into_bytes())
        .expect("a request")
}

/// A server under test.
pub struct TestServer {
    /// The gateway, the functions and the services behind them.
    pub local: Local,
    operator_rng: Arc<dyn Rng>,
    environment: Environment,
    may_fail: AtomicBool,
}

impl TestServer {
    /// Starts a server with the default settings of the tests: dummy registration, no limits, cheap
    /// hashes, no password policy.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Starts a server with these settings in place of the defaults.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::start(settings, None).await
    }

    /// Starts a server with these settings and with its tables in a directory.
    pub async fn in_directory(settings: &[(&str, &str)], data: &std::path::Path) -> Self {
        Self::start(settings, Some(data.to_owned())).await
    }

    #[expect(
        clippy::unused_async,
        reason = "starting needs the runtime of an async function"
    )]
    async fn start(settings: &[(&str, &str)], data: Option<std::path::PathBuf>) -> Self {
        let mut values = HashMap::from([
            ("GATEHOUSE_ARGON2".to_owned(), "m=8,t=1,p=1".to_owned()),
            ("GATEHOUSE_LIMITS".to_owned(), "off".to_owned()),
            ("GATEHOUSE_PASSWORD_MIN_SCORE".to_owned(), "0".to_owned()),
            (
                "GATEHOUSE_REGISTRATION_FLOWS".to_owned(),
                "m.login.dummy".to_owned(),
            ),
        ]);
        values.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let environment = Environment::of(values.clone());
        let options = Options {
            lookup: Arc::new(move |name| values.get(name).cloned()),
            data,
            clock: Arc::new(MovableClock::frozen(NOW)),
            rng: Arc::new(SeededRng::new(42)),
            ..Options::default()
        };
        let local = Local::start(options).expect("the server starts");
        Self {
            local,
            operator_rng: Arc::new(SeededRng::new(7)),
            environment,
            may_fail: AtomicBool::new(false),
        }
    }

    /// Allows 5xx responses from now on, because the test injects faults.
    pub fn expect_faults(&self) {
        self.may_fail.store(true, Ordering::Relaxed);
    }

    /// Sends a request and checks the invariants of every response.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Reply {
        self.send_from([127, 0, 0, 1].into(), request).await
    }

    /// Sends a request from another IP address.
    pub async fn send_from(&self, peer: IpAddr, request: Request<Vec<u8>>) -> Reply {
        let request_line = format!("{} {}", request.method(), request.uri());
        let (parts, body) = self.local.call_from(peer, request).await.into_parts();
        let reply = Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        };
        reply.check(&request_line, self.may_fail.load(Ordering::Relaxed));
        reply
    }

    /// Sends a `POST` request with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_text(path, &body.to_string()).await
    }

    /// Sends a `POST` request with any body.
    pub async fn post_text(&self, path: &str, body: &str) -> Reply {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(body.as_bytes().to_vec()).expect("a request"))
            .await
    }

    /// Sends a `POST` request with a JSON body from another IP address.
    pub async fn post_from(&self, peer: IpAddr, path: &str, body: &Value) -> Reply {
        self.send_from(peer, json_request(Request::post(path), body))
            .await
    }

    /// Sends a `POST` request with a JSON body and an access token from another IP address.
    pub async fn post_as_from(&self, peer: IpAddr, token: &str, path: &str, body: &Value) -> Reply {
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        self.send_from(peer, json_request(request, body)).await
    }

    /// Sends a `GET` request without a token.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Vec::new()).expect("a request"))
            .await
    }

    /// Sends a `GET` request with an access token.
    pub async fn get_as(&self, token: &str, path: &str) -> Reply {
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        self.send(request.body(Vec::new()).expect("a request"))
            .await
    }

    /// Sends `GET /account/whoami` with an access token.
    pub async fn whoami(&self, token: &str) -> Reply {
        self.get_as(token, "/_matrix/client/v3/account/whoami")
            .await
    }

    /// Sends `POST /register` with the v3 prefix.
    pub async fn register(&self, body: &Value) -> Reply {
        self.post("/_matrix/client/v3/register", body).await
    }

    /// Registers a user with [`PASSWORD`] in one request.
    pub async fn sign_up(&self, name: &str) -> Value {
        let body =
            json!({ "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
        self.register(&body).await.ok()
    }

    /// Starts a registration with these parameters. Returns its first 401 and the ID of its session.
    pub async fn begin(&self, body: &Value) -> (Value, String) {
        let challenge = self.register(body).await.challenge();
        let session = challenge["session"].as_str().expect("a session").to_owned();
        (challenge, session)
    }

    /// Advances the clock and removes the expired rows, as TTL would.
    pub fn advance(&self, by: Duration) {
        self.local.advance(by).expect("the clock advances");
    }

    /// Delivers the new rows of the outbox and returns their number.
    pub async fn deliver(&self) -> usize {
        self.local.deliver().await.expect("the stream is read")
    }

    /// Runs the schedule: every due message is delivered, independent of the result of its first
    /// attempt.
    pub async fn run_schedule(&self) {
        self.local.run_schedule().await;
    }

    /// The e-mails and text messages that were sent, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.local.outbox().messages()
    }

    /// Runs `work` and returns its result and its DynamoDB calls.
    pub async fn calls_of<T>(&self, work: impl Future<Output = T>) -> (T, Vec<Call>) {
        self.local.proxy().take_calls();
        let value = work.await;
        (value, self.local.proxy().take_calls())
    }

    /// Every row of every table, as text.
    pub fn dump(&self) -> String {
        self.local.dynamodb().dump().expect("a dump").to_string()
    }

    /// Sends an operation directly to the embedded DynamoDB, without functions, IAM policies and
    /// proxy.
    pub fn raw_dynamodb(&self, operation: &str, body: &Value) {
        let response = raw_dynamodb_at(self.local.dynamodb().address(), operation, body);
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }

    /// The admin CLI, with this server's tables.
    pub fn admin(&self) -> Admin {
        let rng = Arc::clone(&self.operator_rng);
        Admin {
            environment: self.environment.clone(),
            ..operator(&self.local, rng)
        }
    }

    /// Runs the admin CLI with these arguments and returns its JSON.
    pub async fn admin_run(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        use clap::Parser;
        let cli =
            gatehouse_admin::Cli::try_parse_from(["gatehouse-admin"].iter().chain(arguments))?;
        Ok(self.admin().run(&cli.command).await?.json)
    }

    /// Creates a registration token with these further arguments and returns it.
    pub async fn registration_token(&self, arguments: &[&str]) -> String {
        let all = [&["registration-tokens", "create"], arguments].concat();
        let made = self.admin_run(&all).await.expect("a token");
        made["token"].as_str().expect("a token").to_owned()
    }
}

/// The admin CLI with the tables of a server and with none of its settings.
pub fn operator(local: &Local, rng: Arc<dyn Rng>) -> Admin {
    let aws = local.aws("admin");
    let config = local.config();
    let at = |endpoint: &Option<String>| aws.sdk_config(endpoint.as_deref());
    Admin {
        store: Store::new(&aws, &config.tables, Arc::clone(&rng)),
        keys: config.keys.clone(),
        clock: Arc::clone(local.clock()) as _,
        rng,
        services: Services {
            tables: config.tables.clone(),
            dynamodb: aws_sdk_dynamodb::Client::new(&at(&aws.endpoints.dynamodb)),
            ses: aws_sdk_ses::Client::new(&at(&aws.endpoints.ses)),
            sns: aws_sdk_sns::Client::new(&at(&aws.endpoints.sns)),
        },
        environment: Environment::default(),
        show_progress: false,
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let denials = self.local.proxy().denials();
            assert!(
                denials.is_empty(),
                "calls that template.yaml does not allow: {denials:?}"
            );
        }
    }
}

/// Like [`TestServer::raw_dynamodb`], for the embedded DynamoDB at this address. Returns the response, which may be an
/// error.
pub fn raw_dynamodb_at(address: SocketAddr, operation: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).expect("the embedded DynamoDB listens");
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-amz-json-1.0\r\nx-amz-target: DynamoDB_20120810.{operation}\r\n\
         x-amz-date: 20270115T080000Z\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=test/20270115/local/dynamodb/aws4_request, \
         SignedHeaders=host, Signature=0\r\n\r\n{body}",
        body.len()
    )
    .expect("the embedded DynamoDB reads the request");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    response
}
