//! `POST /register/msisdn/requestToken`: rules for phone numbers.

use http::Uri;
use serde_json::{Value, json};
use test_support::{PREFIXES, TestServer};

use super::{
    request_token::answers,
    rows::{queued, validation, validations},
    support::{request, text},
    threepids::{FLOWS, MAIL, MSISDN, SMS, code, request_session, server_with, text_to},
};

fn from_country(country: &str, number: &str) -> Value {
    json!({ "client_secret": "secret", "country": country, "phone_number": number, "send_attempt": 1 })
}

/// 3PID-40: the user types the code, so the response has a `submit_url`. This URL uses https and the configured host,
/// even if the request names another host.
#[tokio::test]
async fn threepid_03_a_text_request_returns_number_and_submit_url() {
    let public = ("GATEHOUSE_PUBLIC_URL", "https://matrix.example.org");
    for prefix in PREFIXES {
        let server = server_with(&[public]).await;
        let path = format!("{prefix}/register/msisdn/requestToken");
        let body = text_to("07400 123456", "secret", 1).to_string();
        let headers = [
            ("host", "evil.example"),
            ("x-forwarded-host", "evil.example"),
        ];
        let sent = request("POST", &path, &headers, body.as_bytes());
        let answer = server.send(sent).await.ok();
        let sid = text(&answer, "sid");
        assert_eq!(
            answer,
            json!({
                "sid": sid,
                "submit_url": "https://matrix.example.org/_matrix/client/v3/validate/msisdn/submitToken",
                "msisdn": "447400123456",
                "intl_fmt": "+44 7400 123456",
            })
        );
        assert_eq!(queued(&server), 1);
        let mail = json!({ "client_secret": "s", "email": "a@example.org", "send_attempt": 1 });
        server
            .post(&path, &mail)
            .await
            .error(400, "M_MISSING_PARAM");
    }
}

/// 3PID-03, 3PID-65, 3PID-66
#[tokio::test]
async fn threepid_40_a_text_request_returns_its_submit_url() {
    answers::assert_text_request("register", "register").await;
}

/// 3PID-40: the server serves this URL.
#[tokio::test]
async fn threepid_40_the_submit_url_accepts_the_code() {
    let server = server_with(&[]).await;
    let answer = server
        .post(MSISDN, &text_to("07400 123456", "secret", 1))
        .await
        .ok();
    let url: Uri = text(&answer, "submit_url").parse().unwrap();
    let sid = text(&answer, "sid");
    let code = code(&server, sid, 1);
    let body = json!({ "sid": sid, "client_secret": "secret", "token": code });
    assert_eq!(
        server.post(url.path(), &body).await.ok(),
        json!({ "success": true })
    );
}

/// 3PID-63, 3PID-65: all forms of a number have one session. The stored number has only digits, without a plus sign.
#[tokio::test]
async fn threepid_66_a_number_is_read_as_dialled_from_its_country() {
    let server = server_with(&[]).await;
    for (canonical, readable, forms) in [
        (
            "447400123456",
            "+44 7400 123456",
            vec![
                ("GB", "07400 123456"),
                ("GB", "07400123456"),
                ("GB", "(07400) 123-456"),
                ("GB", "+44 7400 123456"),
                ("GB", "+44 (0) 7400 123456"),
                ("GB", "00 44 7400 123456"),
                ("US", "+447400123456"),
                ("US", "011 44 7400 123456"),
                // The country that the number is dialled from need not be enabled for text messages.
                ("FR", "0044 7400 123456"),
                ("DE", "+44.7400.123456"),
            ],
        ),
        (
            "15208782491",
            "+1 520-878-2491",
            vec![
                ("US", "(520) 878-2491"),
                ("US", "520 878 2491"),
                ("US", "1 520 878 2491"),
                ("GB", "+1 520 878 2491"),
                ("GB", "00 1 520 878 2491"),
            ],
        ),
    ] {
        let before = (validations(&server).len(), queued(&server));
        let mut answers = Vec::new();
        for (country, number) in forms {
            let answer = server.post(MSISDN, &from_country(country, number)).await;
            assert_eq!(answer.status, 200, "{country} {number}: {}", answer.text());
            answers.push(answer.ok());
        }
        assert!(
            answers.iter().all(|answer| answer == &answers[0]),
            "{answers:?}"
        );
        assert_eq!(answers[0]["msisdn"], canonical);
        assert_eq!(answers[0]["intl_fmt"], readable);
        assert_eq!(
            validation(&server, text(&answers[0], "sid")).address,
            canonical
        );
        assert_eq!(
            (validations(&server).len(), queued(&server)),
            (before.0 + 1, before.1 + 1)
        );
    }
}

