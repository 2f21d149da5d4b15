//! The command `doctor` with the embedded services.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{collections::BTreeMap, sync::Arc};

use clap::Parser;
use gatehouse_admin::{Admin, environment::Environment};
use gatehouse_local::aws_fakes::KEY_RING;
use serde_json::{Value, json};
use shared::{
    clock::SystemClock,
    secrets::{KeyRing, Secret},
};
use test_support::{NOW, TestServer};

use crate::flows::support::{
    captcha_provider::Provider,
    flows, run_operator,
    threepid_helpers::{MAIL, SMS},
};

/// Runs `doctor` and returns its report, and whether every check passed.
async fn examine(admin: &Admin) -> (Value, bool) {
    let cli = gatehouse_admin::Cli::try_parse_from(["gatehouse-admin", "doctor"]).unwrap();
    let report = Box::pin(admin.run(&cli.command)).await.unwrap();
    assert_eq!(report.json["well"], !report.failed);
    (report.json, !report.failed)
}

/// The results of the checks, grouped by name.
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

/// The admin CLI with the present time, because the check of the clock fails with the time of the tests.
fn now(server: &TestServer) -> Admin {
    Admin {
        clock: Arc::new(SystemClock),
        ..server.admin()
    }
}

#[tokio::test]
async fn doctor_passes_on_a_new_deployment_and_skips_some_checks() {
    let server = TestServer::with(&[MAIL, SMS]).await;
    server.registration_token(&[]).await;
    let (report, well) = examine(&now(&server)).await;
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
    let tables = server.local.config().tables.clone();
    for table in [
        "accounts",
        "uia-sessions",
        "limits",
        "proofs",
        "oauth",
        "outbox",
    ] {
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
        "text messages to GB",
        "numbers and sender IDs",
        "delivery status of text messages",
    ] {
        assert_eq!(states[unknown_here], ["skipped"], "{unknown_here}");
    }
}

#[tokio::test]
async fn another_secret_is_reported_and_the_previous_one_named() {
    let server = TestServer::new().await;
    server.registration_token(&[]).await;
    let root = |byte: u8| Secret::new(vec![byte; 32]);
    let found = async |keys: KeyRing| {
        let admin = Admin {
            keys,
            ..now(&server)
        };
        let (report, well) = examine(&admin).await;
        (
            states(&report)["secret of registration tokens"].clone(),
            well,
        )
    };
    let (strange, well) = found(KeyRing::new(root(9), None)).await;
    assert_eq!((strange, well), (vec!["fail".to_owned()], false));
    // There is now a second token, which was made with another secret.
    let other = Admin {
        keys: KeyRing::new(root(9), None),
        ..now(&server)
    };
    let cli = ["gatehouse-admin", "registration-tokens", "create"];
    let cli = gatehouse_admin::Cli::try_parse_from(cli).unwrap();
    other.run(&cli.command).await.unwrap();
    let (mixed, well) = found(KeyRing::new(root(8), Some(root(9)))).await;
    assert_eq!((mixed, well), (vec!["fail".to_owned()], false));
    let own = server.local.config().keys.clone();
    assert_eq!(found(own).await.0, ["fail"]);
    server.raw_dynamodb(
        "DeleteItem",
        &json!({
            "TableName": format!("{}-accounts", server.local.config().tables),
            "Key": { "pk": { "S": "REGTOKENS" }, "sk": { "S": first_token(&server) } },
        }),
    );
    let (old, well) = found(KeyRing::new(root(8), Some(root(9)))).await;
    assert_eq!((old, well), (vec!["warn".to_owned()], true));
}

/// The sort key of the registration token that was made with this server's secret.
fn first_token(server: &TestServer) -> String {
    let rows = server
        .local
        .dynamodb()
        .table("Accounts")
        .unwrap()
        .into_iter();
    let mut hashes = rows
        .filter(|row| row["pk"]["S"] == "REGTOKENS")
        .map(|row| row["sk"]["S"].as_str().unwrap().to_owned());
    let keys = &server.local.config().keys;
    hashes
        .find(|hash| keys.generation_of(hash).is_some())
        .unwrap()
}

