//! Links that are opened: what a `GET` proves, and where it leads.
#![expect(clippy::unwrap_used, reason = "a header that is no text ends the test")]

use serde_json::{Value, json};
use test_support::{PREFIXES, Reply, TestServer};

use crate::api::{
    support::request,
    threepids::{
        CODE, CONFIRM, DIRECT, EMAIL, HOSTS, LINK, MSISDN, form, link_token, open, press,
        server_with, sid, state, submit, token, wish, with,
    },
};

/// Links that a client may name, and where a browser is sent once the session is added.
const LINKS: [(&str, &str); 6] = [
    ("https://app.example.org", "https://app.example.org?sid=SID"),
    (
        "https://app.example.org/",
        "https://app.example.org/?sid=SID",
    ),
    (
        "https://app.example.org/done?a=b&c=d",
        "https://app.example.org/done?a=b&c=d&sid=SID",
    ),
    (
        "http://localhost:8080/#/register?client_secret=x&hs_url=y",
        "http://localhost:8080/#/register?client_secret=x&hs_url=y&sid=SID",
    ),
    (
        "https://app.example.org/#/register",
        "https://app.example.org/#/register?sid=SID",
    ),
    (
        "HTTPS://APP.example.org/?x=%22%3E",
        "HTTPS://APP.example.org/?x=%22%3E&sid=SID",
    ),
];

async fn asked(server: &TestServer, medium: &str, who: u32, more: &Value) -> String {
    let path = if medium == "email" { EMAIL } else { MSISDN };
    sid(server, path, &with(wish(medium, who, "secret", 1), more)).await
}

#[track_caller]
fn leads_to(reply: &Reply, expected: Option<&str>) {
    let location = reply
        .headers
        .get("location")
        .map(|value| value.to_str().unwrap());
    assert_eq!(location, expected);
    let status = if expected.is_some() { 303 } else { 200 };
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "text/html; charset=utf-8");
}

/// Where the button leads; what the page before it allows its form.
async fn through_the_page(server: &TestServer, fields: &[(&str, &str)]) -> (String, Reply) {
    let shown = open(server, LINK, fields).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    assert!(!shown.headers.contains_key("location"), "a page first");
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    let directive = policy.split(';').map(str::trim);
    let form_action = directive
        .into_iter()
        .find(|one| one.starts_with("form-action"));
    (
        form_action.unwrap_or_default().to_owned(),
        press(server, fields).await,
    )
}

/// 3PID-32: the session is in the query or behind the fragment, what was there is kept.
#[tokio::test]
async fn _3pid_30_after_the_button_the_browser_goes_on_to_next_link() {
    let server = server_with(&[HOSTS]).await;
    for (who, (link, target)) in (1..).zip(LINKS) {
        let sid = asked(&server, "email", who, &json!({ "next_link": link })).await;
        let token = link_token(&server, &sid);
        let fields = [("sid", sid.as_str()), ("token", token.as_str())];
        let (form_action, pressed) = through_the_page(&server, &fields).await;
        // Browsers hold a form to its policy when it is redirected, too: scheme and host are named.
        let end = link[8..]
            .find(['/', '?', '#'])
            .map_or(link.len(), |end| end + 8);
        assert_eq!(form_action, format!("form-action 'self' {}", &link[..end]));
        leads_to(&pressed, Some(&target.replace("SID", &sid)));
        assert_eq!(state(&server, &sid), "validated");
        // Opened and confirmed once more, it leads to the same place.
        let (_, again) = through_the_page(&server, &fields).await;
        leads_to(&again, Some(&target.replace("SID", &sid)));
    }
}

/// 3PID-32, 3PID-45: where opening the link is enough, and with a code in the query.
#[tokio::test]
async fn _3pid_30_a_link_that_validates_at_once_leads_to_next_link() {
    let server = server_with(&[HOSTS, DIRECT]).await;
    for (medium, path) in [("email", LINK), ("msisdn", CODE)] {
        for (who, (link, target)) in (1..).zip(LINKS) {
            let sid = asked(&server, medium, who, &json!({ "next_link": link })).await;
            let token = token(&server, medium, &sid);
            for prefix in PREFIXES {
                let path = path.replace("/_matrix/client/v3", prefix);
                let fields = [
                    ("sid", sid.as_str()),
                    ("client_secret", "secret"),
                    ("token", token.as_str()),
                ];
                leads_to(
                    &open(&server, &path, &fields).await,
                    Some(&target.replace("SID", &sid)),
                );
                assert_eq!(state(&server, &sid), "validated");
            }
        }
    }
}

/// Incident 27, L3: to hosts that are not listed nobody is sent.
#[tokio::test]
async fn _3pid_31_nobody_is_sent_to_a_host_that_is_not_listed() {
    for (settings, who) in [(&[HOSTS][..], 1), (&[HOSTS, DIRECT], 2)] {
        let server = server_with(settings).await;
        for (link, who) in [
            "https://evil.example/",
            "https://app.example.org.evil.example/",
            "https://app.example.org@evil.example/",
            "https://app.example.org:8443/",
            "",
        ]
        .into_iter()
        .zip(who * 10..)
        {
            let sid = asked(&server, "email", who, &json!({ "next_link": link })).await;
            let token = link_token(&server, &sid);
            let fields = [("sid", sid.as_str()), ("token", token.as_str())];
            let opened = open(&server, LINK, &fields).await;
            leads_to(&opened, None);
            let policy = opened.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("form-action 'self';"), "{policy}");
            leads_to(&press(&server, &fields).await, None);
            assert_eq!(state(&server, &sid), "validated");

            let sid = asked(&server, "msisdn", who, &json!({ "next_link": link })).await;
            let token = token_of_text(&server, &sid);
            let fields = [
                ("sid", sid.as_str()),
                ("client_secret", "secret"),
                ("token", &token),
            ];
            leads_to(&open(&server, CODE, &fields).await, None);
        }
    }
}

