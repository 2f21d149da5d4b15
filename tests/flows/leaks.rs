//! Secret-leak tests: no password, token or other secret is in a table or a log line, in any state of
//! any flow.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod account_pages;
mod account_threepids;
mod accounts;
mod device_grant;
mod homeserver;
mod identity_server;
mod logins;
mod oauth_pages;
mod oauth_tokens;
mod registration;
mod sign_up_pages;
mod validation;

use std::sync::Arc;

use serde_json::{Value, json};
use test_support::{Log, PREFIXES, Reply, TestServer};

use crate::flows::support::{page, submit};

const PASSWORD: &str = "marker passwörd & 17 lamps";
const TOKEN_TEXT: &str = "Marker.Registration_Token~1";
const AS_TOKEN: &str = "marker-as-token-0123456789";
const RESPONSE: &str = "good-marker-captcha-response";
const CAPTCHA_SECRET: &str = "marker/secret+key";
const HS_TOKEN: &str = "marker-hs-token-0123456789";

/// Searches the tables and the log of a server for secrets after every response.
struct LeakDetector {
    server: Arc<TestServer>,
    log: Log,
    secrets: Vec<String>,
    /// Values that may be in a table but not in the log.
    only_stored: Vec<String>,
    /// Whether to skip the SDK's trace of its calls, at a level that no function logs, and the log
    /// of the fake services. Both contain values that must be sent to a table or a provider.
    ignores_sdk_trace: bool,
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

/// Every encoding in which `secret` may be written: plain, escaped, hexadecimal, and base64 at any
/// position in a longer text.
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
        // Only whole groups of three bytes are encoded, so that the bytes before and after have no effect.
        for inside in [bytes, &bytes[2..], &bytes[1..]] {
            forms.push(base64(&inside[..inside.len() / 3 * 3], last_two));
        }
    }
    // Four characters of base64 occur in unrelated hashes and tokens by chance.
    forms.retain(|form| form.len() >= 6);
    forms
}

/// Whether `text` contains `form`. Digits are found only as a whole number: six of the thirteen
/// digits of a time, or of the fraction of a duration, can equal a code by chance.
fn contains(text: &str, form: &str) -> bool {
    let is_number = form.bytes().all(|byte| byte.is_ascii_digit());
    text.match_indices(form).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + form.len()..].chars().next();
        let continues = before.is_some_and(|last| last.is_ascii_digit() || last == '.')
            || after.is_some_and(|next| next.is_ascii_digit());
        !(is_number && continues)
    })
}

impl LeakDetector {
    async fn start(settings: &[(&str, &str)], log: &Log) -> Self {
        let server = Arc::new(TestServer::with(settings).await);
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

    /// Searches the tables and the log.
    #[track_caller]
    fn search(&self) {
        let tables = self.server.dump();
        let log = self.log.text();
        let of_wire = |line: &&str| {
            let level = line.split_whitespace().next();
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
                let found = !allowed && contains(&tables, &form);
                assert!(!found, "{secret} is in a table as {form}");
                if let Some(line) = log.iter().find(|line| contains(line, &form)) {
                    let line: String = line.chars().take(400).collect();
                    panic!("{secret} is in the log as {form}: {line}");
                }
            }
        }
    }

    /// Adds every secret of a response and searches for all secrets.
    #[track_caller]
    fn check(&mut self, reply: &Reply) -> Value {
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

    async fn register(&mut self, body: &Value) -> Value {
        let reply = self.server.register(body).await;
        self.check(&reply)
    }

    async fn begin(&mut self, registration: &Value) -> String {
        let body = self.register(registration).await;
        body["session"].as_str().unwrap().to_owned()
    }

    async fn submit(&mut self, kind: &str, session: &str, form: &str) -> u16 {
        let reply = submit(&self.server, &page(PREFIXES[1], kind, session), form).await;
        self.check(&reply);
        reply.status.as_u16()
    }
}

#[test]
fn a_secret_is_found_in_every_encoding() {
    let secret = "marker-1";
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

#[test]
fn a_code_is_found_as_a_whole_number() {
    let found = |text: &str| {
        let forms = encodings("123456");
        forms.iter().any(|form| contains(text, form))
    };
    let [whole, part] = [&b"123456"[..], b"234"].map(|bytes| base64(bytes, *b"+/"));
    for text in [
        "123456",
        "code=123456.",
        "\"123456\"",
        "313233343536",
        &whole,
    ] {
        assert!(found(text), "{text}");
    }
    for text in ["1764123456789", "7123456", "0.123456ms", "1234567", &part] {
        assert!(!found(text), "{text}");
    }
}
