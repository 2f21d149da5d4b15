//! Whether SES sends what `deliver` gives it.

use aws_sdk_ses::{Client, types::VerificationStatus};

use super::checks::Check;
use crate::Admin;

const SENDER: &str = "mail sender";
const QUOTA: &str = "mail quota";
/// What an account in the sandbox may send in a day: SES tells it in no other way here.
const SANDBOX: f64 = 200.0;

pub(super) async fn look(admin: &Admin) -> Vec<Check> {
    let Some(from) = admin.environment.get("GATEHOUSE_MAIL_FROM") else {
        return vec![Check::skipped(
            "mail",
            "give GATEHOUSE_MAIL_FROM as the stack has it to have SES asked",
        )];
    };
    let client = &admin.services.ses;
    vec![sender(client, address(&from)).await, quota(client).await]
}

/// `a@b.example` of `Name <a@b.example>`.
fn address(from: &str) -> &str {
    let inner = from.rsplit_once('<').map_or(from, |(_, rest)| rest);
    inner.trim_end().trim_end_matches('>').trim()
}

/// An address may send if it is confirmed itself, or its domain is.
async fn sender(client: &Client, address: &str) -> Check {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let call = client
        .get_identity_verification_attributes()
        .identities(address)
        .identities(domain);
    match call.send().await {
        Ok(answer) => {
            let mut identities = answer.verification_attributes.values();
            if identities.any(|own| own.verification_status == VerificationStatus::Success) {
                Check::good(SENDER, format!("{address} is confirmed"))
            } else {
                Check::fail(
                    SENDER,
                    format!("neither {address} nor its domain is confirmed"),
                    "No mail goes out: verify one of them at SES, in the stack's region.",
                )
            }
        }
        Err(error) => Check::unanswered(SENDER, &error),
    }
}

async fn quota(client: &Client) -> Check {
    match client.get_send_quota().send().await {
        Ok(answer) => {
            let (most, sent) = (answer.max24_hour_send, answer.sent_last24_hours);
            let found = format!("{sent:.0} of {most:.0} mails sent in the last 24 hours");
            // Without a bound it is negative.
            if most < 0.0 {
                Check::good(QUOTA, "without a bound")
            } else if most <= SANDBOX {
                Check::fail(
                    QUOTA,
                    format!("{found}: the account is in the sandbox"),
                    "Only confirmed addresses get mail: ask SES for production access.",
                )
            } else if sent >= most * 0.8 {
                Check::warn(QUOTA, found, "Ask SES for a higher sending quota.")
            } else {
                Check::good(QUOTA, found)
            }
        }
        Err(error) => Check::unanswered(QUOTA, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_sender_is_found() {
        for from in [
            "a@b.example",
            " a@b.example ",
            "Name <a@b.example>",
            "\"<x>\" <a@b.example> ",
        ] {
            assert_eq!(address(from), "a@b.example", "{from}");
        }
    }
}
