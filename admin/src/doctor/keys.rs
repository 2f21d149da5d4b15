//! Checks that the stored hashes were made with the current secret. Every keyed hash contains the ID of its key.

use shared::{
    secrets::Generation,
    store::{RegistrationLookup, StoreError},
};

use super::checks::Check;
use crate::{Admin, explain::denied_action};

pub(super) async fn check(admin: &Admin) -> Vec<Check> {
    let tokens = admin.store.list_registration_tokens().await;
    vec![
        check_hashes(admin, "registration tokens", tokens),
        check_hashes(admin, "application services", appservices(admin).await),
    ]
}

async fn appservices(admin: &Admin) -> Result<Vec<String>, StoreError> {
    let lookup = RegistrationLookup {
        appservices: true,
        ..RegistrationLookup::default()
    };
    let row = admin.store.registration_facts(lookup).await?.appservices;
    let records = row.unwrap_or_default().records.into_iter();
    Ok(records.map(|record| record.token_hash).collect())
}

fn check_hashes(admin: &Admin, subject: &str, hashes: Result<Vec<String>, StoreError>) -> Check {
    let name = format!("secret of {subject}");
    let hashes = match hashes {
        Ok(hashes) => hashes,
        Err(error) => {
            let text = error.to_string();
            if let Some(action) = denied_action(&text) {
                return Check::access_denied(&name, &action);
            }
            let advice = "See the checks of the tables.";
            return Check::fail(&name, text, advice);
        }
    };
    let all = hashes.len();
    let made_by = |generation| {
        let generations = hashes.iter().map(|hash| admin.keys.generation_of(hash));
        generations.filter(|found| *found == generation).count()
    };
    let (unknown, previous) = (made_by(None), made_by(Some(Generation::Previous)));
    let next = made_by(Some(Generation::Next));
    if all == 0 {
        Check::skipped(&name, "there are no hashes to check")
    } else if unknown > 0 {
        Check::fail(
            &name,
            format!("{unknown} of {all} were made with another secret"),
            "Either this is not the secret of the functions, or the secret was replaced and these \
             tokens no longer work: create them again.",
        )
    } else if previous > 0 {
        Check::warn(
            &name,
            format!("{previous} of {all} were made with the previous secret"),
            "These tokens stop working when the previous secret is removed: create them again before that.",
        )
    } else if next > 0 {
        Check::warn(
            &name,
            format!("{next} of {all} were made with the next secret"),
            "These tokens were made where the next secret is already the current one: check that the \
             functions have it too.",
        )
    } else {
        Check::ok(&name, format!("all {all} were made with it"))
    }
}
