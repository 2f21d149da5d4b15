//! `POST /register/email/requestToken`: what is about mail alone.

use serde_json::json;
use test_support::PREFIXES;

use super::{
    support::text,
    threepids::{
        EMAIL, LINK, link_token, mail_to, open, queued, row, rows, server_with, sid, state, submit,
    },
};

/// 3PID-04, 3PID-40: there is no code to type, so nowhere to submit one to.
#[tokio::test]
async fn _3pid_02_a_request_for_mail_is_answered_with_a_session_alone() {
    for prefix in PREFIXES {
        let server = server_with(&[]).await;
        let path = format!("{prefix}/register/email/requestToken");
        let answer = server
            .post(&path, &mail_to("alice@example.org", "secret", 1))
            .await
            .ok();
        let sid = text(&answer, "sid");
        assert_eq!(answer, json!({ "sid": sid }));
        assert_eq!(queued(&server), 1);
        // A phone's members do not make up for those that are missing.
        let phone = json!({ "client_secret": "s", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1 });
        server
            .post(&path, &phone)
            .await
            .error(400, "M_MISSING_PARAM");
    }
}

/// Incident 2, 3PID-13: before any rule runs, and before anything is stored.
#[tokio::test]
async fn incident_2_what_is_no_plain_mailbox_is_refused_before_any_rule() {
    // A rule that each of them would break, and one that each would pass.
    for policy in ["nobody@nowhere.example", ".*@.*"] {
        let server = server_with(&[("GATEHOUSE_EMAIL_ALLOWED", policy)]).await;
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long_domain = format!("a@{}example.org", "b.".repeat(130));
        let long_label = format!("a@{}.org", "b".repeat(64));
        for address in [
            "",
            " ",
            "a",
            "@",
            "a@",
            "@b.org",
            "a@b",
            "a@b@c",
            "a@b@c.org",
            "me@evil.example@elysee.example",
            "\"me@evil.example\"@elysee.example",
            "me@evil.example(@elysee.example",
            "me(a comment)@example.org",
            "me@example.org (me)",
            "me@evil.example,me@elysee.example",
            "me@evil.example;me@elysee.example",
            "me@evil.example me@elysee.example",
            "me%evil.example@elysee.example",
            "evil.example!me@elysee.example",
            "@evil.example:me@elysee.example",
            "me@[127.0.0.1]",
            "me@127.0.0.1",
            "me@evil.example\0@elysee.example",
            "me@evil.example\0",
            "me@evil.example\r\nbcc:you@elysee.example",
            "me@evil.example\n",
            "\tme@evil.example",
            "me@evil.example/elysee.example",
            "me@evil.example?bcc=you",
            "me@evil_one.example",
            "me@-evil.example",
            "me@evil-.example",
            "me@evil..example",
            "me@.evil.example",
            "me@evil.example.",
            ".me@evil.example",
            "me.@evil.example",
            "m..e@evil.example",
            "me\\@evil.example",
            &long_local,
            &long_domain,
            &long_label,
        ] {
            let reply = server.post(EMAIL, &mail_to(address, "secret", 1)).await;
            assert_eq!(reply.status, 400, "{address:?}");
            reply.error(400, "M_INVALID_PARAM");
        }
        assert_eq!((queued(&server), rows(&server).len()), (0, 0));
    }
}

#[tokio::test]
async fn _3pid_62_display_names_brackets_and_mailto_are_no_address() {
    let server = server_with(&[]).await;
    for address in [
        "Bob <b@example.org>",
        "<b@example.org>",
        "\"Bob\" <b@example.org>",
        "b@example.org>",
        "mailto:b@example.org",
        "MAILTO:b@example.org",
        "mailto:b@example.org?subject=x",
        "smtp:b@example.org",
        "'b@example.org",
        " b@example.org",
        "b@example.org ",
    ] {
        let reply = server.post(EMAIL, &mail_to(address, "secret", 1)).await;
        match address {
            // An apostrophe is a letter like others.
            "'b@example.org" => drop(reply.ok()),
            _ => drop(reply.error(400, "M_INVALID_PARAM")),
        }
    }
    assert_eq!(rows(&server).len(), 1);
}

