//! The reason why a provider did not send a message.

use shared::aws::AwsCallError;

/// The reason why a message was not sent, or may not have been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The provider will never accept the message: the address does not exist, or its owner has
    /// opted out.
    Permanent(String),
    /// The provider did not accept the message, and may accept it later.
    Temporary(String),
    /// The message may have been sent.
    Unknown,
}

impl SendError {
    /// Classifies a failed call. `permanent` lists the error codes that a retry would not change.
    /// The operator can resolve every other rejection (a throttle, a quota, a permission, an
    /// unverified sender), so such a message is sent again later.
    pub(crate) fn from_call(error: AwsCallError, permanent: &[&str]) -> Self {
        match error {
            AwsCallError::Refused(code) if permanent.contains(&code.as_str()) => {
                Self::Permanent(code)
            }
            AwsCallError::Refused(code) => Self::Temporary(code),
            AwsCallError::Unreached => Self::unreachable(),
            AwsCallError::Unsure => Self::Unknown,
        }
    }

    /// The request did not reach the provider.
    pub(crate) fn unreachable() -> Self {
        Self::Temporary("the provider could not be reached".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_a_retry_cannot_change_are_permanent() {
        let rejected =
            |code: &str| SendError::from_call(AwsCallError::Refused(code.to_owned()), &["Final"]);
        assert_eq!(rejected("Final"), SendError::Permanent("Final".to_owned()));
        for code in ["Throttling", "AccessDenied", "unknown", "final"] {
            assert_eq!(rejected(code), SendError::Temporary(code.to_owned()));
        }
        let unreached = SendError::from_call(AwsCallError::Unreached, &["Final"]);
        assert_eq!(unreached, SendError::unreachable());
        let unsure = SendError::from_call(AwsCallError::Unsure, &["Final"]);
        assert_eq!(unsure, SendError::Unknown);
    }
}
