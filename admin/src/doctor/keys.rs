//! Whether the secret at hand is the one under which things are stored: every keyed hash names the
//! key that made it.

use shared::{
    secrets::Generation,
    store::{RegistrationLookup, StoreError},
};

use super::checks::Check;
use crate::Admin;

pub(super) async fn look(admin: &Admin) -> Vec<Check> {
    let tokens = admin.store.list_registration_tokens().await;
    vec![
        judge(admin, "registration tokens", tokens),
        judge(admin, "application services", appservices(admin).await),
    ]
}

async fn appservices(admin: &Admin) -> Result<Vec<String>, StoreError> {
    let wanted = RegistrationLookup {
        appservices: true,
        ..RegistrationLookup::default()
    };
    let row = admin.store.registration_facts(wanted).await?.appservices;
    let records = row.unwrap_or_default().records.into_iter();
    Ok(records.map(|record| record.token_hash).collect())
}

fn judge(admin: &Admin, what: &str, hashes: Result<Vec<String>, StoreError>) -> Check {
    let name = format!("secret of {what}");
    let hashes = match hashes {
        Ok(hashes) => hashes,
        Err(error) => {
            let advice = "See what is said of the tables.";
            return Check::fail(&name, error.to_string(), advice);
        }
    };
    let all = hashes.len();
    let made_by = |generation| {
        let own = hashes.iter().map(|hash| admin.keys.generation_of(hash));
        own.filter(|own| *own == generation).count()
    };
    let (strange, old) = (made_by(None), made_by(Some(Generation::Previous)));
    let early = made_by(Some(Generation::Next));
    if all == 0 {
        Check::skipped(&name, "there are none by which to tell")
    } else if strange > 0 {
        Check::fail(
            &name,
            format!("{strange} of {all} were made under another secret"),
            "Either this is not the secret of the functions, or these stopped working with an earlier one: make them anew.",
        )
    } else if old > 0 {
        Check::warn(
            &name,
            format!("{old} of {all} were made under the previous secret"),
            "They stop working when it is taken away: make them anew first.",
        )
    } else if early > 0 {
        Check::warn(
            &name,
            format!("{early} of {all} were made under the next secret"),
            "Whoever made them has it as the current one already: do the functions have it by now?",
        )
    } else {
        Check::good(
            &name,
            format!("it is the one that all {all} were made under"),
        )
    }
}
