//! Checks that DynamoDB responds. Without a response, every other check would fail for the same reason.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::error::SdkError;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept, context::BeforeDeserializationInterceptorContextRef, dyn_dispatch_hint,
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{config_bag::ConfigBag, error::metadata::ProvideErrorMetadata};
use shared::aws::timeouts;

use super::checks::{Check, unanswered};
use crate::{Admin, services::dynamodb_endpoint};

const NAME: &str = "DynamoDB";

/// Reads the `Date` header of a response.
#[derive(Debug, Clone, Default)]
struct DateInterceptor(Arc<Mutex<Option<String>>>);

#[dyn_dispatch_hint]
impl Intercept for DateInterceptor {
    fn name(&self) -> &'static str {
        "DateInterceptor"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        if let Ok(mut stored) = self.0.lock() {
            *stored = date;
        }
        Ok(())
    }
}

/// Calls DynamoDB and returns the `Date` header of its response, or the failed check. An error response of DynamoDB is
/// a response, and the other checks then report what it means for them.
pub(super) async fn check(admin: &Admin) -> Result<Option<String>, Check> {
    let interceptor = DateInterceptor::default();
    // The time limit must also hold for clients that were configured without one.
    let call = admin.services.dynamodb.list_tables().limit(1);
    let answer = call
        .customize()
        .config_override(aws_sdk_dynamodb::config::Config::builder().timeout_config(timeouts()))
        .interceptor(interceptor.clone())
        .send()
        .await;
    if let Err(error) = answer {
        let answered = match &error {
            SdkError::ServiceError(service) => service.err().code().is_some(),
            _ => false,
        };
        if !answered {
            return Err(Check::fail(
                NAME,
                unanswered(&error),
                &endpoint_advice(admin),
            ));
        }
    }
    Ok(interceptor.0.lock().ok().and_then(|mut date| date.take()))
}

fn endpoint_advice(admin: &Admin) -> String {
    if let Some((name, url)) = dynamodb_endpoint(&admin.environment) {
        return format!("{name} names the endpoint {url}; correct it, or unset it to use AWS.");
    }
    let region = admin.services.dynamodb.config().region();
    let region = region.map_or("unknown", |region| region.as_ref());
    format!("The region is {region} (AWS_REGION); check it and the network connection.")
}
