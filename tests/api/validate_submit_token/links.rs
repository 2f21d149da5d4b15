//! Links that are opened: the effect of a `GET` on the session, and the target of the redirect.
#![expect(clippy::unwrap_used, reason = "a header that is no text ends the test")]

use serde_json::{Value, json};
use test_support::{PREFIXES, Reply, TestServer};

use crate::api::{
    support::{request, with},
    threepids::{
        CODE, CONFIRM, DIRECT, EMAIL, FLOWS, HOSTS, LINK, MAIL, MSISDN, form, link_token,
        message_request, open_link, request_session, server_with, state, submit, submit_form,
        token,
    },
};

/// Values of `next_link`, and the target of the redirect with the session ID added.
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

async fn begin_session(server: &TestServer, medium: &str, user: u32, more: &Value) -> String {
    let path = if medium == "email" { EMAIL } else { MSISDN };
    request_session(
        server,
        path,
        &with(message_request(medium, user, "secret", 1), more),
    )
    .await
}

#[track_caller]
fn assert_redirect(reply: &Reply, expected: Option<&str>) {
    let location = reply
        .headers
        .get("location")
        .map(|value| value.to_str().unwrap());
    assert_eq!(location, expected);
    let status = if expected.is_some() { 303 } else { 200 };
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "text/html; charset=utf-8");
}

/// Opens the page and presses its button. Returns the `form-action` of the page, and the response to the button.
async fn confirm_on_page(server: &TestServer, fields: &[(&str, &str)]) -> (String, Reply) {
    let shown = open_link(server, LINK, fields).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    assert!(
        !shown.headers.contains_key("location"),
        "opening the link redirects before the button"
    );
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    let directive = policy.split(';').map(str::trim);
    let form_action = directive
        .into_iter()
        .find(|one| one.starts_with("form-action"));
    (
        form_action.unwrap_or_default().to_owned(),
        submit_form(server, fields).await,
    )
}

/// 3PID-32: the session ID is added to the query or after the fragment, and the rest of the link is
/// kept.
#[tokio::test]
async fn threepid_30_the_confirm_button_redirects_to_next_link() {
    let server = server_with(&[HOSTS]).await;
    for (user, (link, target)) in (1..).zip(LINKS) {
        let sid = begin_session(&server, "email", user, &json!({ "next_link": link })).await;
        let token = link_token(&server, &sid);
        let fields = [("sid", sid.as_str()), ("token", token.as_str())];
        let (form_action, pressed) = confirm_on_page(&server, &fields).await;
        // Browsers apply `form-action` to the redirect too, so the policy names scheme and host of
        // the target.
        let end = link[8..]
            .find(['/', '?', '#'])
            .map_or(link.len(), |end| end + 8);
        assert_eq!(form_action, format!("form-action 'self' {}", &link[..end]));
        assert_redirect(&pressed, Some(&target.replace("SID", &sid)));
        assert_eq!(state(&server, &sid), "validated");
        // A link that is opened and confirmed again redirects to the same target.
        let (_, again) = confirm_on_page(&server, &fields).await;
        assert_redirect(&again, Some(&target.replace("SID", &sid)));
    }
}

/// 3PID-32, 3PID-45: a link in `direct` mode and a code in the query redirect.
#[tokio::test]
async fn threepid_30_a_direct_link_redirects_to_next_link() {
    let server = server_with(&[HOSTS, DIRECT]).await;
    for (medium, path) in [("email", LINK), ("msisdn", CODE)] {
        for (user, (link, target)) in (1..).zip(LINKS) {
            let sid = begin_session(&server, medium, user, &json!({ "next_link": link })).await;
            let token = token(&server, medium, &sid);
            for prefix in PREFIXES {
                let path = path.replace("/_matrix/client/v3", prefix);
                let fields = [
                    ("sid", sid.as_str()),
                    ("client_secret", "secret"),
                    ("token", token.as_str()),
                ];
                assert_redirect(
                    &open_link(&server, &path, &fields).await,
                    Some(&target.replace("SID", &sid)),
                );
                assert_eq!(state(&server, &sid), "validated");
            }
        }
    }
}

/// Incident 27, L3: no redirect goes to an unlisted host.
#[tokio::test]
async fn threepid_31_there_is_no_redirect_to_an_unlisted_host() {
    for (settings, user) in [(&[HOSTS][..], 1), (&[HOSTS, DIRECT], 2)] {
        let server = server_with(settings).await;
        for (link, user) in [
            "https://evil.example/",
            "https://app.example.org.evil.example/",
            "https://app.example.org@evil.example/",
            "https://app.example.org:8443/",
            "",
        ]
        .into_iter()
        .zip(user * 10..)
        {
            let sid = begin_session(&server, "email", user, &json!({ "next_link": link })).await;
            let token = link_token(&server, &sid);
            let fields = [("sid", sid.as_str()), ("token", token.as_str())];
            let opened = open_link(&server, LINK, &fields).await;
            assert_redirect(&opened, None);
            let policy = opened.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("form-action 'self';"), "{policy}");
            assert_redirect(&submit_form(&server, &fields).await, None);
            assert_eq!(state(&server, &sid), "validated");

            let sid = begin_session(&server, "msisdn", user, &json!({ "next_link": link })).await;
            let token = code_of(&server, &sid);
            let fields = [
                ("sid", sid.as_str()),
                ("client_secret", "secret"),
                ("token", &token),
            ];
            assert_redirect(&open_link(&server, CODE, &fields).await, None);
        }
    }
}

