//! An import changes no state of an account unless its report names the account (HS-22).
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use proptest::{
    collection::{btree_set, vec},
    option,
    prelude::*,
};
use serde_json::{Value, json};
use test_support::{NOW, TestServer};

use crate::{
    api::{
        properties::one_of,
        support::{for_all, text},
    },
    flows::{
        operator::import::{BCRYPT, PBKDF2},
        support::synapse::{Synapse, findings},
    },
};

const CASES: u32 = 48;
/// The least number of users, and of their tokens, that must be compared because the report does not name them.
const COMPARED: [usize; 2] = [50, 40];

/// A random user of Synapse.
#[derive(Debug, Clone)]
struct User {
    name: &'static str,
    hash: Option<&'static str>,
    flags: BTreeSet<&'static str>,
    approved: Option<bool>,
    tables: BTreeSet<&'static str>,
    addresses: Vec<(&'static str, usize, i64)>,
    devices: BTreeSet<&'static str>,
    tokens: Vec<TokenRow>,
}

/// A random row of an access token, with a refresh token or without one.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each combination is possible"
)]
struct TokenRow {
    device: &'static str,
    valid_until: Option<i64>,
    is_used: bool,
    has_refresh: bool,
    /// Whether the refresh token was issued for that of the row before.
    is_next: bool,
    is_old_format: bool,
}

/// A token that Synapse accepts, with its device.
#[derive(Debug)]
struct ValidToken {
    text: String,
    device: &'static str,
    is_refresh: bool,
}

/// Mostly `usual`, so that most users have few properties that the report names.
fn mostly<T: Clone + std::fmt::Debug + 'static>(
    usual: &[T],
    other: &[T],
) -> impl Strategy<Value = T> {
    prop_oneof![12 => one_of(usual), 1 => one_of(other)]
}

fn flags() -> impl Strategy<Value = BTreeSet<&'static str>> {
    let named = [
        "admin",
        "is_guest",
        "shadow_banned",
        "appservice_id",
        "user_type",
    ];
    let kept = btree_set(one_of(&["locked", "suspended"]), 0..3);
    let set = |flag: &'static str| BTreeSet::from([flag]);
    prop_oneof![
        8 => kept,
        1 => Just(set("deactivated")),
        1 => one_of(&named).prop_map(set),
    ]
}

fn tables() -> impl Strategy<Value = BTreeSet<&'static str>> {
    let all = [
        "INSERT INTO erased_users VALUES (?1)",
        "INSERT INTO users_pending_deactivation VALUES (?1)",
        "INSERT INTO account_validity VALUES (?1, 1900000000000, 0, NULL, NULL)",
        "INSERT INTO user_external_ids VALUES ('oidc', ?1, ?1)",
        "INSERT INTO dehydrated_devices VALUES (?1, 'DEHYDRATED', '{}')",
    ];
    prop_oneof![8 => Just(BTreeSet::new()), 1 => btree_set(one_of(&all), 0..3)]
}

fn token() -> impl Strategy<Value = TokenRow> {
    (
        mostly(&["A", "B", "DEHYDRATED"], &["bad\n", "none"]),
        option::weighted(0.3, one_of(&[NOW - 1, NOW + 60_000])),
        any::<[bool; 3]>(),
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(device, valid_until, flags, is_old_format)| TokenRow {
            device,
            valid_until,
            is_used: flags[0],
            has_refresh: flags[1],
            is_next: flags[2],
            is_old_format,
        })
}

