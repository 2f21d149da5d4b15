//! Checks that a function would start with these settings.

use shared::config::Config;

use super::checks::Check;
use crate::environment::Environment;

const NAME: &str = "settings";
const SERVER_NAME: &str = "GATEHOUSE_SERVER_NAME";
/// The settings that `gatehouse-admin` itself uses. If the environment has no others, the settings of the functions are
/// not checked.
const OWN: [&str; 12] = [
    "GATEHOUSE_ARGON2",
    "GATEHOUSE_IMPORTED_PEPPER",
    "GATEHOUSE_MAIL_FROM",
    "GATEHOUSE_PASSWORD_PEPPER",
    "GATEHOUSE_PUBLIC_URL",
    "GATEHOUSE_SECRET",
    "GATEHOUSE_SECRET_ARN",
    "GATEHOUSE_SECRET_NEXT",
    "GATEHOUSE_SECRET_PREVIOUS",
    SERVER_NAME,
    "GATEHOUSE_SMS_COUNTRIES",
    "GATEHOUSE_TABLES",
];

/// Checks every setting in the environment. Without the server name, or with settings of this program alone, the
/// environment is incomplete. Then placeholders replace the missing settings that every function needs, so that their
/// absence does not hide mistakes in the others.
pub(super) fn check(environment: &Environment) -> Vec<Check> {
    let unknown = Config::unknown_settings(environment.names()).err();
    let is_of_functions =
        |name: &String| name.starts_with("GATEHOUSE_") && !OWN.contains(&name.as_str());
    let has_settings_of_functions = environment.names().any(|name| is_of_functions(&name));
    let is_complete = environment.get(SERVER_NAME).is_some() && has_settings_of_functions;
    let lookup = |name: &str| {
        let found = environment.get(name);
        if is_complete {
            found
        } else {
            found.or_else(|| replacement(environment, name))
        }
    };
    let invalid = Config::from_lookup(lookup).err();
    let errors = [unknown, invalid].into_iter().flatten();
    let errors: Vec<String> = errors.map(|errors| errors.to_string()).collect();
    let lines = errors.iter().flat_map(|errors| errors.lines());
    let failed: Vec<Check> = lines
        .map(|error| Check::fail(NAME, error, "No function starts until this is corrected."))
        .collect();
    if !failed.is_empty() {
        return failed;
    }
    vec![if is_complete {
        Check::ok(NAME, "the functions start with these settings")
    } else if has_settings_of_functions {
        Check::ok(
            NAME,
            "the settings are valid, but GATEHOUSE_SERVER_NAME, which the functions need, is not set",
        )
    } else {
        let found =
            "the settings of the functions are not in the environment; set them to check them";
        Check::skipped(NAME, found)
    }]
}

/// A placeholder for a setting that every function needs.
fn replacement(environment: &Environment, name: &str) -> Option<String> {
    let value = match name {
        SERVER_NAME => "localhost",
        "GATEHOUSE_SECRET" => "0123456789abcdef0123456789abcdef",
        "GATEHOUSE_ALLOW_UNVERIFIED_REGISTRATION" => "true",
        "GATEHOUSE_REGISTRATION" => match environment.get("GATEHOUSE_REGISTRATION_FLOWS") {
            Some(_) => "open",
            None => "closed",
        },
        _ => return None,
    };
    Some(value.to_owned())
}
