//! Whether the settings at hand are ones with which a function would start.

use shared::config::Config;

use super::checks::Check;
use crate::environment::Environment;

const NAME: &str = "settings";

pub(super) fn look(environment: &Environment) -> Vec<Check> {
    let misspelt = Config::unknown_settings(environment.names()).err();
    let faults = if environment.get("GATEHOUSE_SERVER_NAME").is_some() {
        Config::from_lookup(|name| environment.get(name)).err()
    } else if misspelt.is_none() {
        let found = "only the operator's own are here; give a function's to have them judged";
        return vec![Check::skipped(NAME, found)];
    } else {
        None
    };
    let faults = [misspelt, faults].into_iter().flatten();
    let faults: Vec<String> = faults.map(|faults| faults.to_string()).collect();
    if faults.is_empty() {
        return vec![Check::good(NAME, "a function starts with them")];
    }
    let lines = faults.iter().flat_map(|faults| faults.lines());
    lines
        .map(|fault| Check::fail(NAME, fault, "No function starts until it is put right."))
        .collect()
}