fn token_of_text(server: &TestServer, sid: &str) -> String {
    token(server, "msisdn", sid)
}

/// Incident 27: the list is asked again when somebody is to be sent there.
#[tokio::test]
async fn _3pid_31_a_host_that_was_taken_off_the_list_is_not_gone_on_to() {
    let data = tempfile::tempdir().unwrap();
    let base = [
        crate::api::threepids::MAIL,
        crate::api::threepids::FLOWS,
        DIRECT,
    ];
    let link = json!({ "next_link": "https://app.example.org/" });
    let before = TestServer::in_directory(&[&base[..], &[HOSTS]].concat(), data.path()).await;
    let sid = asked(&before, "email", 1, &link).await;
    let token = link_token(&before, &sid);
    drop(before);
    let after = TestServer::in_directory(&base, data.path()).await;
    let fields = [("sid", sid.as_str()), ("token", token.as_str())];
    leads_to(&open(&after, LINK, &fields).await, None);
}

/// 3PID-30: where a browser would go is nothing to a client.
#[tokio::test]
async fn _3pid_30_a_client_that_posts_is_never_redirected() {
    let server = server_with(&[HOSTS, DIRECT]).await;
    for medium in ["email", "msisdn"] {
        let more = json!({ "next_link": "https://app.example.org/" });
        let sid = asked(&server, medium, 1, &more).await;
        let token = token(&server, medium, &sid);
        for _ in 0..2 {
            let reply = submit(&server, medium, &sid, "secret", &token).await;
            assert_eq!(reply.ok(), json!({ "success": true }));
            assert!(!reply.headers.contains_key("location"));
        }
    }
}

/// The later request's link counts, also when it has none.
#[tokio::test]
async fn _3pid_30_the_last_message_says_where_to_go() {
    let server = server_with(&[HOSTS, DIRECT]).await;
    let link = |path: &str| json!({ "next_link": format!("https://app.example.org/{path}") });
    let first = asked(&server, "email", 1, &link("a")).await;
    // The same attempt changes nothing.
    asked(&server, "email", 1, &link("b")).await;
    let later = with(wish("email", 1, "secret", 2), &link("c"));
    sid(&server, EMAIL, &later).await;
    let token = link_token(&server, &first);
    let fields = [("sid", first.as_str()), ("token", token.as_str())];
    let target = format!("https://app.example.org/c?sid={first}");
    leads_to(&open(&server, LINK, &fields).await, Some(&target));
}

/// 3PID-52: a scanner that opens, or looks at, what stands in a mail proves nothing.
#[tokio::test]
async fn _3pid_52_opening_the_link_proves_nothing_before_the_button_is_pressed() {
    let server = server_with(&[]).await;
    let sid = asked(&server, "email", 1, &json!({})).await;
    let token = link_token(&server, &sid);
    let fields = [("sid", sid.as_str()), ("token", token.as_str())];
    let before = server.dump();
    for prefix in PREFIXES {
        let link = LINK.replace("/_matrix/client/v3", prefix);
        let url = format!("{link}?{}", form(&fields));
        for _ in 0..3 {
            assert_eq!(server.get(&url).await.status, 200);
            server
                .send(request("HEAD", &url, &[], b""))
                .await
                .error(405, "M_UNRECOGNIZED");
        }
        // Nor does opening the address that the button posts to.
        let button = CONFIRM.replace("/_matrix/client/v3", prefix);
        for method in ["GET", "HEAD", "OPTIONS"] {
            let url = format!("{button}?{}", form(&fields));
            let reply = server.send(request(method, &url, &[], b"")).await;
            let status = if method == "OPTIONS" { 200 } else { 405 };
            assert_eq!(reply.status, status, "{method}");
        }
        // Or posting to it what stands in the query alone.
        let url = format!("{button}?{}", form(&fields));
        assert_eq!(
            server.send(request("POST", &url, &[], b"")).await.status,
            400
        );
    }
    assert_eq!(server.dump(), before);
    assert_eq!(press(&server, &fields).await.status, 200);
    assert_eq!(state(&server, &sid), "validated");
}

/// 3PID-52: where the operator has chosen links that validate, a `HEAD` still does not.
#[tokio::test]
async fn _3pid_52_in_direct_mode_a_get_validates_and_a_head_does_not() {
    let server = server_with(&[DIRECT]).await;
    let sid = asked(&server, "email", 1, &json!({})).await;
    let token = link_token(&server, &sid);
    let url = format!("{LINK}?{}", form(&[("sid", &sid), ("token", &token)]));
    server
        .send(request("HEAD", &url, &[], b""))
        .await
        .error(405, "M_UNRECOGNIZED");
    assert_eq!(state(&server, &sid), "pending");
    leads_to(&server.get(&url).await, None);
    assert_eq!(state(&server, &sid), "validated");
}
