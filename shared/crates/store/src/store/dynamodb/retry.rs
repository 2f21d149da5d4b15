//! Retries of contended calls, and the conversion of SDK errors to [`StoreError`].
//!
//! Transaction conflicts are normal, and the SDK does not repeat a call after one. The store repeats the call up to
//! [`RETRIES`] times with jitter. A write may have happened although its response was lost, so a nonce or a client
//! request token identifies each write that is not idempotent.

use std::{fmt::Debug, future::Future, time::Duration};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::{
    aws,
    metrics::{self, Metric},
    store::{Store, StoreError},
};

/// The maximum number of repetitions of a contended call.
const RETRIES: u32 = 5;
/// The upper bound of the first delay. The bound doubles with each repetition.
const FIRST_WAIT_MS: u32 = 20;

/// The error of one call.
pub(super) enum CallError {
    /// The call conflicted with a transaction and may be repeated.
    Contended,
    /// The call must not be repeated.
    Final(StoreError),
}

impl<E: ProvideErrorMetadata + Debug, R: Debug> From<&SdkError<E, R>> for CallError {
    fn from(error: &SdkError<E, R>) -> Self {
        // A throttled call is final: the SDK has already repeated it.
        let conflict = error
            .as_service_error()
            .and_then(ProvideErrorMetadata::code)
            .is_some_and(|code| code.starts_with("Transaction"));
        if conflict {
            Self::Contended
        } else {
            Self::Final(store_error(error))
        }
    }
}

impl<E: ProvideErrorMetadata + Debug, R: Debug> From<SdkError<E, R>> for CallError {
    fn from(error: SdkError<E, R>) -> Self {
        Self::from(&error)
    }
}

fn store_error<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> StoreError {
    let (_, operation) = aws::operation::<E>();
    match error {
        SdkError::ServiceError(service) => {
            let Some(code) = service.err().code() else {
                let text = format!("{operation}: the response has no error code");
                return StoreError::Unavailable(text);
            };
            let message = service.err().message().unwrap_or_default();
            let text = || format!("{operation}: {code}: {message}");
            match code {
                "TransactionConflictException"
                | "TransactionInProgressException"
                | "TransactionCanceledException" => StoreError::Contended,
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded" => {
                    metrics::count(Metric::TableThrottles);
                    StoreError::Contended
                }
                "InternalServerError" | "ServiceUnavailable" => StoreError::Unavailable(text()),
                _ => StoreError::Refused(text()),
            }
        }
        SdkError::TimeoutError(_) => StoreError::Unavailable("the call timed out".to_owned()),
        SdkError::DispatchFailure(_) => StoreError::Unavailable("no connection".to_owned()),
        SdkError::ResponseError(_) => {
            StoreError::Unavailable("the response is incomplete or invalid".to_owned())
        }
        _ => StoreError::Refused("the call could not be built".to_owned()),
    }
}

impl Store {
    /// Repeats `call` while it is contended. Fails with [`StoreError::Contended`] after the last repetition.
    pub(super) async fn retry<T, Fut>(&self, call: impl Fn() -> Fut) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, CallError>>,
    {
        for attempt in 0..=RETRIES {
            // The future is boxed, because the futures of SDK calls are large and every caller would contain one.
            match Box::pin(call()).await {
                Ok(value) => return Ok(value),
                Err(CallError::Final(error)) => return Err(error),
                Err(CallError::Contended) if attempt < RETRIES => self.wait(attempt).await,
                Err(CallError::Contended) => {}
            }
        }
        Err(StoreError::Contended)
    }

    /// Waits before repetition number `attempt + 1`, for a random part of an upper bound that doubles each time.
    pub async fn wait(&self, attempt: u32) {
        let bound = FIRST_WAIT_MS << attempt.min(RETRIES);
        tokio::time::sleep(Duration::from_millis(u64::from(1 + self.rng.below(bound)))).await;
    }
}
