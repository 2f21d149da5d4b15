//! Members of a request that are missing, invalid, too long or of another type.

use serde_json::{Value, json};
use test_support::PREFIXES;

use crate::api::{
    rows::{queued, validations},
    support::{request, with},
    threepids::{EMAIL, MSISDN, REQUESTS, message_request, server_with},
};

/// Whether a text follows the grammar of `client_secret` and `sid` (3PID-01, 3PID-04).
fn is_opaque_id(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || ".=_-".contains(c);
    (1..=255).contains(&text.len()) && text.chars().all(legal)
}

#[tokio::test]
async fn threepid_01_a_client_secret_is_1_to_255_legal_characters() {
    let server = server_with(&[]).await;
    let too_long = "a".repeat(256);
    let far_too_long = "a".repeat(60_000);
    for (medium, path) in REQUESTS {
        for secret in [
            "",
            " ",
            "a b",
            "a ",
            "é",
            "a/b",
            "a+b",
            "a\0",
            "a\n",
            "<a>",
            "\u{661}",
            "a%20",
            &too_long,
            &far_too_long,
        ] {
            let reply = server
                .post(path, &message_request(medium, 1, secret, 1))
                .await;
            let body = reply.error(400, "M_INVALID_PARAM");
            assert!(
                body["error"].as_str().is_some_and(|text| text.len() < 200),
                "the response repeats the secret: {body}"
            );
        }
    }
    assert_eq!((queued(&server), validations(&server).len()), (0, 0));
    let longest = "a".repeat(255);
    for (index, secret) in ["0", "Az09.=_-", "...", "=", &longest]
        .into_iter()
        .enumerate()
    {
        for (medium, path) in REQUESTS {
            server
                .post(path, &message_request(medium, 1, secret, 1))
                .await
                .ok();
        }
        assert_eq!(queued(&server), REQUESTS.len() * (index + 1));
    }
}

/// 3PID-14: no access token is required, and an invalid token is ignored.
#[tokio::test]
async fn threepid_04_the_answer_has_an_opaque_session() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let body = message_request(medium, 1, "secret", 1);
        let answer = server.post(path, &body).await.ok();
        let sid = answer["sid"].as_str().unwrap();
        assert!(is_opaque_id(sid), "{sid}");
        let headers = [("authorization", "Bearer junk")];
        let reply = server
            .send(request("POST", path, &headers, body.to_string().as_bytes()))
            .await;
        assert_eq!(reply.ok(), answer);
    }
}

/// 3PID-02, 3PID-03: a `null` member is missing.
#[tokio::test]
async fn http_15_each_required_member_must_be_present() {
    let server = server_with(&[]).await;
    for prefix in PREFIXES {
        for (medium, path) in REQUESTS {
            let path = path.replace("/_matrix/client/v3", prefix);
            let valid = message_request(medium, 1, "secret", 1);
            for name in valid.as_object().unwrap().keys() {
                let mut without = valid.clone();
                without.as_object_mut().unwrap().remove(name);
                let null = with(valid.clone(), &json!({ name.as_str(): null }));
                for body in [without, null] {
                    let error = server
                        .post(&path, &body)
                        .await
                        .error(400, "M_MISSING_PARAM");
                    let message = error["error"].as_str().unwrap();
                    assert!(message.contains(&format!("`{name}`")), "{body}: {message}");
                }
            }
            server
                .post(&path, &json!({}))
                .await
                .error(400, "M_MISSING_PARAM");
            server.post_text(&path, "[]").await.error(400, "M_BAD_JSON");
            server.post_text(&path, "{").await.error(400, "M_NOT_JSON");
        }
    }
    assert_eq!((queued(&server), validations(&server).len()), (0, 0));
}

#[tokio::test]
async fn http_16_members_of_another_type_are_refused() {
    let server = server_with(&[]).await;
    let non_strings = [
        json!(5),
        json!(true),
        json!(["a"]),
        json!({ "a": "b" }),
        json!(1.5),
    ];
    let non_integers = [
        json!("1"),
        json!(true),
        json!([1]),
        json!({}),
        json!(1.5),
        json!(1.0),
        json!(1e30),
        json!(9_223_372_036_854_775_808_u64),
    ];
    for (medium, path) in REQUESTS {
        let valid = with(
            message_request(medium, 1, "secret", 1),
            &json!({ "next_link": "https://a.example/", "id_server": "a.example", "id_access_token": "a" }),
        );
        for name in valid.as_object().unwrap().keys() {
            let wrong: &[Value] = match name.as_str() {
                "send_attempt" => &non_integers,
                _ => &non_strings,
            };
            for value in wrong {
                let body = with(valid.clone(), &json!({ name.as_str(): value }));
                let reply = server.post(path, &body).await;
                assert_eq!(reply.json()["errcode"], "M_BAD_JSON", "{body}");
                reply.error(400, "M_BAD_JSON");
            }
        }
    }
    assert_eq!((queued(&server), validations(&server).len()), (0, 0));
}

/// HTTP-16: the test sends the limits of the range.
#[tokio::test]
async fn threepid_20_an_attempt_is_a_non_negative_integer() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        for attempt in [-1, i64::MIN] {
            let reply = server
                .post(path, &message_request(medium, 1, "secret", attempt))
                .await;
            reply.error(400, "M_INVALID_PARAM");
        }
        let before = queued(&server);
        for (attempt, sent) in [(0, 1), (i64::MAX, 2), (i64::MAX, 2), (1, 2)] {
            let body = message_request(medium, 1, "secret", attempt);
            server.post(path, &body).await.ok();
            assert_eq!(queued(&server) - before, sent, "{attempt}");
        }
    }
}