fn user() -> impl Strategy<Value = User> {
    let addresses = (
        mostly(&["email", "msisdn"], &["pigeon"]),
        mostly(&[0, 2, 3], &[1, 4, 5]),
        mostly(&[5000], &[NOW + 1]),
    );
    (
        mostly(
            &["alice", "bob", "e.f=_-/+1"],
            &["Dave", "gr\u{fc}n", "irene@x"],
        ),
        mostly(
            &[Some(BCRYPT), Some(PBKDF2)],
            &[None, Some("$6$unknown"), Some("")],
        ),
        flags(),
        mostly(&[None, Some(true)], &[Some(false)]),
        tables(),
        vec(addresses, 0..3),
        btree_set(mostly(&["A", "B", "DEHYDRATED"], &["bad\n", ""]), 0..4),
        vec(token(), 0..4),
    )
        .prop_map(|parts| {
            let (name, hash, flags, approved, tables, addresses, devices, tokens) = parts;
            let mut user = User {
                name,
                hash,
                flags,
                approved,
                tables,
                addresses,
                devices,
                tokens,
            };
            if user.flags.contains("deactivated") {
                // Synapse deletes the data of a deactivated user.
                user = User {
                    hash: None,
                    addresses: Vec::new(),
                    devices: BTreeSet::new(),
                    tokens: Vec::new(),
                    ..user
                };
            }
            // Most tokens belong to a device that exists.
            user.devices
                .extend(user.tokens.iter().map(|token| token.device));
            user.devices.remove("none");
            user
        })
}

/// The address with this number, which several users share. Some are spellings of the same address, and some are not valid.
fn address(medium: &str, number: usize, case: u32) -> String {
    if medium == "email" {
        let name = ["a", "A", "b", "c", "\u{e4}", ""][number];
        return format!("{name}@case{case}.example.org");
    }
    let end = ["0", "0", "1", "2", "x", "000000000"][number];
    format!("4915{case:07}{end}")
}

/// Writes a user. Returns the tokens that Synapse accepts.
fn write(synapse: &Synapse, user: &User, name: &str, case: u32) -> Vec<ValidToken> {
    synapse.user(name, user.hash);
    for flag in &user.flags {
        match *flag {
            "appservice_id" | "user_type" => synapse.set(name, flag, &"bot"),
            flag => synapse.set(name, flag, &true),
        }
    }
    synapse.set(name, "approved", &user.approved);
    for sql in &user.tables {
        synapse.execute(sql, &[&format!("@{name}:localhost")]);
    }
    for (medium, number, validated) in &user.addresses {
        synapse.address(name, medium, &address(medium, *number, case), *validated);
    }
    for device in &user.devices {
        synapse.device(name, device);
    }
    write_tokens(synapse, user, name)
}

fn write_tokens(synapse: &Synapse, user: &User, name: &str) -> Vec<ValidToken> {
    let mut valid = Vec::new();
    let mut before = None;
    for row in &user.tokens {
        let mut access = synapse.token("syt", name);
        if row.is_old_format {
            access = access.replace("syt_", "MDA");
        }
        let next_of = before.take().filter(|_| row.is_next);
        if row.has_refresh {
            let (pair, device) = match next_of {
                Some((pair, device)) => (Some(pair), device),
                None => (None, row.device),
            };
            let pair = synapse.pair(name, device, row.valid_until, pair.as_ref());
            if !row.is_used {
                synapse.set_unused(&pair.access);
            }
            let access = (pair.access.clone(), false);
            for (text, is_refresh) in [access, (pair.refresh.clone(), true)] {
                valid.push(ValidToken {
                    text,
                    device,
                    is_refresh,
                });
            }
            before = Some((pair, device));
        } else {
            synapse.add_access(name, &access, &row.device, row.valid_until, None);
            if !row.is_used {
                synapse.set_unused(&access);
            }
            valid.push(ValidToken {
                text: access,
                device: row.device,
                is_refresh: false,
            });
        }
    }
    valid.retain(|token| synapse.accepts(&token.text));
    valid
}

/// The state that Synapse gives to the user.
fn expected(synapse: &Synapse, user: &User, name: &str) -> Value {
    let is_deactivated = user.flags.contains("deactivated");
    let status = if is_deactivated {
        "deactivated"
    } else if user.flags.contains("locked") {
        "locked"
    } else if user.flags.contains("suspended") {
        "suspended"
    } else {
        "active"
    };
    let addresses = synapse.addresses(name).into_iter();
    let addresses: BTreeSet<_> = addresses.map(|own| own.to_lowercase()).collect();
    let devices: Vec<_> = user
        .devices
        .iter()
        .map(|id| json!([id, format!("{id} of {name}")]))
        .collect();
    let is_erased = user.tables.iter().any(|sql| sql.contains("erased_users"));
    json!({
        "status": status, "password": user.hash.filter(|hash| !hash.is_empty()), "addresses": addresses,
        "devices": devices, "erased": is_erased,
    })
}

