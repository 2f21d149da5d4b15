//! The users of Synapse with everything that its tables say about them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::database::Database;

/// A user as Synapse stores it. The values are sorted, so that a repeated import finds the same content.
#[derive(Default, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags are independent columns of one table"
)]
pub(super) struct SynapseUser {
    /// The user ID.
    pub(super) name: String,
    pub(super) password_hash: Option<String>,
    /// In seconds since 1970.
    pub(super) creation_ts: Option<i64>,
    pub(super) admin: bool,
    pub(super) deactivated: bool,
    pub(super) locked: bool,
    pub(super) suspended: bool,
    /// `None` means approved.
    pub(super) approved: Option<bool>,
    pub(super) is_guest: bool,
    pub(super) shadow_banned: bool,
    pub(super) appservice_id: Option<String>,
    pub(super) user_type: Option<String>,
    pub(super) is_erased: bool,
    pub(super) is_deactivation_pending: bool,
    /// The end of the account's validity, in milliseconds.
    pub(super) valid_until: Option<i64>,
    /// The identity providers with which the user logs in.
    pub(super) identity_providers: Vec<String>,
    pub(super) threepids: Vec<SynapseThreepid>,
    /// Medium, address and identity server of each bound 3PID.
    pub(super) bindings: Vec<[String; 3]>,
    /// The visible devices with their display names.
    pub(super) devices: BTreeMap<String, Option<String>>,
    pub(super) dehydrated_device: Option<String>,
    pub(super) access_tokens: Vec<AccessToken>,
    pub(super) refresh_tokens: Vec<RefreshToken>,
}

/// A 3PID. The order is that of its addition to the account.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct SynapseThreepid {
    pub(super) added_at: i64,
    pub(super) medium: String,
    pub(super) address: String,
    pub(super) validated_at: i64,
}

/// An access token. The order is that of issuance.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct AccessToken {
    pub(super) id: i64,
    pub(super) token: String,
    pub(super) device: Option<String>,
    pub(super) valid_until: Option<i64>,
    /// Whether the token acts as another user than the one it was issued to.
    pub(super) is_puppet: bool,
    /// The refresh token of the same pair.
    pub(super) refresh_token: Option<i64>,
    pub(super) is_used: bool,
}

/// A refresh token. The order is that of issuance.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct RefreshToken {
    pub(super) id: i64,
    pub(super) token: String,
    pub(super) device: String,
    /// The refresh token that it was exchanged for.
    pub(super) next: Option<i64>,
    /// The earlier of the two times at which the token and its session expire.
    pub(super) valid_until: Option<i64>,
}

/// Reads all users, in the order of their IDs.
pub(super) async fn read(database: &mut Database) -> anyhow::Result<Vec<SynapseUser>> {
    let mut users = read_users(database).await?;
    read_flags(database, &mut users).await?;
    read_addresses(database, &mut users).await?;
    read_devices(database, &mut users).await?;
    read_tokens(database, &mut users).await?;
    let sorted = users.into_values().map(|mut user| {
        user.identity_providers.sort();
        user.threepids.sort();
        user.bindings.sort();
        user.access_tokens.sort();
        user.refresh_tokens.sort();
        user
    });
    Ok(sorted.collect())
}

/// Reads all users with their devices, and nothing else of them.
pub(super) async fn read_with_devices(database: &mut Database) -> anyhow::Result<Vec<SynapseUser>> {
    let mut users = read_users(database).await?;
    read_devices(database, &mut users).await?;
    Ok(users.into_values().collect())
}

type Users = BTreeMap<String, SynapseUser>;

/// The user with this ID, if the table of users has one.
fn user_of(users: &mut Users, id: Option<String>) -> Option<&mut SynapseUser> {
    users.get_mut(&id?)
}

async fn read_users(database: &mut Database) -> anyhow::Result<Users> {
    let columns = [
        "name",
        "password_hash",
        "creation_ts",
        "admin",
        "deactivated",
        "locked",
        "suspended",
        "approved",
        "is_guest",
        "shadow_banned",
        "appservice_id",
        "user_type",
    ];
    let rows = database.read("users", columns).await?;
    let users = rows.into_iter().map(|row| {
        let [
            name,
            password_hash,
            creation_ts,
            admin,
            deactivated,
            locked,
            suspended,
            approved,
            is_guest,
            shadow_banned,
            appservice_id,
            user_type,
        ] = row;
        let name = name.unwrap_or_default();
        let user = SynapseUser {
            name: name.clone(),
            password_hash: password_hash.filter(|hash| !hash.is_empty()),
            creation_ts: number(creation_ts),
            admin: flag(admin.as_ref()),
            deactivated: flag(deactivated.as_ref()),
            locked: flag(locked.as_ref()),
            suspended: flag(suspended.as_ref()),
            approved: approved.as_ref().map(|text| flag(Some(text))),
            is_guest: flag(is_guest.as_ref()),
            shadow_banned: flag(shadow_banned.as_ref()),
            appservice_id: appservice_id.filter(|id| !id.is_empty()),
            user_type: user_type.filter(|kind| !kind.is_empty()),
            ..SynapseUser::default()
        };
        (name, user)
    });
    Ok(users.collect())
}