/// Incident 8: overlong members are rejected, and the row with the longest valid members is small.
#[tokio::test]
async fn incident_8_no_member_of_a_request_is_stored_at_any_length() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let valid = with(
            message_request(medium, 1, "secret", 1),
            &json!({ "next_link": "https://app.example.org/" }),
        );
        for (name, value) in valid.as_object().unwrap() {
            let Some(text) = value.as_str() else { continue };
            for (length, status, errcode) in [
                (2_100, 400, "M_INVALID_PARAM"),
                (60_000, 400, "M_INVALID_PARAM"),
                (1024 * 1024, 413, "M_TOO_LARGE"),
            ] {
                let long = format!("{text}{}", "a".repeat(length));
                let body = with(valid.clone(), &json!({ name.as_str(): long }));
                server.post(path, &body).await.error(status, errcode);
            }
        }
    }
    assert_eq!((queued(&server), validations(&server).len()), (0, 0));
    let local = "l".repeat(64);
    let domain = format!(
        "{}.{}.{}.org",
        "d".repeat(63),
        "e".repeat(63),
        "f".repeat(57)
    );
    let host = "https://localhost:8080/";
    let largest = json!({
        "client_secret": "s".repeat(255),
        "email": format!("{local}@{domain}"),
        "send_attempt": i64::MAX,
        "next_link": format!("{host}{}", "n".repeat(2048 - host.len())),
        "id_server": "i".repeat(20_000),
        "id_access_token": "t".repeat(20_000),
    });
    let server = server_with(&[("GATEHOUSE_NEXT_LINK_HOSTS", "localhost:8080")]).await;
    for (_, path) in REQUESTS
        .into_iter()
        .filter(|(medium, _)| *medium == "email")
    {
        server.post(path, &largest).await.ok();
    }
    let rows = validations(&server);
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert!(row.json.len() < 5_000, "{}", row.json.len());
    }
}

/// HTTP-17, 3PID-10: unknown members are ignored too.
#[tokio::test]
async fn threepid_10_an_identity_server_is_accepted_and_ignored() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let plain = message_request(medium, 1, "secret", 1);
        let answer = server.post(path, &plain).await.ok();
        for more in [
            json!({ "id_server": "matrix.org" }),
            json!({ "id_server": "does.not.resolve.invalid", "id_access_token": "x" }),
            json!({ "id_server": "169.254.169.254" }),
            json!({ "id_server": "" }),
            json!({ "id_access_token": "x" }),
            json!({ "zzz": [1, 2], "captcha": true, "": null }),
        ] {
            let body = with(plain.clone(), &more);
            assert_eq!(server.post(path, &body).await.ok(), answer, "{more}");
        }
    }
    assert_eq!(queued(&server), REQUESTS.len());
}

/// The message goes to the address without the white space, and to the ASCII form of an international domain. All
/// spellings of an address have one session.
#[tokio::test]
async fn spellings_of_an_address_are_one_address() {
    let server = server_with(&[]).await;
    for (path, name, spellings, expected) in [
        (
            EMAIL,
            "email",
            &[" x@example.com", "x@example.com ", "X@Example.com\u{a0}"][..],
            "x@example.com",
        ),
        (
            EMAIL,
            "email",
            &[
                "x@b\u{fc}cher.example",
                "x@BU\u{308}CHER.example",
                "x@xn--bcher-kva.example",
            ],
            "x@xn--bcher-kva.example",
        ),
        (
            MSISDN,
            "phone_number",
            &[
                "07400 123456",
                "+44\u{a0}7400\u{a0}123456",
                "\u{202a}+447400123456\u{202c}",
                "+44 7400\u{2013}123456",
                "\u{ff10}\u{ff17}\u{ff14}\u{ff10}\u{ff10}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}\u{ff16}",
                "tel:+447400123456",
            ],
            "+447400123456",
        ),
    ] {
        let mut sids = Vec::new();
        for (index, spelling) in spellings.iter().enumerate() {
            let country = if index % 2 == 0 { "GB" } else { "gb" };
            let body = json!({
                "client_secret": "spellings", "send_attempt": 1, name: spelling, "country": country,
            });
            let reply = server.post(path, &body).await;
            assert_eq!(reply.status, 200, "{spelling:?}: {}", reply.text());
            sids.push(reply.ok()["sid"].clone());
        }
        sids.dedup();
        assert_eq!(sids.len(), 1, "{expected}");
        server.deliver().await;
        let messages = server.messages();
        assert_eq!(
            messages.last().map(|message| message.to.as_str()),
            Some(expected)
        );
    }
}

/// Every mobile number of these countries begins with a zero.
#[tokio::test]
async fn mobile_numbers_that_begin_with_a_zero_get_messages() {
    let server = server_with(&[("GATEHOUSE_SMS_COUNTRIES", "BJ CI GB")]).await;
    for (index, (country, typed, to)) in [
        ("CI", "01 23 45 67 89", "+2250123456789"),
        ("ci", "+225 01 23 45 67 88", "+2250123456788"),
        ("GB", "+225 01 23 45 67 87", "+2250123456787"),
        ("BJ", "01 95 12 34 56", "+2290195123456"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({
            "client_secret": "zeros", "send_attempt": index, "phone_number": typed, "country": country,
        });
        let answer = server.post(MSISDN, &body).await.ok();
        assert_eq!(answer["msisdn"], to[1..]);
        server.deliver().await;
        let messages = server.messages();
        assert_eq!(messages.last().map(|message| message.to.as_str()), Some(to));
    }
}