/// The operator needs only the name of the secret and the permission to read it.
#[tokio::test]
async fn the_secret_is_read_where_the_functions_read_it() {
    let server = TestServer::new().await;
    let aws = server.local.aws("admin");
    let aws = aws.sdk_config(aws.endpoints.secrets_manager.as_deref());
    let of = |settings: [(&str, &str); 2]| {
        let settings = settings.iter();
        Environment::of(settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    };
    let tables = ("GATEHOUSE_TABLES", "other");
    let named = of([tables, ("GATEHOUSE_SECRET_ARN", KEY_RING)]);
    let refused = named.clone().with_secrets(&aws).await.unwrap_err();
    assert!(refused.to_string().contains("rejected"), "{refused}");
    let root = "0123456789abcdef0123456789abcdef";
    let secret = json!({ "current": root, "next": "f".repeat(32) }).to_string();
    server.local.aws_fakes().set_secret(&secret);
    let found = named.with_secrets(&aws).await.unwrap();
    assert_eq!(found.get("GATEHOUSE_SECRET").as_deref(), Some(root));
    assert_eq!(found.names().count(), 3);
    let given = of([tables, ("GATEHOUSE_SECRET", root)]);
    let found = given.with_secrets(&aws).await.unwrap();
    assert_eq!(found.names().count(), 2);
}

#[tokio::test]
async fn missing_and_different_tables_are_reported() {
    let server = TestServer::new().await;
    let tables = server.local.config().tables.clone();
    let delete = json!({ "TableName": format!("{tables}-proofs") });
    server.raw_dynamodb("DeleteTable", &delete);
    let off = json!({
        "TableName": format!("{tables}-limits"),
        "TimeToLiveSpecification": { "AttributeName": "ttl", "Enabled": false },
    });
    server.raw_dynamodb("UpdateTimeToLive", &off);
    let (report, well) = examine(&now(&server)).await;
    assert!(!well);
    let states = states(&report);
    assert_eq!(states[&format!("table {tables}-proofs")], ["fail"]);
    assert_eq!(states[&format!("table {tables}-limits")], ["ok", "warn"]);
}

#[tokio::test]
async fn a_command_names_the_missing_table() {
    let server = TestServer::new().await;
    let table = format!("{}-accounts", server.local.config().tables);
    let unprotected = json!({ "TableName": table, "DeletionProtectionEnabled": false });
    server.raw_dynamodb("UpdateTable", &unprotected);
    server.raw_dynamodb("DeleteTable", &json!({ "TableName": table }));
    for command in [
        &["users", "show", "alice"][..],
        &["users", "lock", "alice"],
        &["registration-tokens", "list"],
        &["registration-tokens", "create"],
        &["appservices", "list"],
    ] {
        let error = run_operator(&server, command)
            .await
            .unwrap_err()
            .to_string();
        for named in [&*table, "gatehouse-admin doctor", "GATEHOUSE_TABLES"] {
            assert!(error.contains(named), "{command:?}: {error}");
        }
    }
}

#[tokio::test]
async fn wrong_settings_and_a_wrong_clock_are_reported() {
    let server = TestServer::new().await;
    let with = |settings: &[(&str, &str)]| {
        let settings = settings.iter();
        let own = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Admin {
            environment: Environment::of(own),
            ..now(&server)
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
    // The server name alone is a setting of the admin CLI too.
    assert_eq!(of(&[secret, name]).await, ["skipped"]);
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
    // A setting of the functions is checked without the server name too.
    let flows = ("GATEHOUSE_REGISTRATION_FLOWS", "m.login.other");
    assert_eq!(of(&[secret, flows]).await, ["fail"]);
    assert_eq!(of(&[secret, closed]).await, ["ok"]);
    let own = [
        ("GATEHOUSE_TABLES", "x"),
        ("GATEHOUSE_MAIL_FROM", "a@example.org"),
        ("GATEHOUSE_SMS_COUNTRIES", "DE"),
        ("GATEHOUSE_PUBLIC_URL", "https://example.org"),
    ];
    assert_eq!(of(&[&[secret], &own[..]].concat()).await, ["skipped"]);
    assert_eq!(
        of(&[secret, ("GATEHOUSE_SMS_COUNTRIES", "Germany")]).await,
        ["fail"]
    );

    // The time of the tests is not the present time.
    assert_eq!(server.admin().clock.now().0, NOW);
    let (report, _) = examine(&server.admin()).await;
    assert_eq!(states(&report)["clock"], ["fail"], "{report:#}");
}

#[tokio::test]
async fn doctor_asks_the_captcha_provider_once() {
    let provider = Provider::answering("invalid-input-response");
    let settings = |url: &str| {
        [
            ("GATEHOUSE_CAPTCHA_PROVIDER", "turnstile"),
            ("GATEHOUSE_CAPTCHA_SITE_KEY", "site-key"),
            ("GATEHOUSE_CAPTCHA_SECRET_KEY", "secret-key"),
            ("GATEHOUSE_CAPTCHA_VERIFY_URL", url),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let server = TestServer::with(&[flows("m.login.dummy")]).await;
    let checked = async |url: &str| {
        let admin = Admin {
            environment: Environment::of(settings(url)),
            ..now(&server)
        };
        let (report, _) = examine(&admin).await;
        states(&report)["captcha"].clone()
    };
    assert_eq!(checked(&provider.url).await, ["ok"]);
    assert_eq!(provider.forms().len(), 1);
    let wrong_key = Provider::answering("invalid-input-secret");
    assert_eq!(checked(&wrong_key.url).await, ["fail"]);
    assert_eq!(checked("http://127.0.0.1:1/siteverify").await, ["warn"]);
    let (report, _) = examine(&now(&server)).await;
    assert_eq!(states(&report)["captcha"], ["skipped"]);
}