fn code_of(server: &TestServer, sid: &str) -> String {
    token(server, "msisdn", sid)
}

/// Incident 27: the list is checked again at the time of the redirect.
#[tokio::test]
async fn threepid_31_a_host_removed_from_the_list_is_no_target() {
    let data = tempfile::tempdir().unwrap();
    let base = [MAIL, FLOWS, DIRECT];
    let link = json!({ "next_link": "https://app.example.org/" });
    let before = TestServer::in_directory(&[&base[..], &[HOSTS]].concat(), data.path()).await;
    let sid = begin_session(&before, "email", 1, &link).await;
    let token = link_token(&before, &sid);
    drop(before);
    let after = TestServer::in_directory(&base, data.path()).await;
    let fields = [("sid", sid.as_str()), ("token", token.as_str())];
    assert_redirect(&open_link(&after, LINK, &fields).await, None);
}

/// 3PID-30: only browsers are redirected.
#[tokio::test]
async fn threepid_30_a_client_that_posts_is_never_redirected() {
    let server = server_with(&[HOSTS, DIRECT]).await;
    for medium in ["email", "msisdn"] {
        let more = json!({ "next_link": "https://app.example.org/" });
        let sid = begin_session(&server, medium, 1, &more).await;
        let token = token(&server, medium, &sid);
        for _ in 0..2 {
            let reply = submit(&server, medium, &sid, "secret", &token).await;
            assert_eq!(reply.ok(), json!({ "success": true }));
            assert!(!reply.headers.contains_key("location"));
        }
    }
}

/// The link of the last request that sent a message applies. If this request has no link, there is no redirect.
#[tokio::test]
async fn threepid_30_the_last_message_determines_the_redirect() {
    let server = server_with(&[HOSTS, DIRECT]).await;
    let link = |path: &str| json!({ "next_link": format!("https://app.example.org/{path}") });
    let first = begin_session(&server, "email", 1, &link("a")).await;
    // A repeated attempt changes nothing.
    begin_session(&server, "email", 1, &link("b")).await;
    let later = with(message_request("email", 1, "secret", 2), &link("c"));
    request_session(&server, EMAIL, &later).await;
    let token = link_token(&server, &first);
    let fields = [("sid", first.as_str()), ("token", token.as_str())];
    let target = format!("https://app.example.org/c?sid={first}");
    assert_redirect(&open_link(&server, LINK, &fields).await, Some(&target));
}

/// 3PID-52: an e-mail scanner that requests the link validates nothing.
#[tokio::test]
async fn threepid_52_opening_the_link_validates_nothing() {
    let server = server_with(&[]).await;
    let sid = begin_session(&server, "email", 1, &json!({})).await;
    let token = link_token(&server, &sid);
    let fields = [("sid", sid.as_str()), ("token", token.as_str())];
    let before = server.dump();
    for prefix in PREFIXES {
        let link = LINK.replace("/_matrix/client/v3", prefix);
        let url = format!("{link}?{}", form(&fields));
        for _ in 0..3 {
            assert_eq!(server.get(&url).await.status, 200);
            let head = server.send(request("HEAD", &url, &[], b"")).await;
            assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        }
        // A request for the form's target validates nothing either.
        let button = CONFIRM.replace("/_matrix/client/v3", prefix);
        for method in ["GET", "HEAD", "OPTIONS"] {
            let url = format!("{button}?{}", form(&fields));
            let reply = server.send(request(method, &url, &[], b"")).await;
            let status = if method == "OPTIONS" { 200 } else { 405 };
            assert_eq!(reply.status, status, "{method}");
        }
        // A `POST` with the fields in the query validates nothing either.
        let url = format!("{button}?{}", form(&fields));
        assert_eq!(
            server.send(request("POST", &url, &[], b"")).await.status,
            400
        );
    }
    assert_eq!(server.dump(), before);
    assert_eq!(submit_form(&server, &fields).await.status, 200);
    assert_eq!(state(&server, &sid), "validated");
}

/// 3PID-52: in `direct` mode, a `GET` validates the session, and a `HEAD` does not.
#[tokio::test]
async fn threepid_52_in_direct_mode_only_a_get_validates() {
    let server = server_with(&[DIRECT]).await;
    let sid = begin_session(&server, "email", 1, &json!({})).await;
    let token = link_token(&server, &sid);
    let url = format!("{LINK}?{}", form(&[("sid", &sid), ("token", &token)]));
    let head = server.send(request("HEAD", &url, &[], b"")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(state(&server, &sid), "pending");
    assert_redirect(&server.get(&url).await, None);
    assert_eq!(state(&server, &sid), "validated");
}