#[tokio::test]
async fn threepid_65_fictional_numbers_pass_as_possible_numbers() {
    let forms = [
        ("GB", "07700 900001"),
        ("US", "+447700900001"),
        ("GB", "+44 7700 900001"),
    ];
    let strict = server_with(&[]).await;
    for (country, number) in forms {
        let reply = strict.post(MSISDN, &from_country(country, number)).await;
        reply.error(400, "M_INVALID_PARAM");
    }
    let lenient = server_with(&[("GATEHOUSE_SMS_NUMBERS", "possible")]).await;
    for (country, number) in forms {
        let sid = request_session(&lenient, MSISDN, &from_country(country, number)).await;
        assert_eq!(validation(&lenient, &sid).address, "447700900001");
    }
    assert_eq!(validations(&lenient).len(), 1);
}

#[tokio::test]
async fn threepid_67_a_country_is_two_letters_that_name_one() {
    let server = server_with(&[]).await;
    for country in [
        "",
        "ZZ",
        "XX",
        "GBR",
        "G",
        "44",
        "+44",
        "G B",
        "GB\0",
        "001",
        "UK\n",
        "\u{1f1ec}\u{1f1e7}",
        "\u{ff27}\u{ff22}",
    ] {
        for number in ["07400 123456", "+44 7400 123456"] {
            let reply = server.post(MSISDN, &from_country(country, number)).await;
            assert_eq!(reply.status, 400, "{country:?} {number}");
            reply.error(400, "M_INVALID_PARAM");
        }
    }
    assert!(validations(&server).is_empty());
}

#[tokio::test]
async fn threepid_13_an_invalid_number_is_refused() {
    let server = server_with(&[]).await;
    let too_long = "0".repeat(5_000);
    for number in [
        "",
        "+",
        "abc",
        "07400 abcdef",
        "tel:+447400123456;ext=1",
        "sip:+447400123456@example.org",
        "07400 123456;ext=1",
        "07400 123456 ext. 5",
        "07400 123456, 07400 654321",
        "07400 123456/07400 654321",
        "1-800-FLOWERS",
        "++447400123456",
        "+44+7400123456",
        "07400\u{0}123456",
        "07400\n123456",
        "0740012345",
        "074001234567890",
        "+999 7400 123456",
        "112",
        "999",
        &too_long,
    ] {
        let reply = server.post(MSISDN, &from_country("GB", number)).await;
        assert_eq!(reply.status, 400, "{number:?}: {}", reply.text());
        reply.error(400, "M_INVALID_PARAM");
    }
    assert!(validations(&server).is_empty());
}

/// Incident 28: text messages are sent only to countries that the operator lists, and never to a
/// premium-rate number.
#[tokio::test]
async fn threepid_08_no_texts_to_unlisted_countries_or_premium() {
    let server = server_with(&[]).await;
    for (country, number) in [
        ("NL", "06 12345678"),
        ("GB", "+31612345678"),
        ("US", "011 31 612345678"),
        // Guernsey shares a calling code with Great Britain, and Canada and Jamaica with the United
        // States.
        ("GB", "+44 7781 123456"),
        ("US", "+1 613 782 7274"),
        ("US", "+1 876 210 1234"),
        ("US", "+1 900 555 0123"),
        ("GB", "0909 879 0000"),
        ("GB", "0800 123 4567"),
        ("US", "+1 800 234 5678"),
    ] {
        let reply = server.post(MSISDN, &from_country(country, number)).await;
        assert_eq!(reply.status, 403, "{country} {number}: {}", reply.text());
        reply.error(403, "M_THREEPID_DENIED");
    }
    assert_eq!((queued(&server), validations(&server).len()), (0, 0));
    let wider = TestServer::with(&[MAIL, FLOWS, (SMS.0, "NL")]).await;
    wider
        .post(MSISDN, &from_country("NL", "06 12345678"))
        .await
        .ok();
    let reply = wider
        .post(MSISDN, &from_country("GB", "07400 123456"))
        .await;
    reply.error(403, "M_THREEPID_DENIED");
}
