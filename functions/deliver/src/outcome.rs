//! The result of one delivery attempt, and its log text.

use shared::{outbox::DeliveryResult, store::StoreError};

/// The result of one delivery attempt of an outbox row. The text is the provider's message ID if the message was
/// sent, otherwise the reason for the log.
pub(crate) enum Outcome {
    /// The row is finished.
    Done(DeliveryResult, String),
    /// The row is due again later.
    Retry(String),
}

impl Outcome {
    /// There is nothing to send.
    pub(crate) fn skipped(reason: &str) -> Self {
        Self::Done(DeliveryResult::Skipped, reason.to_owned())
    }

    /// The row failed permanently.
    pub(crate) fn failed(reason: &str) -> Self {
        Self::Done(DeliveryResult::Failed, reason.to_owned())
    }

    /// The row is too old to be sent, or its message exceeds the daily limit.
    pub(crate) fn expired(reason: &str) -> Self {
        Self::Done(DeliveryResult::Expired, reason.to_owned())
    }

    /// The row is due again later.
    pub(crate) fn retry(reason: &str) -> Self {
        Self::Retry(reason.to_owned())
    }
}

impl From<StoreError> for Outcome {
    fn from(error: StoreError) -> Self {
        Self::Retry(error.to_string())
    }
}
