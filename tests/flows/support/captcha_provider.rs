//! A fake captcha provider on the loopback interface.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;

use super::flows;

/// The secret key in [`Provider::settings`].
pub(crate) const SECRET: &str = "marker/secret+key";

/// A fake provider. Its HTTP response depends on the captcha response in the request, unless it was started with an
/// error code. A good captcha response is accepted once.
pub(crate) struct Provider {
    pub(crate) url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    forms: Mutex<Vec<String>>,
    spent: Mutex<HashSet<String>>,
    open: AtomicBool,
    code: Mutex<Option<&'static str>>,
    changed: (Mutex<()>, Condvar),
}

impl Provider {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/siteverify", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&own);
                std::thread::spawn(move || state.answer(stream));
            }
        });
        Self { url, state }
    }

    /// A provider that rejects every response with this error code.
    pub(crate) fn answering(code: &'static str) -> Self {
        let provider = Self::start();
        *provider.state.code.lock().unwrap() = Some(code);
        provider
    }

    /// The forms that were posted.
    pub(crate) fn forms(&self) -> Vec<String> {
        self.state.forms.lock().unwrap().clone()
    }

    /// Releases the responses that were held back.
    pub(crate) fn release(&self) {
        self.state.open.store(true, Ordering::SeqCst);
        self.state.disclosing();
    }

    /// A provider at a URL where nothing answers.
    pub(crate) fn unreachable(url: String) -> Self {
        Self {
            url,
            state: Arc::default(),
        }
    }

    pub(crate) fn settings<'a>(&'a self, flow: &'a str) -> [(&'static str, &'a str); 5] {
        [
            flows(flow),
            ("GATEHOUSE_CAPTCHA_PROVIDER", "recaptcha"),
            ("GATEHOUSE_CAPTCHA_SITE_KEY", "site-key"),
            ("GATEHOUSE_CAPTCHA_SECRET_KEY", SECRET),
            ("GATEHOUSE_CAPTCHA_VERIFY_URL", &self.url),
        ]
    }
}

impl State {
    fn disclosing(&self) {
        drop(self.changed.0.lock().unwrap());
        self.changed.1.notify_all();
    }

    fn wait(&self, until: impl Fn() -> bool) {
        let guard = self.changed.0.lock().unwrap();
        drop(self.changed.1.wait_while(guard, |()| !until()).unwrap());
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some(form) = read_form(&stream) else {
            return;
        };
        self.forms.lock().unwrap().push(form.clone());
        self.disclosing();
        let response = form.rsplit_once("response=").unwrap().1.to_owned();
        let Some((status, body)) = self.body_of(&response) else {
            return;
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        // The client may have closed the connection.
        let _ = stream.write_all(answer.as_bytes());
    }

    /// The status and the body of the response to a captcha response. `None` closes the connection.
    fn body_of(&self, response: &str) -> Option<(&'static str, String)> {
        let first = self.spent.lock().unwrap().insert(response.to_owned());
        let success = json!({ "success": first, "hostname": "localhost" }).to_string();
        let code = *self.code.lock().unwrap();
        Some(
            match code.map_or(response.split('-').next().unwrap(), |_| "code") {
                "code" => {
                    let body = json!({ "success": false, "error-codes": [code] });
                    ("200 OK", body.to_string())
                }
                "good" => ("200 OK", success),
                // Two requests arrive before the first is accepted. The response to the first is sent
                // before the rejection of the second.
                "held" => {
                    self.wait(|| {
                        if first {
                            self.forms.lock().unwrap().len() == 2
                        } else {
                            self.open.load(Ordering::SeqCst)
                        }
                    });
                    ("200 OK", success)
                }
                "bad" => (
                    "200 OK",
                    r#"{"success":false,"error-codes":["invalid-input-response"]}"#.to_owned(),
                ),
                "old" => (
                    "200 OK",
                    r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#.to_owned(),
                ),
                "ours" => {
                    let code = response.strip_prefix("ours-").unwrap();
                    let body = json!({ "success": false, "error-codes": [code] }).to_string();
                    ("200 OK", body)
                }
                "refused" => (
                    "400 Bad Request",
                    r#"{"success":false,"error-codes":["bad-request"]}"#.to_owned(),
                ),
                "html" => ("200 OK", "<html>success: true</html>".to_owned()),
                "text" => ("200 OK", r#"{"success":"true"}"#.to_owned()),
                "number" => ("200 OK", r#"{"success":1}"#.to_owned()),
                "nothing" => ("200 OK", "{}".to_owned()),
                "null" => ("200 OK", "null".to_owned()),
                "empty" => ("200 OK", String::new()),
                "huge" => (
                    "200 OK",
                    format!(r#"{{"success":true,"x":"{}"}}"#, "x".repeat(70_000)),
                ),
                "fault" => ("503 Service Unavailable", r#"{"success":true}"#.to_owned()),
                "moved" => (
                    "302 Found\r\nlocation: /elsewhere",
                    r#"{"success":true}"#.to_owned(),
                ),
                "slow" => {
                    std::thread::sleep(std::time::Duration::from_secs(20));
                    return None;
                }
                _ => return None,
            },
        )
    }
}

/// The form of a request. `None` if the client closed the connection.
fn read_form(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    assert!(head.starts_with("POST /siteverify "), "{head}");
    let lower = head.to_lowercase();
    assert!(
        lower.contains("content-type: application/x-www-form-urlencoded"),
        "{head}"
    );
    let mut form = vec![0; length];
    reader.read_exact(&mut form).unwrap();
    let form = String::from_utf8(form).unwrap();
    Some(form)
}
