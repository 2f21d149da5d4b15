//! What nobody may find: passwords, tokens, captcha responses and session strings, in any table or
//! any log, at any moment of any flow.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use serde_json::{Value, json};
use test_support::{Log, PREFIXES, Reply, TestServer};

use crate::flows::{
    support::{
        DUMMY, POLICIES, RECAPTCHA, TERMS, TOKEN, flows, page, stage, submit, token_stage, with,
    },
    uia::captcha::Provider,
};

const PASSWORD: &str = "canary passwörd & 17 lamps";
const TOKEN_TEXT: &str = "Canary.Registration_Token~1";
const AS_TOKEN: &str = "canary-as-token-0123456789";
const RESPONSE: &str = "good-canary-captcha-response";
const CAPTCHA_SECRET: &str = "canary/secret+key";
const HS_TOKEN: &str = "canary-hs-token-0123456789";

/// A house that is searched after every answer, and what must not be found in it.
pub(crate) struct LeakDetector {
    pub(crate) server: TestServer,
    log: Log,
    pub(crate) secrets: Vec<String>,
    /// What may be in a table, and in no log.
    pub(crate) only_stored: Vec<String>,
    /// Whether what the SDK writes down of its own calls, at a level below any that a function logs
    /// at, is not looked at, nor what the stand-in for the providers does: both show what goes to a
    /// table or a provider, as it must.
    pub(crate) ignores_sdk_trace: bool,
}

/// Base64 of `bytes`, without padding, in the standard or the URL-safe alphabet.
fn base64(bytes: &[u8], last_two: [u8; 2]) -> String {
    let alphabet: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(last_two)
        .collect();
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let digit = word >> (18 - 6 * place) & 63;
            text.push(char::from(alphabet[digit as usize]));
        }
    }
    text
}

