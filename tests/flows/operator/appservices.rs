//! Registration files of application services, and their effect on the names of users.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use serde_json::{Value, json};
use test_support::{PASSWORD, Reply, TestServer};

use crate::{
    api::support::{post_as, register_as},
    flows::support::run_operator,
};

/// Adds services from files with these texts, and returns the JSON and the text of the report.
async fn add(server: &TestServer, files: &[String]) -> anyhow::Result<(Value, String)> {
    let directory = tempfile::tempdir().unwrap();
    let mut arguments = vec!["appservices".to_owned(), "add".to_owned()];
    for (index, text) in files.iter().enumerate() {
        let path = directory.path().join(format!("{index}.yaml"));
        std::fs::write(&path, text).unwrap();
        arguments.push(path.to_str().unwrap().to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = run_operator(server, &arguments).await?;
    Ok((report.json, report.text))
}

async fn error_of(server: &TestServer, files: &[String]) -> String {
    format!("{:#}", add(server, files).await.unwrap_err())
}

fn file(id: &str, sender: &str, regex: &str) -> String {
    format!(
        "id: {id}\nurl: null\nas_token: token-of-{id}\nhs_token: x\nsender_localpart: {sender}\n\
         namespaces:\n  users:\n  - exclusive: true\n    regex: '{regex}'\n"
    )
}

async fn sign_up(server: &TestServer, name: &str) -> Reply {
    let auth = json!({ "type": "m.login.dummy" });
    let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
    server.register(&body).await
}

/// Bridges generate the name of their own user with letters of both cases.
#[tokio::test]
async fn a_service_acts_as_its_user_with_capital_letters() {
    let server = TestServer::new().await;
    let own = "zJ5H2lXNYdSVYFqA9DpWQnMn";
    let slack = file("slack", own, "^@slack_.*:localhost$");
    let (report, text) = add(&server, &[slack]).await.unwrap();
    assert_eq!(
        report,
        json!({ "added": ["slack"], "replaced": [], "warnings": [] })
    );
    assert!(text.starts_with("added slack; "), "{text}");

    sign_up(&server, own).await.error(400, "M_EXCLUSIVE");
    sign_up(&server, &own.to_ascii_lowercase())
        .await
        .error(400, "M_EXCLUSIVE");
    let token = "token-of-slack";
    let registered = register_as(&server, token, own).await.ok();
    let user_id = format!("@{}:localhost", own.to_ascii_lowercase());
    assert_eq!(registered["user_id"], user_id);
    let whoami = "/_matrix/client/v3/account/whoami";
    assert_eq!(server.get_as(token, whoami).await.ok()["user_id"], user_id);
    let login = json!({
        "type": "m.login.application_service", "identifier": { "type": "m.id.user", "user": own },
    });
    let login = post_as(&server, token, "/_matrix/client/v3/login", &login)
        .await
        .ok();
    assert_eq!(login["user_id"], user_id);
}

/// A shared namespace of every name reserves none.
#[tokio::test]
async fn a_shared_namespace_of_all_names_is_accepted() {
    let server = TestServer::new().await;
    let chat = file("chat", "rocket.cat", ".*").replace("exclusive: true", "exclusive: false");
    add(&server, &[chat]).await.unwrap();
    sign_up(&server, "alice").await.ok();
    register_as(&server, "token-of-chat", "bob").await.ok();
    let exclusive = file("other", "otherbot", ".*");
    let refused = error_of(&server, &[exclusive]).await;
    assert!(refused.contains("matches every user ID"), "{refused}");
}

#[tokio::test]
async fn a_service_with_the_same_id_is_replaced() {
    let server = TestServer::new().await;
    let irc = file("irc", "ircbot", "@irc_.*");
    let both = [irc.clone(), file("xmpp", "xmppbot", "@xmpp_.*")];
    add(&server, &both[..1]).await.unwrap();
    let (report, text) = add(&server, &both).await.unwrap();
    assert_eq!(
        (&report["added"], &report["replaced"]),
        (&json!(["xmpp"]), &json!(["irc"]))
    );
    assert!(text.starts_with("added xmpp; replaced irc; "), "{text}");
    let twice = error_of(&server, &[irc.clone(), irc.clone()]).await;
    assert!(twice.contains("two files have the `id` `irc`"), "{twice}");
    let renamed = irc.replace("id: irc", "id: irc2");
    let refused = error_of(&server, &[renamed]).await;
    assert!(
        refused.contains("`irc2`") && refused.contains("same `as_token` as `irc`"),
        "{refused}"
    );
}

#[tokio::test]
async fn services_that_exclude_each_other_cause_a_warning() {
    let server = TestServer::with(&[("GATEHOUSE_SERVER_NAME", "example.org")]).await;
    let irc = file("irc", "ircbot", "@irc_.*");
    add(&server, &[irc]).await.unwrap();
    for (other, reason) in [
        (file("a", "IRCBot", "@a_.*"), "same `sender_localpart`"),
        (
            file("b", "irc_bot", "@b_.*"),
            "reserves the `sender_localpart` of `b`",
        ),
        (
            file("c", "cbot", "@irc_oftc_[a-z]+:example.org"),
            "both reserve",
        ),
    ] {
        let (report, text) = add(&server, &[other]).await.unwrap();
        let warnings = report["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{report}");
        let warning = warnings[0].as_str().unwrap();
        assert!(
            warning.contains("`irc`") && warning.contains(reason),
            "{warning}"
        );
        assert!(text.contains(&format!("\nwarning: {warning}")), "{text}");
        let id = report["added"][0].as_str().unwrap();
        run_operator(&server, &["appservices", "remove", id])
            .await
            .unwrap();
    }
    let capitals = file("d", "dbot", "@IRC_[A-Za-z0-9]+:example.org");
    let (report, _) = add(&server, &[capitals]).await.unwrap();
    let warnings = report["warnings"].as_array().unwrap();
    for reason in ["compared without regard to case", "both reserve"] {
        let found = warnings.iter().filter_map(|warning| warning.as_str());
        assert_eq!(
            found.filter(|it| it.contains(reason)).count(),
            1,
            "{report}"
        );
    }
}

#[tokio::test]
async fn an_unusable_file_changes_nothing() {
    let server = TestServer::new().await;
    let good = file("irc", "ircbot", "@irc_.*");
    let long = "some_body|".repeat(24_000);
    for (bad, reason) in [
        (
            file("a", "abot", &format!("@({long}x)")),
            "too large (240 kB, at most 16 kB)",
        ),
        (
            file("a", "abot", "@(?!b).*"),
            "look-around is not supported",
        ),
        (
            file("a", "'@abot:localhost'", "@a_.*"),
            "`sender_localpart`",
        ),
        (
            file("a", "abot", "@a_.*").replace("  - exclusive: true\n    regex", "  - regex"),
            "`exclusive`",
        ),
        (
            file("a", "abot", "@a_.*").replace("id: a", "id: %a"),
            "line 1 column 5",
        ),
        (
            file("a", "abot", "@a_.*").replace("token-of-a", "[token-of-a]"),
            "line 3 column 11",
        ),
        ("mode: 1".to_owned(), "not a registration"),
    ] {
        let refused = error_of(&server, &[good.clone(), bad]).await;
        assert!(refused.contains(reason), "{refused}");
        assert!(
            refused.len() < 400 && !refused.contains("token-of"),
            "{refused}"
        );
    }
    let listed = run_operator(&server, &["appservices", "list"])
        .await
        .unwrap();
    assert_eq!(listed.json, json!([]));
}
