//! Checks that a function would start with these settings.

use shared::config::Config;

use super::checks::Check;
use crate::environment::Environment;

const NAME: &str = "settings";
const SERVER_NAME: &str = "GATEHOUSE_SERVER_NAME";
/// The settings that commands of the operator use. If no other setting is there, the settings of the functions are not.
const OWN: [&str; 11] = [
    "GATEHOUSE_ARGON2",
    "GATEHOUSE_IMPORTED_PEPPER",
    "GATEHOUSE_MAIL_FROM",
    "GATEHOUSE_PASSWORD_PEPPER",
    "GATEHOUSE_PUBLIC_URL",
    "GATEHOUSE_SECRET",
    "GATEHOUSE_SECRET_ARN",
    "GATEHOUSE_SECRET_NEXT",
    "GATEHOUSE_SECRET_PREVIOUS",
    "GATEHOUSE_SMS_COUNTRIES",
    "GATEHOUSE_TABLES",
];

/// Judges every setting that is there. A server name that is not there is the only one without which no other could be
/// judged, so a valid name stands for it.
pub(super) fn check(environment: &Environment) -> Vec<Check> {
    let unknown = Config::unknown_settings(environment.names()).err();
    let lookup = |name: &str| {
        let stand_in = (name == SERVER_NAME).then(|| "localhost".to_owned());
        environment.get(name).or(stand_in)
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
    let is_of_functions =
        |name: &String| name.starts_with("GATEHOUSE_") && !OWN.contains(&name.as_str());
    vec![if environment.get(SERVER_NAME).is_some() {
        Check::ok(NAME, "the functions start with these settings")
    } else if environment.names().any(|name| is_of_functions(&name)) {
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
