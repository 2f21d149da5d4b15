//! The account of Gatehouse for a user of Synapse, and what changes with it.

use std::collections::BTreeMap;

use serde_json::json;
use shared::{
    accounts::MAX_THREEPIDS,
    clock::Timestamp,
    ids::Localpart,
    passwords::PasswordHash,
    secrets::KeyPurpose,
    store::{AccountStatus, HomeserverState, ImportedAccount},
    threepids::{Medium, ThreePid},
};

use super::{
    devices::{Context, devices},
    findings::{Finding, Kind},
    tables::{SynapseThreepid, SynapseUser},
};
use crate::{
    times,
    users::import::{hash, phone},
};

/// A user that can be imported.
pub(super) struct Entry {
    pub(super) user: String,
    pub(super) account: ImportedAccount,
    /// Everything that Synapse's tables say about the user. Its keyed hash marks the imported account, so that a later
    /// run recognises it.
    pub(super) fingerprint: String,
}

/// The accounts and the findings of all users.
#[derive(Default)]
pub(super) struct Mapping {
    pub(super) entries: Vec<Entry>,
    pub(super) findings: Vec<Finding>,
    /// The first user with each 3PID.
    owners: BTreeMap<ThreePid, String>,
}

impl Mapping {
    /// Adds a user. Of two users with the same 3PID, the first keeps it.
    pub(super) fn add(&mut self, context: &Context<'_>, user: &SynapseUser) {
        let mut findings = Vec::new();
        let entry = match localpart(context, user) {
            Ok(localpart) => Some(self.entry(context, user, localpart, &mut findings)),
            Err(reason) => {
                findings.push(reason);
                None
            }
        };
        self.entries.extend(entry);
        let findings = findings.into_iter().map(|(kind, text)| Finding {
            user: user.name.clone(),
            kind,
            text,
        });
        self.findings.extend(findings);
    }

    fn entry(
        &mut self,
        context: &Context<'_>,
        user: &SynapseUser,
        localpart: Localpart,
        findings: &mut Vec<(Kind, String)>,
    ) -> Entry {
        let (status, before_lock) = status(user, findings);
        let is_deactivated = status == AccountStatus::Deactivated;
        report_flags(user, is_deactivated, findings);
        let (mut password, mut addresses, mut own_devices) = (None, Vec::new(), Vec::new());
        if is_deactivated {
            report_remains(user, findings);
        } else {
            password = self::password(context, user, findings);
            addresses = self.addresses(context, user, findings);
            let (devices, about_devices) = devices(context, user, &localpart);
            own_devices = devices;
            findings.extend(about_devices);
        }
        let fingerprint = json!(["synapse", user, context.pepper]).to_string();
        Entry {
            user: user.name.clone(),
            account: ImportedAccount {
                localpart,
                marker: context
                    .keys
                    .hash(KeyPurpose::ImportMarker, fingerprint.as_bytes()),
                created: created(context.now, user, findings),
                status,
                before_lock,
                erased: is_deactivated && user.is_erased,
                homeserver: HomeserverState::Provisioned,
                password,
                addresses,
                devices: own_devices,
            },
            fingerprint,
        }
    }

    fn addresses(
        &mut self,
        context: &Context<'_>,
        user: &SynapseUser,
        findings: &mut Vec<(Kind, String)>,
    ) -> Vec<(ThreePid, Timestamp)> {
        let mut own = Vec::new();
        for threepid in &user.threepids {
            let shown = &threepid.address;
            let mut drop = |reason: &str| {
                findings.push((Kind::Address, format!("`{shown}` is dropped: {reason}")));
            };
            let Some(parsed) = parse(threepid) else {
                drop("it is not a valid address");
                continue;
            };
            if own.len() == MAX_THREEPIDS {
                drop(&format!("an account has at most {MAX_THREEPIDS} addresses"));
                continue;
            }
            if let Some(owner) = self.owners.get(&parsed) {
                drop(&format!("{owner} has the same address"));
                continue;
            }
            self.owners.insert(parsed.clone(), user.name.clone());
            let validated = threepid.validated_at.clamp(0, context.now.0);
            if validated != threepid.validated_at {
                let text = format!("the time of the validation of `{shown}` is corrected");
                findings.push((Kind::Address, text));
            }
            own.push((parsed, Timestamp(validated)));
        }
        own
    }
}

fn parse(threepid: &SynapseThreepid) -> Option<ThreePid> {
    match Medium::parse(&threepid.medium)? {
        Medium::Email => ThreePid::parse(Medium::Email, threepid.address.trim()),
        Medium::Msisdn => phone::parse(&threepid.address).ok(),
    }
}

