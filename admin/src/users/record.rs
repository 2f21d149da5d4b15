//! The data that is stored about a user: as text for the operator, and as JSON for a user who requests their own
//! data.

use std::fmt::Write;

use anyhow::bail;
use serde_json::{Value, json};
use shared::{ids::Localpart, secrets::KeyPurpose, store::UserRecord};

use super::account_not_found;
use crate::{Admin, Report, times};

/// The data that an export cannot contain, and the reasons.
const NOT_INCLUDED: [&str; 4] = [
    "passwords and tokens: only their hashes are stored, and the hashes are secrets too",
    "registration sessions and validation sessions: they are stored for a few days under keyed hashes, and do not name the user",
    "networks from which the user has logged in: they are stored for thirty days as keyed hashes, which cannot be listed",
    "messages and purges in the outbox: they contain the address or the username for three days at most, and cannot be looked up by either",
];

pub(super) async fn show(admin: &Admin, user: &Localpart) -> anyhow::Result<Report> {
    let record = find(admin, user).await?;
    Ok(Report::success(
        times::with_rfc3339(to_json(admin, user, &record)),
        to_text(admin, user, &record)?.trim_end().to_owned(),
    ))
}

pub(super) async fn export(admin: &Admin, user: &Localpart) -> anyhow::Result<Report> {
    let record = find(admin, user).await?;
    let mut json = to_json(admin, user, &record);
    json["not_included"] = json!(NOT_INCLUDED);
    json["exported"] = json!(admin.clock.now());
    let json = times::with_rfc3339(json);
    let text = serde_json::to_string_pretty(&json)?;
    Ok(Report::success(json, text))
}

async fn find(admin: &Admin, user: &Localpart) -> anyhow::Result<UserRecord> {
    match admin.store.export_account(user).await? {
        Some(record) => Ok(record),
        None => bail!(account_not_found(user)),
    }
}

/// The record as JSON, with times in milliseconds, as in the protocol.
fn to_json(admin: &Admin, user: &Localpart, record: &UserRecord) -> Value {
    let devices = record.devices.iter().map(|device| {
        json!({
            "device_id": device.id, "display_name": device.display_name, "tokens_issued": device.issued,
            "access_token_expires": device.access_expires, "logged_in": device.alive,
        })
    });
    let addresses = record.addresses.iter().map(|threepid| {
        json!({
            "medium": threepid.threepid.medium, "address": threepid.threepid.address,
            "validated_at": threepid.validated, "added_at": threepid.added,
        })
    });
    let terms = record.terms.iter().map(
        |term| json!({ "policy": term.policy, "version": term.version, "accepted": term.accepted }),
    );
    let bindings = record.bindings.iter().map(|binding| {
        json!({
            "id_server": binding.id_server, "medium": binding.address.medium, "address": binding.address.address,
            "bound": binding.bound,
        })
    });
    let password = record
        .password
        .as_ref()
        .map(|password| json!({ "scheme": password.scheme, "set": password.set }));
    json!({
        "name": user, "log_hashes": log_hashes(admin, user), "status": record.account.status.as_str(), "kind": record.account.kind.as_str(),
        "created": record.created, "upgraded_from_guest": record.upgraded, "imported": record.imported,
        "deactivated": record.deactivated, "erased": record.erased,
        "password": password, "addresses": addresses.collect::<Vec<_>>(), "devices": devices.collect::<Vec<_>>(),
        "terms": terms.collect::<Vec<_>>(), "bindings": bindings.collect::<Vec<_>>(),
    })
}

fn to_text(
    admin: &Admin,
    user: &Localpart,
    record: &UserRecord,
) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(
        out,
        "{}  {}  {}, since {}",
        user.as_str(),
        record.account.status.as_str(),
        record.account.kind.as_str(),
        times::show(record.created)
    )?;
    for (event, time) in [
        ("upgraded from a guest", record.upgraded),
        ("imported", record.imported),
        ("deactivated", record.deactivated),
    ] {
        if let Some(time) = time {
            writeln!(out, "{event} {}", times::show(time))?;
        }
    }
    if record.erased {
        writeln!(out, "erased")?;
    }
    for hash in log_hashes(admin, user) {
        writeln!(out, "user.hash in the logs  {hash}")?;
    }
    match &record.password {
        Some(password) => writeln!(
            out,
            "password  {}, set {}",
            password.scheme,
            times::show(password.set)
        )?,
        None => writeln!(out, "no password")?,
    }
    for threepid in &record.addresses {
        let (medium, address) = (threepid.threepid.medium, &threepid.threepid.address);
        let validated = times::show(threepid.validated);
        writeln!(
            out,
            "{medium}  {}  validated {validated}",
            printable(address)
        )?;
    }
    for device in &record.devices {
        let state = login_state(device.alive);
        let name = device.display_name.as_deref().unwrap_or("no name");
        let issued = times::show(device.issued);
        writeln!(
            out,
            "device  {}  {}  {state}, tokens issued {issued}",
            printable(device.id.as_str()),
            printable(name)
        )?;
    }
    for term in &record.terms {
        let accepted = times::show(term.accepted);
        writeln!(out, "terms  {} {}  {accepted}", term.policy, term.version)?;
    }
    for binding in &record.bindings {
        let (medium, address) = (binding.address.medium, &binding.address.address);
        writeln!(
            out,
            "bound  {}  {medium}  {}",
            printable(&binding.id_server),
            printable(address)
        )?;
    }
    Ok(out)
}

const fn login_state(logged_in: bool) -> &'static str {
    if logged_in { "logged in" } else { "logged out" }
}

/// The hashes of the username in the logs of the functions, under the current, the previous and the next
/// key.
fn log_hashes(admin: &Admin, user: &Localpart) -> Vec<String> {
    admin
        .keys
        .hashes(KeyPurpose::LoggedUser, user.as_str().as_bytes())
}

/// Replaces control characters in text that users can choose, so that the text cannot control the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect()
}
