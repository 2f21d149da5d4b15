//! Parsing of JSON bodies. Only this module returns M_NOT_JSON (HTTP-02), M_BAD_JSON for a whole
//! body (HTTP-03, HTTP-16) and M_TOO_LARGE for JSON (HTTP-18).

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{ErrorCode, MatrixError};

/// The largest accepted body in bytes (HTTP-18). The largest valid body is below 8 kB.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The JSON object in the body of a request. Handlers read its members one by one, so that an error
/// names the member and never repeats a value that the client sent. `null` is equivalent to an
/// absent member. Unknown members have no effect (HTTP-17). Text is UTF-8 and is not normalised
/// (HTTP-26).
#[derive(Clone, Default, PartialEq)]
pub struct Body(Map<String, Value>);

crate::opaque_debug!(Body);

impl Body {
    /// Parses a body. The `Content-Type` header has no effect (HTTP-04).
    pub fn parse(bytes: &[u8]) -> Result<Self, MatrixError> {
        if bytes.len() > MAX_BODY_BYTES {
            return Err(MatrixError::new(
                ErrorCode::TooLarge,
                "The request body is larger than 64 KiB",
            ));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(MatrixError::new(
                ErrorCode::BadJson,
                "The request body must be a JSON object",
            )),
            Err(_) => Err(MatrixError::new(
                ErrorCode::NotJson,
                "The request body is not valid JSON",
            )),
        }
    }

    /// The member `name`. Returns `None` if it is absent or `null`. Fails with M_BAD_JSON if it has another type
    /// (HTTP-16).
    pub fn optional<T: DeserializeOwned>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, MatrixError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|_| {
                MatrixError::new(ErrorCode::BadJson, format!("`{name}` has the wrong type"))
            }),
        }
    }

    /// The member `name`. Fails with M_MISSING_PARAM if it is absent (HTTP-15).
    pub fn required<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, MatrixError> {
        self.optional(name)?.ok_or_else(|| {
            MatrixError::new(ErrorCode::MissingParam, format!("`{name}` is missing"))
        })
    }

    /// The body as text with sorted members, so that equal bodies have equal text.
    pub fn canonical(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

impl From<Map<String, Value>> for Body {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(bytes: &[u8]) -> ErrorCode {
        Body::parse(bytes).unwrap_err().code
    }

    #[test]
    fn http_02_invalid_json_is_m_not_json() {
        for bytes in [
            &b""[..],
            b"{",
            b"{\"a\":\"\x81\"}",
            b"{}{}",
            br#"{"a":"\ud800"}"#,
        ] {
            assert_eq!(code(bytes), ErrorCode::NotJson, "{bytes:?}");
        }
    }

    #[test]
    fn http_03_json_other_than_an_object_is_m_bad_json() {
        for bytes in [&b"[]"[..], b"\"x\"", b"null", b"1"] {
            assert_eq!(code(bytes), ErrorCode::BadJson, "{bytes:?}");
        }
    }

    #[test]
    fn http_18_a_large_body_is_rejected_before_it_is_parsed() {
        assert_eq!(code(&vec![b'{'; MAX_BODY_BYTES + 1]), ErrorCode::TooLarge);
    }

    #[test]
    fn null_is_absent_and_another_type_is_rejected() {
        let body = Body::parse(br#"{"a":null,"b":5}"#).unwrap();
        assert_eq!(body.optional::<String>("a").unwrap(), None);
        assert_eq!(
            body.optional::<String>("b").unwrap_err().code,
            ErrorCode::BadJson
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes: Vec<u8>) {
            let _ = Body::parse(&bytes);
        }
    }
}
