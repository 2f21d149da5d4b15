//! Query strings and form bodies: names and values, decoded once (HTTP-25).

use super::MAX_BODY_BYTES;
use crate::error::{ErrorCode, MatrixError};

/// Decoded pairs of name and value in their original order. The first value of a repeated name is
/// used.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

crate::opaque_debug!(Query);

impl Query {
    /// Parses `application/x-www-form-urlencoded` text: a raw query or the body of a form.
    pub fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Parses the body of a form. Fails with M_TOO_LARGE if it exceeds [`MAX_BODY_BYTES`] (HTTP-18).
    pub fn of_form(body: &[u8]) -> Result<Self, MatrixError> {
        if body.len() > MAX_BODY_BYTES {
            return Err(MatrixError::new(
                ErrorCode::TooLarge,
                "The form is larger than 64 KiB",
            ));
        }
        Ok(Self::parse(body))
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of `name`. Fails with M_MISSING_PARAM if there is none.
    pub fn required(&self, name: &'static str) -> Result<&str, MatrixError> {
        self.get(name).ok_or_else(|| {
            MatrixError::new(
                ErrorCode::MissingParam,
                format!("The query parameter `{name}` is missing"),
            )
        })
    }

    /// All pairs in their original order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Query {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_25_an_encoded_plus_stays_a_plus() {
        let query = Query::parse(b"username=a%2Bb&username=c&empty=");
        assert_eq!(query.get("username"), Some("a+b"));
        assert_eq!(query.get("empty"), Some(""));
        assert_eq!(
            query.required("absent").unwrap_err().code,
            ErrorCode::MissingParam
        );
    }
}
