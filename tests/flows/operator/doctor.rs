//! What the operator's command finds wrong, here where the services are the embedded ones.

use std::{collections::BTreeMap, sync::Arc};

use clap::Parser;
use gatehouse_admin::{Admin, environment::Environment};
use kit::{House, NOW};
use serde_json::{Value, json};
use shared::{
    clock::SystemClock,
    secrets::{KeyRing, Secret},
};

use crate::flows::addresses::{MAIL, SMS};

/// The command's report, and whether all is well.
async fn examine(admin: &Admin) -> (Value, bool) {
    let cli = gatehouse_admin::Cli::try_parse_from(["gatehouse-admin", "doctor"]).unwrap();
    let report = Box::pin(admin.run(&cli.command)).await.unwrap();
    assert_eq!(report.json["well"], !report.failed);
    (report.json, !report.failed)
}

/// How each check ended, all of one name together.
fn states(report: &Value) -> BTreeMap<String, Vec<String>> {
    let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for check in report["checks"].as_array().unwrap() {
        let text = |name: &str| check[name].as_str().unwrap().to_owned();
        assert_eq!(
            check["advice"].is_string(),
            ["warn", "fail"].contains(&&*text("state"))
        );
        states.entry(text("name")).or_default().push(text("state"));
    }
    states
}

/// A house of this time, or its clock would be found wrong.
fn now(house: &House) -> Admin {
    Admin {
        clock: Arc::new(SystemClock),
        ..house.admin()
    }
}

#[tokio::test]
async fn a_house_as_the_template_makes_it_is_well_and_what_cannot_be_asked_is_skipped() {
    let house = House::with(&[MAIL, SMS]).await;
    house.registration_token(&[]).await;
    let (report, well) = examine(&now(&house)).await;
    assert!(well, "{report:#}");
    let states = states(&report);
    for (name, state) in &states {
        for state in state {
            assert!(
                ["ok", "skipped"].contains(&state.as_str()),
                "{name}: {report:#}"
            );
        }
    }
    let tables = house.local.config().tables.clone();
    for table in ["accounts", "uia-sessions", "limits", "proofs", "outbox"] {
        assert_eq!(
            states[&format!("table {tables}-{table}")][0],
            "ok",
            "{table}"
        );
    }
    assert_eq!(states["secret of registration tokens"], ["ok"]);
    assert_eq!(states["secret of application services"], ["skipped"]);
    for unknown_here in [
        "mail sender",
        "mail quota",
        "text messages",
        "spending on text messages",
    ] {
        assert_eq!(states[unknown_here], ["skipped"], "{unknown_here}");
    }
}

#[tokio::test]
async fn another_secret_is_found_out_and_the_previous_one_named() {
    let house = House::new().await;
    house.registration_token(&[]).await;
    let root = |byte: u8| Secret::new(vec![byte; 32]);
    let found = async |keys: KeyRing| {
        let admin = Admin {
            keys,
            ..now(&house)
        };
        let (report, well) = examine(&admin).await;
        (
            states(&report)["secret of registration tokens"].clone(),
            well,
        )
    };
    let (strange, well) = found(KeyRing::new(root(9), None)).await;
    assert_eq!((strange, well), (vec!["fail".to_owned()], false));
    // A second token, made under that one, and then both rings at once.
    let other = Admin {
        keys: KeyRing::new(root(9), None),
        ..now(&house)
    };
    let cli = ["gatehouse-admin", "registration-tokens", "create"];
    let cli = gatehouse_admin::Cli::try_parse_from(cli).unwrap();
    other.run(&cli.command).await.unwrap();
    let (mixed, well) = found(KeyRing::new(root(8), Some(root(9)))).await;
    assert_eq!((mixed, well), (vec!["fail".to_owned()], false));
    let own = house.local.config().keys.clone();
    assert_eq!(found(own).await.0, ["fail"]);
    house.past_the_functions(
        "DeleteItem",
        &json!({
            "TableName": format!("{}-accounts", house.local.config().tables),
            "Key": { "pk": { "S": "REGTOKENS" }, "sk": { "S": first_token(&house) } },
        }),
    );
    let (old, well) = found(KeyRing::new(root(8), Some(root(9)))).await;
    assert_eq!((old, well), (vec!["warn".to_owned()], true));
}

/// The one in the list of registration tokens that this house's own secret made.
fn first_token(house: &House) -> String {
    let rows = house.local.engine().table("Accounts").unwrap().into_iter();
    let mut hashes = rows
        .filter(|row| row["pk"]["S"] == "REGTOKENS")
        .map(|row| row["sk"]["S"].as_str().unwrap().to_owned());
    let keys = &house.local.config().keys;
    hashes
        .find(|hash| keys.generation_of(hash).is_some())
        .unwrap()
}

#[tokio::test]
async fn tables_that_are_missing_or_otherwise_are_found() {
    let house = House::new().await;
    let tables = house.local.config().tables.clone();
    let delete = json!({ "TableName": format!("{tables}-proofs") });
    house.past_the_functions("DeleteTable", &delete);
    let off = json!({
        "TableName": format!("{tables}-limits"),
        "TimeToLiveSpecification": { "AttributeName": "ttl", "Enabled": false },
    });
    house.past_the_functions("UpdateTimeToLive", &off);
    let (report, well) = examine(&now(&house)).await;
    assert!(!well);
    let states = states(&report);
    assert_eq!(states[&format!("table {tables}-proofs")], ["fail"]);
    assert_eq!(states[&format!("table {tables}-limits")], ["ok", "warn"]);
}

#[tokio::test]
async fn settings_and_a_clock_that_are_wrong_are_found() {
    let house = House::new().await;
    let with = |settings: &[(&str, &str)]| {
        let settings = settings.iter();
        let own = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Admin {
            environment: Environment::of(own),
            ..now(&house)
        }
    };
    let secret = ("GATEHOUSE_SECRET", "0123456789abcdef0123456789abcdef");
    let of = async |settings: &[(&str, &str)]| {
        let (report, _) = examine(&with(settings)).await;
        states(&report)["settings"].clone()
    };
    assert_eq!(of(&[secret]).await, ["skipped"]);
    assert_eq!(of(&[secret, ("GATEHOUSE_SEKRET", "x")]).await, ["fail"]);
    let name = ("GATEHOUSE_SERVER_NAME", "example.org");
    let closed = ("GATEHOUSE_REGISTRATION", "closed");
    assert_eq!(of(&[secret, name, closed]).await, ["ok"]);
    let faults = [
        secret,
        name,
        closed,
        ("GATEHOUSE_LIMITS", "5"),
        ("GATEHOUSE_ARGON2", "much"),
    ];
    assert_eq!(of(&faults).await, ["fail", "fail"]);

    // The tests' own time is not the world's.
    assert_eq!(house.admin().clock.now().0, NOW);
    let (report, _) = examine(&house.admin()).await;
    assert_eq!(states(&report)["clock"], ["fail"], "{report:#}");
}
