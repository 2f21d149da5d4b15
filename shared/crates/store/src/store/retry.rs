//! What a failed call means, and what is worth trying again.
//!
//! Conflicts of transactions are normal on the real service and the SDK repeats none of them, so
//! they are repeated here, a few times and with jitter. A write that may have happened although
//! its answer was lost is made recognisable by its verb (a nonce or a request token).

use std::{future::Future, time::Duration};

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{CancellationReason, TransactWriteItem},
};

use super::{Store, StoreError, item::Map};

/// How often a contended call is tried again.
const RETRIES: u32 = 5;
/// The longest first wait; it doubles each time.
const FIRST_WAIT_MS: u32 = 20;
const MAX_TRANSACTION_ITEMS: usize = 100;

/// The outcome of one call, as `retry` sees it.
pub(super) enum CallError<F> {
    /// Worth another try.
    Contended,
    /// Not.
    Final(F),
}

impl<F: From<StoreError>, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>
    From<SdkError<E, R>> for CallError<F>
{
    fn from(error: SdkError<E, R>) -> Self {
        // Throttles the SDK has already repeated as often as is good.
        let conflict = error
            .as_service_error()
            .and_then(ProvideErrorMetadata::code)
            .is_some_and(|code| code.starts_with("Transaction"));
        if conflict {
            Self::Contended
        } else {
            Self::Final(fault(&error).into())
        }
    }
}

/// What an error that no verb understands better means.
pub(super) fn fault<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> StoreError {
    match error {
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("unknown");
            let told = || format!("{code}: {}", service.err().message().unwrap_or_default());
            match code {
                "TransactionConflictException"
                | "TransactionInProgressException"
                | "TransactionCanceledException"
                | "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded" => StoreError::Contended,
                "InternalServerError" | "ServiceUnavailable" | "unknown" => {
                    StoreError::Unavailable(told())
                }
                _ => StoreError::Refused(told()),
            }
        }
        SdkError::TimeoutError(_) => StoreError::Unavailable("no answer in time".to_owned()),
        SdkError::DispatchFailure(_) => StoreError::Unavailable("no connection".to_owned()),
        SdkError::ResponseError(_) => StoreError::Unavailable("the answer broke off".to_owned()),
        _ => StoreError::Refused("the call could not be built".to_owned()),
    }
}

impl Store {
    /// Repeats `call` while it is contended.
    pub(super) async fn retry<T, F, Fut>(&self, call: impl Fn() -> Fut) -> Result<T, F>
    where
        F: From<StoreError>,
        Fut: Future<Output = Result<T, CallError<F>>>,
    {
        for attempt in 0..=RETRIES {
            match call().await {
                Ok(value) => return Ok(value),
                Err(CallError::Final(error)) => return Err(error),
                Err(CallError::Contended) if attempt < RETRIES => self.wait(attempt).await,
                Err(CallError::Contended) => {}
            }
        }
        Err(StoreError::Contended.into())
    }

    /// Waits before attempt number `attempt + 1`: a random part of a bound that doubles.
    pub async fn wait(&self, attempt: u32) {
        let bound = FIRST_WAIT_MS << attempt.min(RETRIES);
        tokio::time::sleep(Duration::from_millis(u64::from(1 + self.rng.below(bound)))).await;
    }

    /// Writes all items or none. One request token for all attempts makes those after a lost answer
    /// harmless. A cancelled transaction is handed to `understand`, which tells the typed
    /// outcome from the reasons; `None` means that they are nothing but contention.
    pub(super) async fn transact<F: From<StoreError>>(
        &self,
        items: Vec<TransactWriteItem>,
        understand: impl Fn(&[CancellationReason]) -> Option<F>,
    ) -> Result<(), F> {
        debug_assert!(items.len() <= MAX_TRANSACTION_ITEMS);
        let (items, understand, token) = (&items, &understand, &self.rng.base64::<18>());
        self.retry(|| async move {
            let call = self
                .client
                .transact_write_items()
                .set_transact_items(Some(items.clone()))
                .client_request_token(token);
            match call.send().await {
                Ok(_) => {
                    self.count_messages(items);
                    Ok(())
                }
                Err(error) => {
                    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                        error.as_service_error()
                    {
                        if let Some(outcome) = understand(cancelled.cancellation_reasons()) {
                            return Err(CallError::Final(outcome));
                        }
                        if cancelled
                            .cancellation_reasons()
                            .iter()
                            .any(|reason| reason.code() == Some("ValidationError"))
                        {
                            let refused =
                                StoreError::Refused("a transaction item is invalid".to_owned());
                            return Err(CallError::Final(refused.into()));
                        }
                    }
                    Err(error.into())
                }
            }
        })
        .await
    }
}

/// Of an update whose condition failed: the item as it is, if there is one. `None` of any other
/// error.
#[expect(clippy::option_option, reason = "three cases")]
pub(super) fn failed_condition<R>(error: &SdkError<UpdateItemError, R>) -> Option<Option<&Map>> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Some(failed.item()),
        _ => None,
    }
}

/// Whether an attribute of the item is this text: by its nonce a write knows itself again.
pub(super) fn holds(item: &Map, name: &str, value: &str) -> bool {
    item.get(name)
        .is_some_and(|found| found.as_s().is_ok_and(|found| found == value))
}

/// Whether the condition of the item at `index` failed.
pub(super) fn condition_failed(reasons: &[CancellationReason], index: usize) -> bool {
    reasons
        .get(index)
        .is_some_and(|reason| reason.code() == Some("ConditionalCheckFailed"))
}
