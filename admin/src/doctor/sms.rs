//! Checks that SNS can send text messages, and that its monthly spend limit is above the default.

use aws_sdk_sns::Client;

use super::checks::Check;
use crate::Admin;

const SANDBOX: &str = "text messages";
const SPENDING: &str = "spending on text messages";
/// The monthly spend limit of a new AWS account, in US dollars.
const DEFAULT_LIMIT: f64 = 1.0;

pub(super) async fn check(admin: &Admin) -> Vec<Check> {
    if admin.environment.get("GATEHOUSE_SMS_COUNTRIES").is_none() {
        let found = "set GATEHOUSE_SMS_COUNTRIES to the value of the stack to check SNS";
        return vec![Check::skipped(SANDBOX, found)];
    }
    let client = &admin.services.sns;
    vec![check_sandbox(client).await, check_spending(client).await]
}

async fn check_sandbox(client: &Client) -> Check {
    match client.get_sms_sandbox_account_status().send().await {
        Ok(output) if output.is_in_sandbox => Check::fail(
            SANDBOX,
            "the AWS account is in the sandbox",
            "Only verified numbers receive text messages: request that AWS move the account out of the SMS sandbox.",
        ),
        Ok(_) => Check::ok(SANDBOX, "the AWS account is not in the sandbox"),
        Err(error) => Check::call_failed(SANDBOX, &error),
    }
}

async fn check_spending(client: &Client) -> Check {
    let call = client.get_sms_attributes().attributes("MonthlySpendLimit");
    let attributes = match call.send().await {
        Ok(output) => output.attributes.unwrap_or_default(),
        Err(error) => return Check::call_failed(SPENDING, &error),
    };
    let limit = attributes.get("MonthlySpendLimit");
    match limit.and_then(|text| text.parse::<f64>().ok()) {
        Some(limit) if limit > DEFAULT_LIMIT => {
            Check::ok(SPENDING, format!("at most {limit} US dollars a month"))
        }
        _ => Check::warn(
            SPENDING,
            format!("at most {DEFAULT_LIMIT} US dollar a month, the limit of a new AWS account"),
            "This limit allows only a few dozen text messages: raise it to the amount that you want to spend.",
        ),
    }
}
