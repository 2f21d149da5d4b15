//! The parameters of an operation as its session stores them (UIA-19), and their merge with the
//! parameters of a later request.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::secrets::Secret;

const NONE: &str = "null";

/// The parameters of an operation. Only types that implement this trait are serialised into the sealed
/// session state.
pub trait RequestParameters: Default + Serialize + DeserializeOwned {
    /// Completes these parameters with those that the session stores.
    fn merge(self, remembered: Self) -> Result<Self, ParametersChangedError>;
}

/// A later request of a session gives a parameter another value (UIA-20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a parameter differs from the value that the session stores")]
pub struct ParametersChangedError;

/// The stored value if the request omits the parameter (UIA-19). Returns an error if the request gives
/// another value (UIA-20).
pub fn merge_unchanged<T: PartialEq>(
    given: Option<T>,
    remembered: Option<T>,
) -> Result<Option<T>, ParametersChangedError> {
    match (given, remembered) {
        (Some(given), Some(remembered)) if given != remembered => Err(ParametersChangedError),
        (given, remembered) => Ok(given.or(remembered)),
    }
}

/// The parameters of an operation without parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoParameters {}

impl RequestParameters for NoParameters {
    fn merge(self, _: Self) -> Result<Self, ParametersChangedError> {
        Ok(self)
    }
}

/// The one parameter of a registration that the pages show.
#[derive(Debug, Default, Deserialize)]
pub struct RequestedName {
    /// The username, as it was sent.
    pub username: Option<String>,
}

/// The parameters of any operation, as JSON text. The text may hold a password: it is wiped when
/// dropped and stored only inside the sealed session state.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionParameters(Secret);

crate::opaque_debug!(SessionParameters);

impl Default for SessionParameters {
    fn default() -> Self {
        Self(Secret::new(NONE.to_owned()))
    }
}

impl SessionParameters {
    /// The text of these parameters.
    pub fn of(parameters: &impl RequestParameters) -> Self {
        // Serialisation cannot fail: every member is a string, a number, a boolean or a list.
        serde_json::to_string(parameters)
            .map_or_else(|_| Self::default(), |text| Self(Secret::new(text)))
    }

    /// Deserialises the parameters. Returns the default value if the session contains none.
    pub fn read<P: Default + DeserializeOwned>(&self) -> Result<P, serde_json::Error> {
        serde_json::from_str::<Option<P>>(self.0.reveal()).map(Option::unwrap_or_default)
    }
}

impl Serialize for SessionParameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The text is borrowed, so that no copy of it remains in memory.
        let raw: &RawValue =
            serde_json::from_str(self.0.reveal()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SessionParameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Secret::new(Box::<str>::from(raw).into_string())))
    }
}

/// For `#[serde(with)]` on an optional secret parameter. `Secret` itself cannot be serialised. This module
/// is the only exception, for types that are serialised only into the sealed session state.
pub mod sealed_secret {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::secrets::Secret;

    /// Writes the secret.
    pub fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::reveal).serialize(serializer)
    }

    /// Reads the secret.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
    }

    /// For `#[serde(with)]` on a required secret parameter.
    pub mod required {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use crate::secrets::Secret;

        /// Writes the secret.
        pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
            secret.reveal().serialize(serializer)
        }

        /// Reads the secret.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
            String::deserialize(deserializer).map(Secret::new)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Example {
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "sealed_secret"
        )]
        password: Option<Secret>,
        #[serde(skip_serializing_if = "Option::is_none")]
        erase: Option<bool>,
    }

    impl RequestParameters for Example {
        fn merge(self, remembered: Self) -> Result<Self, ParametersChangedError> {
            Ok(Self {
                password: merge_unchanged(self.password, remembered.password)?,
                erase: merge_unchanged(self.erase, remembered.erase)?,
            })
        }
    }

    fn example(password: Option<&str>, erase: Option<bool>) -> Example {
        Example {
            password: password.map(|text| Secret::new(text.to_owned())),
            erase,
        }
    }

    #[test]
    fn uia_19_what_a_request_omits_is_remembered() {
        let remembered = example(Some("s3cret"), None);
        let merged = example(None, Some(true)).merge(remembered).unwrap();
        assert_eq!(merged, example(Some("s3cret"), Some(true)));
    }

    #[test]
    fn uia_20_a_parameter_must_not_change() {
        let remembered = || example(Some("s3cret"), Some(false));
        for changed in [example(Some("other"), None), example(None, Some(true))] {
            assert_eq!(changed.merge(remembered()), Err(ParametersChangedError));
        }
        assert_eq!(remembered().merge(remembered()), Ok(remembered()));
    }

    #[test]
    fn parameters_are_stored_as_an_object_and_not_as_text() {
        #[derive(Serialize, Deserialize)]
        struct State {
            parameters: SessionParameters,
        }
        let parameters = SessionParameters::of(&example(Some("s3\"cret"), Some(true)));
        let text = serde_json::to_string(&State { parameters }).unwrap();
        assert_eq!(
            text,
            r#"{"parameters":{"password":"s3\"cret","erase":true}}"#
        );
        let read: State = serde_json::from_slice(text.as_bytes()).unwrap();
        let read: Example = read.parameters.read().unwrap();
        assert_eq!(read, example(Some("s3\"cret"), Some(true)));
    }

    #[test]
    fn a_session_without_parameters_reads_as_the_default() {
        let none = SessionParameters::default();
        assert_eq!(none.read::<Example>().unwrap(), Example::default());
        assert_eq!(serde_json::to_string(&none).unwrap(), "null");
    }
}
