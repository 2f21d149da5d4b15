//! What is stored of a user: for people to look at, and as JSON for the user's own request.

use std::fmt::Write;

use anyhow::bail;
use serde_json::{Value, json};
use shared::{ids::Localpart, secrets::KeyPurpose, store::UserRecord};

use super::nobody;
use crate::{Admin, Report, times};

/// What an export cannot hold, and why.
const NOT_INCLUDED: [&str; 4] = [
    "passwords and tokens: only hashes of them are stored, and those are secrets too",
    "sessions of sign-ups and of validations: they are kept for a few days under keyed hashes, and nothing names the user",
    "networks that the user has logged in from: they are kept for thirty days as keyed hashes, which cannot be listed",
    "messages that wait to be sent and rows to be removed: they hold the address or the name for three days at most, and are found by neither",
];

pub(super) async fn show(admin: &Admin, user: &Localpart) -> anyhow::Result<Report> {
    let record = find(admin, user).await?;
    Ok(Report::of(
        value(admin, user, &record),
        text(admin, user, &record)?.trim_end().to_owned(),
    ))
}

pub(super) async fn export(admin: &Admin, user: &Localpart) -> anyhow::Result<Report> {
    let record = find(admin, user).await?;
    let mut json = value(admin, user, &record);
    json["not_included"] = json!(NOT_INCLUDED);
    json["exported"] = json!(admin.clock.now());
    let text = serde_json::to_string_pretty(&json)?;
    Ok(Report::of(json, text))
}

async fn find(admin: &Admin, user: &Localpart) -> anyhow::Result<UserRecord> {
    match admin.store.export_account(user).await? {
        Some(record) => Ok(record),
        None => bail!(nobody(user)),
    }
}

/// Times are milliseconds, as in the protocol.
fn value(admin: &Admin, user: &Localpart, record: &UserRecord) -> Value {
    let devices = record.devices.iter().map(|device| {
        json!({
            "device_id": device.id, "display_name": device.display_name, "tokens_issued": device.issued,
            "access_token_expires": device.access_expires, "logged_in": device.alive,
        })
    });
    let addresses = record.addresses.iter().map(|own| {
        json!({
            "medium": own.threepid.medium, "address": own.threepid.address,
            "validated_at": own.validated, "added_at": own.added,
        })
    });
    let terms = record.terms.iter().map(
        |own| json!({ "policy": own.policy, "version": own.version, "accepted": own.accepted }),
    );
    let bindings = record.bindings.iter().map(|own| {
        json!({
            "id_server": own.id_server, "medium": own.address.medium, "address": own.address.address,
            "bound": own.bound,
        })
    });
    let password = record
        .password
        .as_ref()
        .map(|own| json!({ "scheme": own.scheme, "set": own.set }));
    json!({
        "name": user, "log_hashes": log_hashes(admin, user), "status": record.account.status.as_str(), "kind": record.account.kind.as_str(),
        "created": record.created, "upgraded_from_guest": record.upgraded, "imported": record.imported,
        "deactivated": record.deactivated, "erased": record.erased,
        "password": password, "addresses": addresses.collect::<Vec<_>>(), "devices": devices.collect::<Vec<_>>(),
        "terms": terms.collect::<Vec<_>>(), "bindings": bindings.collect::<Vec<_>>(),
    })
}

fn text(admin: &Admin, user: &Localpart, record: &UserRecord) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(
        out,
        "{}  {}  {}, since {}",
        user.as_str(),
        record.account.status.as_str(),
        record.account.kind.as_str(),
        times::show(record.created)
    )?;
    for (what, when) in [
        ("upgraded from a guest", record.upgraded),
        ("imported", record.imported),
        ("deactivated", record.deactivated),
    ] {
        if let Some(when) = when {
            writeln!(out, "{what} {}", times::show(when))?;
        }
    }
    if record.erased {
        writeln!(out, "erased")?;
    }
    for hash in log_hashes(admin, user) {
        writeln!(out, "user.hash in the log  {hash}")?;
    }
    match &record.password {
        Some(own) => writeln!(
            out,
            "password  {}, set {}",
            own.scheme,
            times::show(own.set)
        )?,
        None => writeln!(out, "no password")?,
    }
    for own in &record.addresses {
        let (medium, address) = (own.threepid.medium, &own.threepid.address);
        let validated = times::show(own.validated);
        writeln!(out, "{medium}  {}  validated {validated}", shown(address))?;
    }
    for own in &record.devices {
        let alive = if own.alive { "logged in" } else { "logged out" };
        let name = own.display_name.as_deref().unwrap_or("no name");
        let issued = times::show(own.issued);
        writeln!(
            out,
            "device  {}  {}  {alive}, tokens of {issued}",
            shown(own.id.as_str()),
            shown(name)
        )?;
    }
    for own in &record.terms {
        let accepted = times::show(own.accepted);
        writeln!(out, "terms  {} {}  {accepted}", own.policy, own.version)?;
    }
    for own in &record.bindings {
        let (medium, address) = (own.address.medium, &own.address.address);
        writeln!(
            out,
            "bound  {}  {medium}  {}",
            shown(&own.id_server),
            shown(address)
        )?;
    }
    Ok(out)
}

/// What stands for the user in the functions' log: now, and under the keys before and after this one.
fn log_hashes(admin: &Admin, user: &Localpart) -> Vec<String> {
    admin
        .keys
        .hashes(KeyPurpose::LoggedUser, user.as_str().as_bytes())
}

/// What users may choose themselves, without what would tell a terminal to do something.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}
