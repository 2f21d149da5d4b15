//! An interceptor of the DynamoDB client that counts the capacity units of each call for the
//! request that makes it (`metrics`).
//!
//! It sets `ReturnConsumedCapacity`, so that the calls need not set it. The response to a write whose condition
//! failed does not contain the consumed capacity and is counted as 0 units.

use aws_sdk_dynamodb::{
    config::{ConfigBag, Intercept, RuntimeComponents},
    error::BoxError,
    operation::{
        batch_get_item::{BatchGetItemInput, BatchGetItemOutput},
        delete_item::{DeleteItemInput, DeleteItemOutput},
        get_item::{GetItemInput, GetItemOutput},
        put_item::{PutItemInput, PutItemOutput},
        query::{QueryInput, QueryOutput},
        transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput},
        update_item::{UpdateItemInput, UpdateItemOutput},
    },
    types::{ConsumedCapacity, ReturnConsumedCapacity},
};
use aws_smithy_runtime_api::client::interceptors::{
    context::{
        BeforeSerializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
        FinalizerInterceptorContextRef, Output,
    },
    dyn_dispatch_hint,
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use crate::metrics::{self, Calls, Timer};

/// Requests the consumed capacity of each call and counts it.
#[derive(Debug)]
pub(in crate::store) struct Capacity;

/// The time at which an attempt started.
#[derive(Debug)]
struct Began(Timer);

impl Storable for Began {
    type Storer = StoreReplace<Self>;
}

#[dyn_dispatch_hint]
impl Intercept for Capacity {
    fn name(&self) -> &'static str {
        "Capacity"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        macro_rules! request_capacity {
            ($($input:ty),*) => {
                $(if let Some(input) = input.downcast_mut::<$input>() {
                    input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
                })*
            };
        }
        request_capacity!(
            BatchGetItemInput,
            DeleteItemInput,
            GetItemInput,
            PutItemInput,
            QueryInput,
            TransactWriteItemsInput,
            UpdateItemInput
        );
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(Began(Timer::start()));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Began(timer)) = config.load::<Began>() {
            let consumed = match context.output_or_error() {
                Some(Ok(output)) => consumed(output),
                _ => Calls::default(),
            };
            metrics::called(
                timer,
                Calls {
                    number: 1,
                    ..consumed
                },
            );
        }
        Ok(())
    }
}

/// The consumed capacity in a response. The response to a transaction reports the read units
/// separately. All units are read units if an earlier call with the same client request token had already committed
/// the transaction.
fn consumed(output: &Output) -> Calls {
    macro_rules! count_as {
        ($units:expr, $($output:ty),*) => {
            $(if let Some(output) = output.downcast_ref::<$output>() {
                return $units(sum(output.consumed_capacity(), ConsumedCapacity::capacity_units));
            })*
        };
    }
    let (read, written) = (|read| units(read, 0.0), |written| units(0.0, written));
    count_as!(read, GetItemOutput, QueryOutput);
    count_as!(written, DeleteItemOutput, PutItemOutput, UpdateItemOutput);
    if let Some(output) = output.downcast_ref::<BatchGetItemOutput>() {
        return read(sum(
            output.consumed_capacity(),
            ConsumedCapacity::capacity_units,
        ));
    }
    if let Some(output) = output.downcast_ref::<TransactWriteItemsOutput>() {
        let all = sum(output.consumed_capacity(), ConsumedCapacity::capacity_units);
        let read = sum(
            output.consumed_capacity(),
            ConsumedCapacity::read_capacity_units,
        );
        return units(read, all - read);
    }
    Calls::default()
}

fn units(read_units: f64, write_units: f64) -> Calls {
    Calls {
        read_units,
        write_units,
        ..Calls::default()
    }
}

fn sum<'a>(
    capacity: impl IntoIterator<Item = &'a ConsumedCapacity>,
    units: fn(&ConsumedCapacity) -> Option<f64>,
) -> f64 {
    let units = capacity.into_iter().filter_map(units);
    // `Iterator::sum` is not used, because its sum of no numbers is -0.0.
    units.fold(0.0, |sum, units| sum + units)
}
