//! The content of the pages, and their security headers.
#![expect(clippy::unwrap_used, reason = "a header that is no text ends the test")]

use test_support::{PREFIXES, Reply};

use crate::api::{
    support::request,
    threepids::{
        CODE, CONFIRM, DIRECT, EMAIL, HOSTS, LINK, MSISDN, code, form, link_token, message_request,
        open_link, other_code, request_session, server_with, state, submit_form,
    },
};

const HOSTILE: [&str; 6] = [
    "\"><svg onload=alert(1)>",
    "<script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "{{7*7}}\0\r\n",
    "javascript:alert(1)//",
    "</form><form action=https://evil.example>",
];

/// Asserts the status, headers and structure that every page must have (incident 6, HTTP-28), and returns its text.
#[track_caller]
fn assert_page(reply: &Reply, status: u16) -> String {
    let text = reply.text();
    assert_eq!(reply.status, status, "{text}");
    let header = |name: &str| reply.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "strict-origin");
    assert_eq!(header("x-content-type-options"), "nosniff");
    let policy = header("content-security-policy");
    let directives: Vec<_> = policy.split(';').map(str::trim).collect();
    for directive in [
        "default-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(directives.contains(&directive), "{policy}");
    }
    assert!(
        !policy.contains("script-src") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(text.starts_with("<!doctype html>"), "{text}");
    assert!(!text.contains("<script"), "{text}");
    text
}

/// The value of a hidden field of the form.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let start = format!("name=\"{name}\" value=\"");
    let (_, rest) = text
        .split_once(&start)
        .unwrap_or_else(|| panic!("no {name}: {text}"));
    rest.split('"').next().unwrap_or_default()
}

/// 3PID-52: the page names server and operation, and has a button to refuse.
#[tokio::test]
async fn threepid_45_the_page_names_server_and_operation() {
    let server = server_with(&[("GATEHOUSE_SERVER_NAME", "chat.example.org")]).await;
    let sid = request_session(&server, EMAIL, &message_request("email", 1, "secret", 1)).await;
    let token = link_token(&server, &sid);
    for prefix in PREFIXES {
        let path = LINK.replace("/_matrix/client/v3", prefix);
        let text = assert_page(
            &open_link(&server, &path, &[("sid", &sid), ("token", &token)]).await,
            200,
        );
        assert!(
            text.contains("chat.example.org") && text.contains("creating an account"),
            "{text}"
        );
        assert!(text.contains("It was not me"), "{text}");
        assert!(
            text.contains("<form method=\"post\" action=\"confirm\">"),
            "{text}"
        );
        assert_eq!(
            (field(&text, "sid"), field(&text, "token")),
            (sid.as_str(), token.as_str())
        );
        // The page contains neither the e-mail address nor the client secret.
        assert!(
            !text.contains("user1") && !text.contains("secret"),
            "{text}"
        );
    }
    assert_eq!(state(&server, &sid), "pending");
}

/// HTTP-28: all failures get the same page.
#[tokio::test]
async fn threepid_45_all_failing_links_get_the_same_page() {
    for settings in [&[][..], &[DIRECT]] {
        let server = server_with(settings).await;
        let mail = request_session(&server, EMAIL, &message_request("email", 1, "secret", 1)).await;
        let phone =
            request_session(&server, MSISDN, &message_request("msisdn", 1, "secret", 1)).await;
        let (right, wrong) = (
            link_token(&server, &mail),
            other_code(&[code(&server, &phone, 1)]),
        );
        let (longest, far_too_long) = ("x".repeat(256), "x".repeat(4_000));
        let mut pages = Vec::new();
        for (path, fields) in [
            (LINK, vec![]),
            (LINK, vec![("sid", mail.as_str())]),
            (LINK, vec![("sid", ""), ("token", &right)]),
            (LINK, vec![("sid", &mail), ("token", "")]),
            (LINK, vec![("sid", "unknown"), ("token", &right)]),
            (LINK, vec![("sid", &mail), ("token", "wrong")]),
            (LINK, vec![("sid", &mail), ("token", &longest)]),
            (LINK, vec![("sid", &far_too_long), ("token", &right)]),
            (LINK, vec![("sid", &phone), ("token", &right)]),
            (
                LINK,
                vec![
                    ("sid", &mail),
                    ("token", &right),
                    ("client_secret", "wrong"),
                ],
            ),
            (
                LINK,
                vec![("sid", &mail), ("token", &right), ("client_secret", "a b")],
            ),
            (
                CODE,
                vec![
                    ("sid", &phone),
                    ("client_secret", "secret"),
                    ("token", &wrong),
                ],
            ),
            (
                CODE,
                vec![
                    ("sid", &phone),
                    ("client_secret", "wrong"),
                    ("token", &wrong),
                ],
            ),
            (CODE, vec![("sid", &phone), ("token", &wrong)]),
            (
                CODE,
                vec![
                    ("sid", &mail),
                    ("client_secret", "secret"),
                    ("token", &right),
                ],
            ),
        ] {
            pages.push(assert_page(&open_link(&server, path, &fields).await, 400));
            if path == LINK {
                pages.push(assert_page(&submit_form(&server, &fields).await, 400));
            }
        }
        assert!(pages.iter().all(|page| page == &pages[0]));
        assert_eq!(
            (state(&server, &mail), state(&server, &phone)),
            ("pending".into(), "pending".into())
        );
    }
}

