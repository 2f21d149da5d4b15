//! `POST /register/email/requestToken`: rules for e-mail addresses.

use super::{
    request_token::answers,
    rows::{account_rows, queued, validation, validations},
    threepids::{
        EMAIL, LINK, link_token, mail_to, open_link, request_session, server_with, state, submit,
    },
};

/// 3PID-04, 3PID-40, 3PID-63
#[tokio::test]
async fn threepid_02_a_mail_request_returns_a_session_only() {
    answers::assert_mail_request("register", "register").await;
}

/// Incident 2, 3PID-13: other addresses are rejected before any policy is applied and before anything is stored.
#[tokio::test]
async fn incident_2_only_a_plain_mailbox_passes_before_any_policy() {
    // The first policy denies each of these addresses, and the second policy allows each.
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
            "me@evil.example\n.org",
            "me\t@evil.example",
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
        assert_eq!((queued(&server), validations(&server).len()), (0, 0));
    }
}

#[tokio::test]
async fn threepid_62_display_names_and_mailto_are_not_addresses() {
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
        "b @example.org",
        "b@ example.org",
    ] {
        let reply = server.post(EMAIL, &mail_to(address, "secret", 1)).await;
        match address {
            // An apostrophe is allowed in a local part.
            "'b@example.org" => drop(reply.ok()),
            _ => drop(reply.error(400, "M_INVALID_PARAM")),
        }
    }
    assert_eq!(validations(&server).len(), 1);
}

/// Incident 14: addresses that fold to the same form have one session, and e-mails go to the folded form.
#[tokio::test]
async fn threepid_61_spellings_that_fold_alike_are_one_address() {
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
        let before = (validations(&server).len(), queued(&server));
        let first = request_session(&server, EMAIL, &mail_to(canonical, "secret", 1)).await;
        for spelling in spellings {
            let same = request_session(&server, EMAIL, &mail_to(spelling, "secret", 1)).await;
            assert_eq!(same, first, "{spelling}");
        }
        assert_eq!(
            (validations(&server).len(), queued(&server)),
            (before.0 + 1, before.1 + 1)
        );
        assert_eq!(validation(&server, &first).address, canonical);
    }
}

/// Incident 14: the addresses are lookalikes that do not fold to an ASCII address.
#[tokio::test]
async fn incident_14_lookalikes_that_do_not_fold_are_refused() {
    let server = server_with(&[]).await;
    for address in [
        "al\u{131}ce@example.org",
        "\u{ff41}lice@example.org",
        "alice\u{ff20}example.org",
        "al\u{ed}ce@example.org",
        "ali\u{200b}ce@example.org",
        "alice\u{301}@example.org",
        // A dotted capital I folds to an i and a combining dot above.
        "al\u{130}ce@example.org",
    ] {
        let reply = server.post(EMAIL, &mail_to(address, "secret", 1)).await;
        reply.error(400, "M_INVALID_PARAM");
    }
    assert!(validations(&server).is_empty());
    // A domain with letters of another script is another domain.
    for (typed, address) in [
        ("alice@ex\u{430}mple.org", "alice@xn--exmple-4nf.org"),
        ("alice@b\u{fc}cher.example", "alice@xn--bcher-kva.example"),
        ("alice@xn--bcher-kva.example", "alice@xn--bcher-kva.example"),
    ] {
        let sid = request_session(&server, EMAIL, &mail_to(typed, "secret", 1)).await;
        assert_eq!(validation(&server, &sid).address, address);
    }
}

/// Incident 2: a local part may contain every character of a plain mailbox, and is kept unchanged.
#[tokio::test]
async fn incident_2_a_plain_mailbox_is_accepted_unchanged() {
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
        let sid = request_session(&server, EMAIL, &mail_to(address, "secret", 1)).await;
        assert_eq!(validation(&server, &sid).address, address);
    }
}

/// 3PID-50: neither a request nor a validation creates an account or adds an address.
#[tokio::test]
async fn threepid_50_a_validation_alone_adds_nothing() {
    let server = server_with(&[]).await;
    let before = account_rows(&server);
    let sid = request_session(&server, EMAIL, &mail_to("alice@example.org", "secret", 1)).await;
    let token = link_token(&server, &sid);
    assert_eq!(
        open_link(&server, LINK, &[("sid", &sid), ("token", &token)])
            .await
            .status,
        200
    );
    submit(&server, "email", &sid, "secret", &token).await.ok();
    assert_eq!(state(&server, &sid), "validated");
    assert_eq!(account_rows(&server), before);
    let free = server
        .get("/_matrix/client/v3/register/available?username=alice")
        .await;
    free.ok();
}