/// The rows of one account, by sort key.
type Rows = BTreeMap<String, Value>;

/// The rows of all accounts.
fn all_rows(server: &TestServer) -> BTreeMap<String, Rows> {
    let mut all: BTreeMap<String, Rows> = BTreeMap::new();
    for row in server.local.dynamodb().table("Accounts").unwrap() {
        if let Some(name) = text(&row["pk"], "S").strip_prefix("USER#") {
            let sk = text(&row["sk"], "S").to_owned();
            all.entry(name.to_owned()).or_default().insert(sk, row);
        }
    }
    all
}

/// The state after the import.
fn found(rows: &Rows) -> Value {
    let account = &rows["A"];
    let password = rows.get("PW").map(|row| row["phc"]["S"].clone());
    let below = |prefix: &'static str| rows.iter().filter(move |(sk, _)| sk.starts_with(prefix));
    let addresses: BTreeSet<_> = below("3PID#")
        .map(|(_, row)| text(&row["address"], "S"))
        .collect();
    let devices =
        below("DEV#").map(|(sk, row)| json!([sk["DEV#".len()..], row["display_name"]["S"]]));
    json!({
        "status": account["status"]["S"], "password": password, "addresses": addresses,
        "devices": devices.collect::<Vec<_>>(), "erased": account.get("erased").is_some(),
    })
}

/// Checks that each token that Synapse accepts is still accepted for its device. The use of an access token can end a
/// refresh token, so a refresh token is only looked up.
async fn check_tokens(server: &TestServer, user: &User, rows: &Rows, valid: &[ValidToken]) {
    for token in valid {
        let hash = shared::secrets::sha256_base64(token.text.as_bytes());
        let row = rows.get(&format!("TOKEN#{hash}"));
        assert_eq!(row.unwrap()["device"]["S"], token.device);
        if token.is_refresh {
            let device = &rows[&format!("DEV#{}", token.device)];
            let hashes = ["refresh_hash", "next_refresh_hash"].map(|name| &device[name]["S"]);
            assert!(hashes.contains(&&json!(hash)), "{device}");
            continue;
        }
        let reply = server.whoami(&token.text).await;
        if user.flags.contains("locked") {
            reply.error(401, "M_USER_LOCKED");
        } else {
            assert_eq!(reply.ok()["device_id"], token.device);
        }
    }
}

#[test]
fn hs_22_no_account_changes_unless_the_report_names_it() {
    static CASE: AtomicU32 = AtomicU32::new(0);
    static COUNTS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    for_all(CASES, &[], &vec(user(), 1..6), &async |server, all| {
        let case = CASE.fetch_add(1, Ordering::Relaxed);
        let synapse = Synapse::new();
        let mut written = Vec::new();
        for (number, user) in all.iter().enumerate() {
            let name = format!("{}{case}.{number}", user.name);
            let valid = write(&synapse, user, &name, case);
            written.push((user, name, valid));
        }
        let (report, is_success) = synapse.import(server, &[]).await.unwrap();
        assert!(is_success, "{report}");
        let named: BTreeSet<_> = findings(&report)
            .into_iter()
            .map(|(user, _)| user)
            .collect();
        let rows = all_rows(server);
        for (user, name, valid) in &written {
            if named.contains(&format!("@{name}:localhost")) {
                continue;
            }
            COUNTS[0].fetch_add(1, Ordering::Relaxed);
            COUNTS[1].fetch_add(valid.len(), Ordering::Relaxed);
            let rows = &rows[name];
            assert_eq!(
                found(rows),
                expected(&synapse, user, name),
                "{name}: {report}"
            );
            check_tokens(server, user, rows, valid).await;
        }
        // A second import finds every account unchanged.
        let (again, _) = synapse.import(server, &[]).await.unwrap();
        assert_eq!(
            (&again["new"], &again["findings"]),
            (&json!(0), &report["findings"])
        );
    });
    let counts = COUNTS.each_ref().map(|count| count.load(Ordering::Relaxed));
    assert!(
        counts[0] >= COMPARED[0] && counts[1] >= COMPARED[1],
        "{counts:?}"
    );
}