/// Incident 14: what folds alike is one session about one address, and mail goes to the
/// folded one.
#[tokio::test]
async fn _3pid_61_spellings_that_fold_alike_are_one_address() {
    let server = server_with(&[]).await;
    for (canonical, spellings) in [
        (
            "strauss@example.com",
            [
                "strauss@example.com",
                "Strau\u{df}@Example.com",
                "STRAUSS@EXAMPLE.COM",
                "strau\u{1e9e}@example.COM",
            ],
        ),
        (
            "kelvin@backup.example",
            [
                "kelvin@backup.example",
                "\u{212a}elvin@backup.example",
                "Kelvin@Backup.example",
                "KELVIN@BACKUP.EXAMPLE",
            ],
        ),
        (
            "sfin@example.org",
            [
                "sfin@example.org",
                "\u{17f}fin@example.org",
                "s\u{fb01}n@example.org",
                "SFIN@example.org",
            ],
        ),
    ] {
        let before = (rows(&server).len(), queued(&server));
        let first = sid(&server, EMAIL, &mail_to(canonical, "secret", 1)).await;
        for spelling in spellings {
            let same = sid(&server, EMAIL, &mail_to(spelling, "secret", 1)).await;
            assert_eq!(same, first, "{spelling}");
        }
        assert_eq!(
            (rows(&server).len(), queued(&server)),
            (before.0 + 1, before.1 + 1)
        );
        assert_eq!(row(&server, &first)["address"]["S"], canonical);
    }
}

/// Incident 14: addresses that look alike and do not fold to an address that can be written to.
#[tokio::test]
async fn incident_14_what_looks_alike_and_does_not_fold_to_ascii_is_refused() {
    let server = server_with(&[]).await;
    for address in [
        "al\u{131}ce@example.org",
        "\u{ff41}lice@example.org",
        "alice@ex\u{430}mple.org",
        "alice\u{ff20}example.org",
        "alice@example\u{3002}org",
        "al\u{ed}ce@example.org",
        "ali\u{200b}ce@example.org",
        "alice\u{301}@example.org",
        // A dotted capital folds to an i and a dot above.
        "al\u{130}ce@example.org",
        "alice@b\u{fc}cher.example",
    ] {
        let reply = server.post(EMAIL, &mail_to(address, "secret", 1)).await;
        reply.error(400, "M_INVALID_PARAM");
    }
    assert!(rows(&server).is_empty());
    let ascii = sid(
        &server,
        EMAIL,
        &mail_to("alice@xn--bcher-kva.example", "secret", 1),
    )
    .await;
    assert_eq!(
        row(&server, &ascii)["address"]["S"],
        "alice@xn--bcher-kva.example"
    );
}

/// Incident 2: a local part may hold all that a plain mailbox may, and stays what it is.
#[tokio::test]
async fn incident_2_what_is_a_plain_mailbox_is_taken_as_it_is() {
    let server = server_with(&[]).await;
    let longest = format!("{}@{}.org", "a".repeat(64), "b".repeat(63));
    for address in [
        "a@b.c1",
        "a+tag@sub.example.org",
        "o'brien@example.org",
        "#$&'*+-/=^_`{|}~@example.org",
        "a.b.c@example.org",
        "1@2.org",
        &longest,
    ] {
        let sid = sid(&server, EMAIL, &mail_to(address, "secret", 1)).await;
        assert_eq!(row(&server, &sid)["address"]["S"], address);
    }
}

/// 3PID-50: neither asking nor validating gives anybody an account or an address.
#[tokio::test]
async fn _3pid_50_a_validation_alone_attaches_nothing() {
    let server = server_with(&[]).await;
    let before = server.local.dynamodb().table("Accounts").unwrap();
    let sid = sid(&server, EMAIL, &mail_to("alice@example.org", "secret", 1)).await;
    let token = link_token(&server, &sid);
    assert_eq!(
        open(&server, LINK, &[("sid", &sid), ("token", &token)])
            .await
            .status,
        200
    );
    submit(&server, "email", &sid, "secret", &token).await.ok();
    assert_eq!(state(&server, &sid), "validated");
    assert_eq!(server.local.dynamodb().table("Accounts").unwrap(), before);
    let free = server
        .get("/_matrix/client/v3/register/available?username=alice")
        .await;
    free.ok();
}
