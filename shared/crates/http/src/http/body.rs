//! JSON bodies: the one place that decides between M_TOO_LARGE (HTTP-18), M_NOT_JSON (HTTP-02) and
//! M_BAD_JSON (HTTP-03, HTTP-16).

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{ErrorCode, MatrixError};

/// The largest body accepted, in bytes (HTTP-18). The largest lawful one is below 8 kB.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A request's body: a JSON object whose members are read one by one, so that an error names the
/// member and never repeats what the client sent. `null` is the same as absent. Members that nobody
/// asks for have no effect (HTTP-17); text is UTF-8 and taken as it is (HTTP-26).
#[derive(Clone, Default, PartialEq)]
pub struct Body(Map<String, Value>);

crate::opaque_debug!(Body);

impl Body {
    /// Parses a body, whatever its `Content-Type` says (HTTP-04).
    pub fn parse(bytes: &[u8]) -> Result<Self, MatrixError> {
        if bytes.len() > MAX_BODY_BYTES {
            return Err(MatrixError::new(
                ErrorCode::TooLarge,
                "The request body is too large",
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

    /// The member `name`, if it is there and not `null`; M_BAD_JSON if it is of another type
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

    /// The member `name`; M_MISSING_PARAM if it is not there (HTTP-15).
    pub fn required<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, MatrixError> {
        self.optional(name)?.ok_or_else(|| {
            MatrixError::new(ErrorCode::MissingParam, format!("`{name}` is missing"))
        })
    }

    /// The whole body with its members sorted: equal bodies give equal text.
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
    fn http_02_what_is_no_json_is_m_not_json() {
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
    fn http_03_json_that_is_no_object_is_m_bad_json() {
        for bytes in [&b"[]"[..], b"\"x\"", b"null", b"1"] {
            assert_eq!(code(bytes), ErrorCode::BadJson, "{bytes:?}");
        }
    }

    #[test]
    fn http_18_a_large_body_is_refused_before_it_is_parsed() {
        assert_eq!(code(&vec![b'{'; MAX_BODY_BYTES + 1]), ErrorCode::TooLarge);
    }

    #[test]
    fn null_is_absent_and_another_type_is_refused() {
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