/// 3PID-45: a browser sends the code in the query.
#[tokio::test]
async fn threepid_45_a_right_code_in_a_query_validates() {
    let server = server_with(&[]).await;
    let sid = request_session(&server, MSISDN, &message_request("msisdn", 1, "secret", 1)).await;
    let code = code(&server, &sid, 1);
    let fields = [
        ("sid", sid.as_str()),
        ("client_secret", "secret"),
        ("token", &code),
    ];
    let text = assert_page(&open_link(&server, CODE, &fields).await, 200);
    assert!(text.contains("Thank you"), "{text}");
    assert_eq!(state(&server, &sid), "validated");
}

/// Incidents 5 and 7: the test covers every field of every query and form, on every route with
/// pages.
#[tokio::test]
async fn incident_5_hostile_values_are_not_echoed() {
    for settings in [&[HOSTS][..], &[HOSTS, DIRECT]] {
        let server = server_with(settings).await;
        let sid = request_session(&server, EMAIL, &message_request("email", 1, "secret", 1)).await;
        let token = link_token(&server, &sid);
        for hostile in HOSTILE {
            for fields in [
                vec![
                    ("sid", hostile),
                    ("token", hostile),
                    ("client_secret", hostile),
                ],
                vec![("sid", &sid), ("token", hostile)],
                vec![("sid", hostile), ("token", &token)],
                vec![("sid", &sid), ("token", &token), ("client_secret", hostile)],
                vec![
                    ("sid", &sid),
                    ("token", &token),
                    ("next_link", hostile),
                    (hostile, "x"),
                ],
                vec![("sid", &sid), ("token", &token), ("action", hostile)],
            ] {
                for reply in [
                    open_link(&server, LINK, &fields).await,
                    open_link(&server, CODE, &fields).await,
                    submit_form(&server, &fields).await,
                ] {
                    let text = assert_page(&reply, reply.status.as_u16());
                    for part in ["<svg", "alert(1)", "{{7*7}}", "evil.example"] {
                        assert!(!text.contains(part), "{hostile}: {text}");
                    }
                    assert!(!reply.headers.contains_key("location"));
                }
            }
        }
    }
}

/// Incident 6: the test covers all pages, including those that report a failure.
#[tokio::test]
async fn incident_6_neither_page_nor_refusal_can_be_framed() {
    let server = server_with(&[]).await;
    let sid = request_session(&server, EMAIL, &message_request("email", 1, "secret", 1)).await;
    let token = link_token(&server, &sid);
    let fields = [("sid", sid.as_str()), ("token", token.as_str())];
    assert_page(&open_link(&server, LINK, &fields).await, 200);
    assert_page(&submit_form(&server, &[]).await, 400);
    assert_page(&submit_form(&server, &fields).await, 200);
    assert_page(
        &submit_form(&server, &[fields[0], fields[1], ("action", "refuse")]).await,
        200,
    );
    assert_page(&submit_form(&server, &fields).await, 400);
}

/// HTTP-18, HTTP-28, incident 8: the test sends forms of any size and with any bytes.
#[tokio::test]
async fn incident_8_a_form_too_large_is_a_page_and_does_nothing() {
    let server = server_with(&[]).await;
    let sid = request_session(&server, EMAIL, &message_request("email", 1, "secret", 1)).await;
    let token = link_token(&server, &sid);
    let valid = form(&[("sid", &sid), ("token", &token)]);
    let before = server.dump();
    for padding in [64 * 1024, 1024 * 1024] {
        let body = format!("{valid}&zzz={}", "a".repeat(padding));
        let reply = server
            .send(request("POST", CONFIRM, &[], body.as_bytes()))
            .await;
        assert_page(&reply, 413);
    }
    for body in [
        &b""[..],
        b"{}",
        b"\xff\xfe&&==%",
        b"sid",
        br#"{"sid":"a","token":"b"}"#,
    ] {
        let reply = server.send(request("POST", CONFIRM, &[], body)).await;
        assert_page(&reply, 400);
    }
    assert_eq!(server.dump(), before);
}
