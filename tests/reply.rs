//! A response of the server, and the invariants of every response.

use http::StatusCode;
use serde_json::Value;
use shared::http::COMMON_HEADERS;

/// A response of the gateway, with its complete body.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status of the response.
    pub status: StatusCode,
    /// The headers; a name can occur more than once.
    pub headers: http::HeaderMap,
    /// The bytes of the body, empty if the response has none.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The body of a 401 with a UIA challenge.
    #[track_caller]
    pub fn challenge(&self) -> Value {
        let body = self.json();
        assert_eq!(self.status, 401, "{body}");
        for (member, kind) in [
            ("flows", "array"),
            ("completed", "array"),
            ("params", "object"),
            ("session", "string"),
        ] {
            let right = match kind {
                "array" => body[member].is_array(),
                "object" => body[member].is_object(),
                _ => body[member].is_string(),
            };
            assert!(
                right,
                "UIA-02 to UIA-05: `{member}` must have type {kind}: {body}"
            );
        }
        body
    }

    /// Asserts a plain error: this status and errcode, and no flows.
    #[track_caller]
    pub fn error(&self, status: u16, errcode: &str) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status.as_u16(), body["errcode"].as_str()),
            (status, Some(errcode)),
            "{body}"
        );
        assert!(body.get("flows").is_none(), "UIA-09: {body}");
        body
    }

    /// Asserts a challenge with this errcode.
    #[track_caller]
    pub fn refused(&self, errcode: &str) -> Value {
        let body = self.challenge();
        assert_eq!(body["errcode"], errcode, "{body}");
        assert!(body["error"].is_string(), "UIA-08: {body}");
        body
    }

    /// Asserts the invariants of every response (HTTP-05, HTTP-06, HTTP-11, HTTP-12, HTTP-28,
    /// TOK-18).
    pub(crate) fn check(&self, request: &str, may_fail: bool) {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        if self.status.is_server_error() {
            assert!(may_fail, "{request}: a 5xx: {self:?}");
        }
        let names = COMMON_HEADERS
            .iter()
            .filter(|(name, _)| name.starts_with("access-control-"));
        if header("referrer-policy") == Some("same-origin") {
            self.check_page_of_browser(request);
            return;
        }
        for (name, value) in names {
            assert_eq!(
                header(name),
                Some(*value),
                "{request}: HTTP-11, HTTP-12: {name}"
            );
            assert_eq!(
                self.headers.get_all(*name).iter().count(),
                1,
                "{request}: {name} occurs twice"
            );
        }
        let kind = header("content-type").unwrap_or_default();
        if kind.starts_with("text/html") {
            assert!(
                header("content-security-policy")
                    .is_some_and(|policy| policy.contains("frame-ancestors 'none'"))
            );
            return;
        }
        if self.body.is_empty() {
            return;
        }
        assert_eq!(kind, "application/json", "{request}: HTTP-05");
        let body = self.json();
        assert!(body.is_object(), "{request}: {body}");
        let failed = self.status.is_client_error() || self.status.is_server_error();
        if failed && body["error_description"].is_string() {
            let is_oauth = request.contains(" /oauth2/") && body["error"].is_string();
            assert!(is_oauth, "{request}: {body}");
            return;
        }
        if failed && body.get("flows").is_none() {
            let code = body["errcode"].as_str().unwrap_or_default();
            assert!(
                code.starts_with("M_") && body["error"].is_string(),
                "{request}: HTTP-06: {body}"
            );
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            let seconds: u64 = header("retry-after")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            assert!(seconds >= 1, "{request}: HTTP-20: {self:?}");
            assert_eq!(body["retry_after_ms"], seconds * 1000, "{request}: HTTP-21");
        }
    }

    /// Asserts the invariants of every page of a browser session (OA-50, OA-51, OA-52, OA-53).
    fn check_page_of_browser(&self, request: &str) {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let names = self.headers.keys();
        let cors = names.filter(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(cors.count(), 0, "{request}: OA-50: {self:?}");
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(header(name), Some(value), "{request}: OA-50");
        }
        let policy = header("content-security-policy").unwrap_or_default();
        for directive in [
            "default-src 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            let mut directives = policy.split(';');
            assert!(
                directives.any(|own| own.trim() == directive),
                "{request}: OA-50: {policy}"
            );
        }
        if let Some(location) = header("location") {
            assert_eq!(self.status, 303, "{request}: OA-53");
            assert!(
                location.starts_with('/') && !location.starts_with("//"),
                "{request}: OA-52: {location}"
            );
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(header("retry-after").is_some(), "{request}: HTTP-20");
        }
    }
}