/// The username, or the reason why the user is not imported.
fn localpart(context: &Context<'_>, user: &SynapseUser) -> Result<Localpart, (Kind, String)> {
    if user.is_guest {
        return Err((Kind::Guest, "guests are not imported".to_owned()));
    }
    if let Some(service) = &user.appservice_id {
        let text =
            format!("the user of the application service `{service}` stays with the homeserver");
        return Err((Kind::Appservice, text));
    }
    let name = user.name.strip_prefix('@');
    let (name, server) = name
        .and_then(|name| name.split_once(':'))
        .unwrap_or_default();
    if server != context.server.as_str() {
        let text = format!("the user ID does not end in `:{}`", context.server);
        return Err((Kind::Username, text));
    }
    // `parse` converts capitals, but the name in lower case belongs to another user.
    let parsed = Localpart::parse(name, context.server).ok();
    let parsed = parsed.filter(|parsed| parsed.as_str() == name);
    parsed.ok_or_else(|| {
        let text = "the username has characters other than lower-case letters, digits and `._=-/+`";
        (Kind::Username, text.to_owned())
    })
}

/// The status, and the status below a lock.
fn status(
    user: &SynapseUser,
    findings: &mut Vec<(Kind, String)>,
) -> (AccountStatus, Option<AccountStatus>) {
    if user.is_deactivation_pending && !user.deactivated {
        let text = "Synapse has not finished the deactivation; the account is deactivated";
        findings.push((Kind::Deactivation, text.to_owned()));
    }
    if user.deactivated || user.is_deactivation_pending {
        return (AccountStatus::Deactivated, None);
    }
    let unlocked = if user.suspended {
        AccountStatus::Suspended
    } else {
        AccountStatus::Active
    };
    let is_approved = user.approved.unwrap_or(true);
    if !is_approved {
        let text = "an administrator has not approved the account; `users unlock` approves it";
        findings.push((Kind::Approval, text.to_owned()));
    }
    if user.locked || !is_approved {
        return (AccountStatus::Locked, Some(unlocked));
    }
    (unlocked, None)
}

/// The properties that no account of Gatehouse has.
fn report_flags(user: &SynapseUser, is_deactivated: bool, findings: &mut Vec<(Kind, String)>) {
    let mut add = |kind, text: String| findings.push((kind, text));
    if user.is_erased && !is_deactivated {
        let text = "the account is marked as erased, but is not deactivated";
        add(Kind::Erasure, text.to_owned());
    }
    if is_deactivated {
        return;
    }
    if user.admin {
        let text =
            "the user is a server administrator at Synapse, but no token of Gatehouse is one";
        add(Kind::Admin, text.to_owned());
    }
    if user.shadow_banned {
        let text = "Synapse does not apply shadow bans to tokens of Gatehouse";
        add(Kind::ShadowBan, text.to_owned());
    }
    if let Some(kind) = &user.user_type {
        let text = format!("the user type `{kind}` stays with the homeserver");
        add(Kind::UserType, text);
    }
    if let Some(end) = user.valid_until {
        let end = times::show(Timestamp(end));
        let text = format!("the account is valid until {end} at Synapse, and without end here");
        add(Kind::Validity, text);
    }
    let mut providers = user.identity_providers.clone();
    providers.dedup();
    for provider in providers {
        let then = if user.password_hash.is_some() {
            "the password remains"
        } else {
            "the user must set a password"
        };
        let text = format!("logins with `{provider}` end; {then}");
        add(Kind::IdentityProvider, text);
    }
    for [_, address, server] in &user.bindings {
        let text = format!("Synapse keeps the binding of `{address}` at {server}");
        add(Kind::Binding, text);
    }
}

/// Reports the data of a deactivated user. Synapse deletes it, but older versions left some.
fn report_remains(user: &SynapseUser, findings: &mut Vec<(Kind, String)>) {
    let has_data = user.password_hash.is_some()
        || !user.threepids.is_empty()
        || !user.devices.is_empty()
        || !user.access_tokens.is_empty()
        || !user.refresh_tokens.is_empty();
    if has_data {
        let text = "the password, addresses and devices of the deactivated account are dropped";
        findings.push((Kind::Deactivation, text.to_owned()));
    }
}

fn password(
    context: &Context<'_>,
    user: &SynapseUser,
    findings: &mut Vec<(Kind, String)>,
) -> Option<PasswordHash> {
    let Some(hash) = &user.password_hash else {
        if user.identity_providers.is_empty() {
            let text = "the account has no password; the user must set one for the next login";
            findings.push((Kind::NoPassword, text.to_owned()));
        }
        return None;
    };
    match hash::parse(hash) {
        Ok(phc) => Some(PasswordHash {
            phc,
            pepper: context.pepper.map(str::to_owned),
            changed_at: context.now,
        }),
        Err(reason) => {
            findings.push((Kind::Password, reason));
            None
        }
    }
}

fn created(now: Timestamp, user: &SynapseUser, findings: &mut Vec<(Kind, String)>) -> Timestamp {
    let created = user.creation_ts.and_then(times::from_number);
    created.filter(|time| *time <= now).unwrap_or_else(|| {
        let text =
            "the time of creation is missing or in the future; the time of the import is used";
        findings.push((Kind::Created, text.to_owned()));
        now
    })
}
