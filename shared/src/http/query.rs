//! Queries and form bodies: names and values, decoded once (HTTP-25).

use crate::error::{ErrorCode, MatrixError};

/// Decoded name and value pairs, in order. Of a repeated name the first counts.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

crate::opaque_debug!(Query);

impl Query {
    /// Parses `application/x-www-form-urlencoded` text: a raw query or a form's body.
    pub fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of `name`; M_MISSING_PARAM without one.
    pub fn required(&self, name: &'static str) -> Result<&str, MatrixError> {
        self.get(name).ok_or_else(|| {
            MatrixError::new(
                ErrorCode::MissingParam,
                format!("The query parameter `{name}` is missing"),
            )
        })
    }

    /// All pairs, in order.
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