async fn read_flags(database: &mut Database, users: &mut Users) -> anyhow::Result<()> {
    for [id] in database.read("erased_users", ["user_id"]).await? {
        if let Some(user) = user_of(users, id) {
            user.is_erased = true;
        }
    }
    for [id] in database
        .read("users_pending_deactivation", ["user_id"])
        .await?
    {
        if let Some(user) = user_of(users, id) {
            user.is_deactivation_pending = true;
        }
    }
    let columns = ["user_id", "expiration_ts_ms"];
    for [id, expires] in database.read("account_validity", columns).await? {
        if let Some(user) = user_of(users, id) {
            user.valid_until = number(expires);
        }
    }
    let columns = ["user_id", "auth_provider"];
    for [id, provider] in database.read("user_external_ids", columns).await? {
        if let (Some(user), Some(provider)) = (user_of(users, id), provider) {
            user.identity_providers.push(provider);
        }
    }
    Ok(())
}

async fn read_addresses(database: &mut Database, users: &mut Users) -> anyhow::Result<()> {
    let columns = ["user_id", "medium", "address", "validated_at", "added_at"];
    for [id, medium, address, validated_at, added_at] in
        database.read("user_threepids", columns).await?
    {
        if let (Some(user), Some(medium), Some(address)) = (user_of(users, id), medium, address) {
            user.threepids.push(SynapseThreepid {
                added_at: number(added_at).unwrap_or_default(),
                medium,
                address,
                validated_at: number(validated_at).unwrap_or_default(),
            });
        }
    }
    let columns = ["user_id", "medium", "address", "id_server"];
    for [id, medium, address, server] in database.read("user_threepid_id_server", columns).await? {
        if let (Some(user), Some(medium), Some(address), Some(server)) =
            (user_of(users, id), medium, address, server)
        {
            user.bindings.push([medium, address, server]);
        }
    }
    Ok(())
}

/// Synapse stores cross-signing keys as hidden devices, which no client sees.
async fn read_devices(database: &mut Database, users: &mut Users) -> anyhow::Result<()> {
    let columns = ["user_id", "device_id", "display_name", "hidden"];
    for [id, device, display_name, hidden] in database.read("devices", columns).await? {
        if let (Some(user), Some(device)) = (user_of(users, id), device)
            && !flag(hidden.as_ref())
        {
            user.devices.insert(device, display_name);
        }
    }
    let columns = ["user_id", "device_id"];
    for [id, device] in database.read("dehydrated_devices", columns).await? {
        if let Some(user) = user_of(users, id) {
            user.dehydrated_device = device;
        }
    }
    Ok(())
}

async fn read_tokens(database: &mut Database, users: &mut Users) -> anyhow::Result<()> {
    let columns = [
        "id",
        "user_id",
        "device_id",
        "token",
        "valid_until_ms",
        "puppets_user_id",
        "refresh_token_id",
        "used",
    ];
    let rows = database.read("access_tokens", columns).await?;
    for [id, user, device, token, until, puppet, refresh, used] in rows {
        if let (Some(user), Some(token)) = (user_of(users, user), token) {
            user.access_tokens.push(AccessToken {
                id: number(id).unwrap_or_default(),
                token,
                device,
                valid_until: number(until),
                is_puppet: puppet.is_some(),
                refresh_token: number(refresh),
                is_used: flag(used.as_ref()),
            });
        }
    }
    let columns = [
        "id",
        "user_id",
        "device_id",
        "token",
        "next_token_id",
        "expiry_ts",
        "ultimate_session_expiry_ts",
    ];
    let rows = database.read("refresh_tokens", columns).await?;
    for [id, user, device, token, next, expiry, session_expiry] in rows {
        if let (Some(user), Some(token), Some(device)) = (user_of(users, user), token, device) {
            let times = number(expiry).into_iter().chain(number(session_expiry));
            user.refresh_tokens.push(RefreshToken {
                id: number(id).unwrap_or_default(),
                token,
                device,
                next: number(next),
                valid_until: times.min(),
            });
        }
    }
    Ok(())
}

fn number(text: Option<String>) -> Option<i64> {
    text?.parse().ok()
}

/// SQLite has numbers, PostgreSQL `t` and `f`.
fn flag(text: Option<&String>) -> bool {
    text.is_some_and(|text| matches!(text.as_str(), "1" | "t" | "true"))
}
