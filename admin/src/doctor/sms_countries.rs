//! The requirements of the configured countries for text messages. Most of them cannot be checked through SNS, so the
//! checks state them.

use aws_sdk_sns::Client;

use super::checks::Check;
use crate::Admin;

const STATUS: &str = "delivery status of text messages";
/// Countries where only a registered number of the sender's own is accepted.
const OWN_NUMBER: [&str; 5] = ["AS", "GU", "PR", "US", "VI"];
/// Countries for which AWS has a registration form for sender IDs, as of November 2026.
const SENDER_ID_FORM: [&str; 23] = [
    "AE", "AT", "AU", "BY", "EG", "ES", "FI", "GB", "ID", "IE", "IN", "JO", "KE", "KW", "KZ", "LK",
    "PH", "QA", "RU", "SA", "SG", "TH", "TR",
];

pub(super) async fn check(admin: &Admin) -> Vec<Check> {
    let Some(countries) = admin.environment.get("GATEHOUSE_SMS_COUNTRIES") else {
        return Vec::new();
    };
    let mut countries: Vec<String> = countries
        .split_whitespace()
        .map(str::to_ascii_uppercase)
        .collect();
    countries.sort_unstable();
    countries.dedup();
    let mut checks: Vec<Check> = countries
        .iter()
        .map(|country| requirement(country))
        .collect();
    checks.push(Check::skipped(
        "numbers and sender IDs",
        "SNS uses one only if its resource policy allows sns.amazonaws.com; see \
         `aws pinpoint-sms-voice-v2 get-resource-policy`",
    ));
    checks.push(check_status(&admin.services.sns).await);
    checks
}

/// The requirement of a country. A country without one is fine.
fn requirement(country: &str) -> Check {
    let name = format!("text messages to {country}");
    if OWN_NUMBER.contains(&country) {
        let found = "a registered toll-free or 10DLC number is required, with a monthly price; registration takes weeks";
        Check::skipped(&name, found)
    } else if SENDER_ID_FORM.contains(&country) {
        let found = "AWS has a registration form for sender IDs; without registration networks may block messages";
        Check::skipped(&name, found)
    } else if country == "CN" {
        Check::skipped(&name, "each message text needs a registered template")
    } else {
        Check::ok(&name, "no registration form at AWS")
    }
}

async fn check_status(client: &Client) -> Check {
    let call = client
        .get_sms_attributes()
        .attributes("DeliveryStatusIAMRole");
    match call.send().await {
        Ok(output) => {
            let attributes = output.attributes.unwrap_or_default();
            let is_on = attributes
                .get("DeliveryStatusIAMRole")
                .is_some_and(|role| !role.is_empty());
            let found = if is_on {
                "logged, with phone numbers, in the log groups sns/…/DirectPublishToPhoneNumber"
            } else {
                "not logged; docs/operations.md describes how to turn logging on to find a problem"
            };
            Check::ok(STATUS, found)
        }
        Err(error) => Check::call_failed(STATUS, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::checks::State;
    use super::*;

    #[test]
    fn countries_with_a_registration_are_named() {
        for (country, part) in [
            ("US", "toll-free"),
            ("GB", "registration form"),
            ("CN", "template"),
            ("DE", "no registration"),
        ] {
            let check = requirement(country);
            assert!(check.found.contains(part), "{country}: {}", check.found);
            assert_eq!(check.state == State::Ok, country == "DE");
        }
    }

    #[test]
    fn the_documentation_names_every_country_with_a_form() {
        let page = include_str!("../../../docs/operations.md");
        let row = page
            .lines()
            .find(|line| line.starts_with("| Australia, Austria"));
        let names = row.unwrap().split('|').nth(1).unwrap().split(", ").count();
        assert_eq!(names, SENDER_ID_FORM.len());
    }
}
