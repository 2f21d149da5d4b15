//! Checks that the homeserver accepts the shared secret, and counts the users with pending changes.

use shared::ids::Localpart;

use super::checks::Check;
use crate::{Admin, homeserver, times};

const NAME: &str = "homeserver";
const PENDING: &str = "changes for the homeserver";

pub(super) async fn check(admin: &Admin) -> Vec<Check> {
    let client = match homeserver::client(admin) {
        Ok(Some(client)) => client,
        Ok(None) => {
            let found =
                "set GATEHOUSE_HOMESERVER_URL to the value of the stack to check the homeserver";
            return vec![Check::skipped(NAME, found)];
        }
        // `settings` reports the errors.
        Err(_) => return vec![Check::skipped(NAME, "its settings are not valid")],
    };
    let answered = match client.find_user(&Localpart::shortest()).await {
        Ok(_) => Check::ok(NAME, "it accepts the shared secret"),
        Err(error) => Check::fail(
            NAME,
            error.to_string(),
            "No user can sign up or log in: check GATEHOUSE_HOMESERVER_URL, the secret on both sides, and that the \
             homeserver is running with `matrix_authentication_service` enabled.",
        ),
    };
    vec![answered, pending(admin).await]
}

async fn pending(admin: &Admin) -> Check {
    let pending = match homeserver::pending(admin).await {
        Ok(pending) => pending,
        Err(error) => {
            let advice = "Run `gatehouse-admin homeserver pending` for details.";
            return Check::warn(PENDING, error.to_string(), advice);
        }
    };
    let rejected = pending.iter().filter(|update| update.rejection.is_some());
    let rejected = rejected.count();
    let oldest = pending.iter().map(|update| update.since).min();
    match oldest {
        None => Check::ok(PENDING, "the homeserver has every change"),
        Some(oldest) => Check::warn(
            PENDING,
            format!(
                "users with pending changes: {}, of which the homeserver rejected {rejected}; the oldest is from {}",
                pending.len(),
                times::show(oldest)
            ),
            "`deliver` tries them again every minute. `gatehouse-admin homeserver pending` lists them.",
        ),
    }
}