/// Every way in which `secret` may be written: plain, escaped, in hexadecimal digits, and in base64
/// wherever in a longer text it stands.
fn encodings(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let json = json!(secret).to_string();
    let debug = format!("{secret:?}");
    let ascii = secret.escape_default().to_string();
    let escaped: String = bytes
        .iter()
        .flat_map(|byte| std::ascii::escape_default(*byte))
        .map(char::from)
        .collect();
    let percent: String = bytes
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(*byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let hex = bytes
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let list = bytes
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let mut forms = vec![
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        debug.trim_matches('"').to_owned(),
        ascii,
        escaped,
        percent.replace("%20", "+"),
        percent,
        hex.to_uppercase(),
        hex,
        list,
    ];
    for last_two in [*b"+/", *b"-_"] {
        // Whole groups of three: what stands before and behind does not show in them.
        for inside in [bytes, &bytes[2..], &bytes[1..]] {
            forms.push(base64(&inside[..inside.len() / 3 * 3], last_two));
        }
    }
    forms
}

impl LeakDetector {
    pub(crate) async fn start(settings: &[(&str, &str)], log: &Log) -> Self {
        let server = TestServer::with(settings).await;
        let secrets = [
            PASSWORD,
            TOKEN_TEXT,
            AS_TOKEN,
            HS_TOKEN,
            RESPONSE,
            CAPTCHA_SECRET,
        ];
        let secrets = secrets.map(str::to_owned).to_vec();
        Self {
            server,
            log: log.clone(),
            secrets,
            only_stored: Vec::new(),
            ignores_sdk_trace: false,
        }
    }

    /// Searches everything.
    #[track_caller]
    pub(crate) fn search(&self) {
        let tables = self.server.dump();
        let log = self.log.text();
        let of_wire = |line: &&str| {
            let level = line.split_whitespace().nth(1);
            let of_sdk = line.contains(" aws_smithy_runtime::client::") && level == Some("TRACE");
            of_sdk || line.contains(" gatehouse_local::")
        };
        let log: Vec<&str> = log
            .lines()
            .filter(|line| !(self.ignores_sdk_trace && of_wire(line)))
            .collect();
        for secret in self.secrets.iter().chain(&self.only_stored) {
            let allowed = self.only_stored.contains(secret);
            for form in encodings(secret) {
                let found = !allowed && tables.contains(&form);
                assert!(!found, "{secret} is in a table as {form}");
                if let Some(line) = log.iter().find(|line| line.contains(&form)) {
                    let line: String = line.chars().take(400).collect();
                    panic!("{secret} is in the log as {form}: {line}");
                }
            }
        }
    }

    /// Takes note of every secret of an answer, and searches.
    #[track_caller]
    pub(crate) fn check(&mut self, reply: &Reply) -> Value {
        let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        for member in ["session", "access_token", "refresh_token"] {
            if let Some(secret) = body[member].as_str()
                && !self.secrets.iter().any(|own| own == secret)
            {
                self.secrets.push(secret.to_owned());
            }
        }
        self.search();
        body
    }

    pub(crate) async fn register(&mut self, body: &Value) -> Value {
        let reply = self.server.register(body).await;
        self.check(&reply)
    }

    pub(crate) async fn begin(&mut self, wish: &Value) -> String {
        let body = self.register(wish).await;
        body["session"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn submit(&mut self, kind: &str, session: &str, form: &str) -> u16 {
        let reply = submit(&self.server, &page(PREFIXES[1], kind, session), form).await;
        self.check(&reply);
        reply.status.as_u16()
    }
}

fn wish(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD, "refresh_token": true })
}

#[test]
fn a_canary_is_found_in_every_disguise() {
    let secret = "canary-1";
    assert_eq!(base64(b"Man", *b"+/"), "TWFu");
    assert_eq!(base64(b"\xfb\xff", *b"-_"), "-_8");
    for before in ["", "x", "xy", "xyz"] {
        let text = format!("{before}{secret}and more");
        for last_two in [*b"+/", *b"-_"] {
            let coded = base64(text.as_bytes(), last_two);
            assert!(
                encodings(secret).iter().any(|form| coded.contains(form)),
                "{before}"
            );
        }
    }
}

/// L4, incident 12 (the new password in clear in the UIA row), incident 22 (a span logged it)
#[tokio::test]
async fn incident_12_no_secret_stands_in_a_table_or_a_log_at_any_moment_of_a_sign_up() {
    let (log, _guard) = Log::capture();
    let provider = Provider::start();
    let mut settings = provider
        .settings("m.login.recaptcha+m.login.registration_token+m.login.terms+m.login.dummy")
        .to_vec();
    settings.push(POLICIES);
    let mut detector = LeakDetector::start(&settings, &log).await;
    detector
        .server
        .registration_token(&["--token", TOKEN_TEXT, "--uses", "9"])
        .await;
    detector.search();
    for by_page in [false, true] {
        let session = detector.begin(&wish(&format!("alice{by_page}"))).await;
        if by_page {
            assert_eq!(
                detector
                    .submit(
                        RECAPTCHA,
                        &session,
                        &format!("g-recaptcha-response={RESPONSE}-1")
                    )
                    .await,
                200
            );
            assert_eq!(
                detector
                    .submit(TOKEN, &session, &format!("token={TOKEN_TEXT}"))
                    .await,
                200
            );
            assert_eq!(detector.submit(TERMS, &session, "").await, 200);
            assert_eq!(detector.submit(DUMMY, &session, "").await, 200);
            let answer = detector
                .register(&json!({ "auth": { "session": session } }))
                .await;
            assert!(answer["access_token"].is_string());
            continue;
        }
        let captcha =
            json!({ "auth": { "type": RECAPTCHA, "session": session, "response": RESPONSE } });
        detector.register(&captcha).await;
        detector
            .register(&token_stage("canary-wrong-token", Some(&session)))
            .await;
        detector
            .register(&token_stage(TOKEN_TEXT, Some(&session)))
            .await;
        detector.register(&stage(TERMS, &session)).await;
        detector
            .register(&json!({ "password": PASSWORD, "auth": { "session": session } }))
            .await;
        let answer = detector.register(&stage(DUMMY, &session)).await;
        assert!(answer["refresh_token"].is_string());
        let again = detector.register(&stage(DUMMY, &session)).await;
        assert_eq!(again, answer);
        let token = answer["access_token"].as_str().unwrap();
        let whoami = detector
            .server
            .get_as(token, "/_matrix/client/v3/account/whoami")
            .await;
        detector.check(&whoami);
        let query = format!("/_matrix/client/v3/account/whoami?access_token={token}");
        let whoami = detector.server.get(&query).await;
        assert_eq!(detector.check(&whoami)["user_id"], "@alicefalse:localhost");
    }
    assert!(log.text().contains("/register"), "the log is listened to");
}

/// L4, incident 22: the same for what fails.
#[tokio::test]
async fn incident_22_no_secret_stands_in_the_log_of_a_failure() {
    let (log, _guard) = Log::capture();
    let mut detector = LeakDetector::start(&[flows("m.login.dummy")], &log).await;
    detector.server.sign_up("taken").await;
    detector.secrets.push("canary-wrong-token".to_owned());
    let session = detector.begin(&wish("alice")).await;
    let taken = with(wish("taken"), &stage(DUMMY, &session));
    detector.register(&taken).await;
    detector
        .register(&with(wish("b@d"), &stage(DUMMY, &session)))
        .await;
    detector
        .register(&with(
            wish("alice"),
            &json!({ "auth": { "type": PASSWORD, "session": session } }),
        ))
        .await;
    detector
        .register(&with(wish("alice"), &stage(DUMMY, "canary-wrong-token")))
        .await;
    detector
        .register(&with(wish("alice"), &json!({ "device_id": [PASSWORD] })))
        .await;
    detector
        .register(&with(
            wish("alice"),
            &json!({ "guest_access_token": "canary-wrong-token" }),
        ))
        .await;
    let broken = format!(r#"{{"password":"{PASSWORD}","#);
    let reply = detector
        .server
        .post_text("/_matrix/client/v3/register", &broken)
        .await;
    detector.check(&reply);
    let junk = detector
        .server
        .get_as("canary-wrong-token", "/_matrix/client/v3/account/whoami")
        .await;
    detector.check(&junk);
    let validity =
        "/_matrix/client/v1/register/m.login.registration_token/validity?token=canary-wrong-token";
    let reply = detector.server.get(validity).await;
    detector.check(&reply);
    // A service that is out of order has its causes logged.
    detector.server.expect_faults();
    let cut = gatehouse_local::proxy::Fault::new(gatehouse_local::proxy::FaultKind::Cut);
    detector.server.local.proxy().inject(cut.times(4));
    let reply = detector.server.register(&stage(DUMMY, &session)).await;
    assert_eq!(reply.status, 500);
    detector.check(&reply);
    assert!(log.text().contains("through our fault"));
    detector.register(&stage(DUMMY, &session)).await;
}

/// Incident 12: application services, guests and their upgrade.
#[tokio::test]
async fn incident_12_no_secret_of_guests_and_application_services_stands_anywhere() {
    let (log, _guard) = Log::capture();
    let mut detector = LeakDetector::start(&[("GATEHOUSE_GUESTS", "true")], &log).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("irc.yaml");
    let yaml = format!(
        "id: irc\nas_token: {AS_TOKEN}\nhs_token: {HS_TOKEN}\nsender_localpart: ircbot\n\
         namespaces:\n  users:\n  - exclusive: true\n    regex: '@irc_.*'\n"
    );
    std::fs::write(&file, yaml).unwrap();
    detector
        .server
        .admin_run(&["appservices", "add", file.to_str().unwrap()])
        .await
        .unwrap();
    detector.search();
    let bridged = json!({ "type": "m.login.application_service", "username": "irc_alice" });
    let request = http::Request::post("/_matrix/client/v3/register")
        .header("authorization", format!("Bearer {AS_TOKEN}"));
    let reply = detector
        .server
        .send(request.body(bridged.to_string().into_bytes()).unwrap())
        .await;
    reply.ok();
    detector.check(&reply);
    let whoami = detector
        .server
        .get_as(AS_TOKEN, "/_matrix/client/v3/account/whoami")
        .await;
    whoami.ok();
    detector.check(&whoami);
    let guest = detector
        .server
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await;
    guest.ok();
    let guest = detector.check(&guest);
    let name = guest["user_id"].as_str().unwrap()[1..]
        .split(':')
        .next()
        .unwrap();
    let upgrade = with(
        wish(name),
        &json!({ "guest_access_token": guest["access_token"] }),
    );
    let session = detector.begin(&upgrade).await;
    let answer = detector.register(&stage(DUMMY, &session)).await;
    assert_eq!(answer["user_id"], guest["user_id"]);
}
