//! Checks that a function would start with these settings.

use shared::config::Config;

use super::checks::Check;
use crate::environment::Environment;

const NAME: &str = "settings";

pub(super) fn check(environment: &Environment) -> Vec<Check> {
    let unknown = Config::unknown_settings(environment.names()).err();
    let invalid = if environment.get("GATEHOUSE_SERVER_NAME").is_some() {
        Config::from_lookup(|name| environment.get(name)).err()
    } else if unknown.is_none() {
        let found =
            "the settings of the functions are not in the environment; set them to check them";
        return vec![Check::skipped(NAME, found)];
    } else {
        None
    };
    let errors = [unknown, invalid].into_iter().flatten();
    let errors: Vec<String> = errors.map(|errors| errors.to_string()).collect();
    if errors.is_empty() {
        return vec![Check::ok(NAME, "the functions start with these settings")];
    }
    let lines = errors.iter().flat_map(|errors| errors.lines());
    lines
        .map(|error| Check::fail(NAME, error, "No function starts until this is corrected."))
        .collect()
}
