//! Whether SNS sends what `deliver` gives it, and what that may cost.

use aws_sdk_sns::Client;

use super::checks::Check;
use crate::Admin;

const SANDBOX: &str = "text messages";
const SPENDING: &str = "spending on text messages";
/// What an account may spend in a month until its operator asks for more, in US dollars.
const FIRST_LIMIT: f64 = 1.0;

pub(super) async fn look(admin: &Admin) -> Vec<Check> {
    if admin.environment.get("GATEHOUSE_SMS_COUNTRIES").is_none() {
        let found = "give GATEHOUSE_SMS_COUNTRIES as the stack has it to have SNS asked";
        return vec![Check::skipped(SANDBOX, found)];
    }
    let client = &admin.services.sns;
    vec![sandbox(client).await, spending(client).await]
}

async fn sandbox(client: &Client) -> Check {
    match client.get_sms_sandbox_account_status().send().await {
        Ok(answer) if answer.is_in_sandbox => Check::fail(
            SANDBOX,
            "the account is in the sandbox",
            "Only confirmed numbers get messages: ask SNS to leave the sandbox.",
        ),
        Ok(_) => Check::good(SANDBOX, "the account is not in the sandbox"),
        Err(error) => Check::unanswered(SANDBOX, &error),
    }
}

async fn spending(client: &Client) -> Check {
    let call = client.get_sms_attributes().attributes("MonthlySpendLimit");
    let attributes = match call.send().await {
        Ok(answer) => answer.attributes.unwrap_or_default(),
        Err(error) => return Check::unanswered(SPENDING, &error),
    };
    let told = attributes.get("MonthlySpendLimit");
    match told.and_then(|text| text.parse::<f64>().ok()) {
        Some(limit) if limit > FIRST_LIMIT => {
            Check::good(SPENDING, format!("at most {limit} US dollars a month"))
        }
        _ => Check::warn(
            SPENDING,
            format!("at most {FIRST_LIMIT} US dollar a month, as in every new account"),
            "That is some dozens of messages: raise the limit, and set it to what texts may cost you.",
        ),
    }
}
