//! Checks that SES can send the e-mails of `deliver`.

use aws_sdk_ses::{Client, types::VerificationStatus};

use shared::config::sender_address;

use super::checks::Check;
use crate::Admin;

const SENDER: &str = "mail sender";
const QUOTA: &str = "mail quota";
/// The daily quota of an account in the sandbox. This API of SES does not report the sandbox itself.
const SANDBOX_QUOTA: f64 = 200.0;

pub(super) async fn check(admin: &Admin) -> Vec<Check> {
    let Some(from) = admin.environment.get("GATEHOUSE_MAIL_FROM") else {
        return vec![Check::skipped(
            "mail",
            "set GATEHOUSE_MAIL_FROM to the value of the stack to check SES",
        )];
    };
    let client = &admin.services.ses;
    vec![
        check_sender(client, &sender_address(&from).unwrap_or(from)).await,
        check_quota(client).await,
    ]
}

/// An address can send if the address or its domain is verified.
async fn check_sender(client: &Client, address: &str) -> Check {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let call = client
        .get_identity_verification_attributes()
        .identities(address)
        .identities(domain);
    match call.send().await {
        Ok(output) => {
            let mut identities = output.verification_attributes.values();
            if identities
                .any(|identity| identity.verification_status == VerificationStatus::Success)
            {
                Check::ok(SENDER, format!("{address} is verified"))
            } else {
                Check::fail(
                    SENDER,
                    format!("neither {address} nor its domain is verified"),
                    "No e-mail can be sent: verify one of them in SES, in the region of the stack.",
                )
            }
        }
        Err(error) => Check::call_failed(SENDER, &error),
    }
}

async fn check_quota(client: &Client) -> Check {
    match client.get_send_quota().send().await {
        Ok(output) => {
            let (quota, sent) = (output.max24_hour_send, output.sent_last24_hours);
            let found = format!("{sent:.0} of {quota:.0} e-mails sent in the last 24 hours");
            // The value is negative if there is no quota.
            if quota < 0.0 {
                Check::ok(QUOTA, "there is no quota")
            } else if quota <= SANDBOX_QUOTA {
                Check::fail(
                    QUOTA,
                    format!("{found}: the AWS account is in the sandbox"),
                    "Only verified addresses receive e-mail: request production access to SES.",
                )
            } else if sent >= quota * 0.8 {
                Check::warn(QUOTA, found, "Request a higher sending quota of SES.")
            } else {
                Check::ok(QUOTA, found)
            }
        }
        Err(error) => Check::call_failed(QUOTA, &error),
    }
}
