//! The limits of user codes (OA-120).

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use test_support::PASSWORD;

use super::message;
use crate::flows::support::{
    device_grant::{Device, GrantServer, LINK},
    oauth_pages::{Browser, Page},
};

const LIMITS: (&str, &str) = ("GATEHOUSE_LIMITS", "on");

/// A well-formed code that no device has, or has only by chance.
fn guess(number: usize) -> String {
    let letters = b"BCDFGHJKLM";
    let digits = format!("{number:04}");
    let tail: String = digits
        .bytes()
        .map(|digit| char::from(letters[usize::from(digit - b'0')]))
        .collect();
    format!("ZZZZ-{tail}")
}

/// A browser with a session.
async fn logged_in<'a>(grant: &'a GrantServer, user: &str, peer: [u8; 4]) -> Browser<'a> {
    let mut browser = Browser::new(&grant.server);
    browser.peer = peer.into();
    let login = browser.get(LINK).await.form("/login");
    let values = [("user", user), ("password", PASSWORD)];
    browser.submit(&login, &values).await.expect(200);
    browser
}

async fn enter(browser: &mut Browser<'_>, code: &str) -> Page {
    let form = browser.get(LINK).await.form(LINK);
    browser.submit(&form, &[("user_code", code)]).await
}

/// Enters wrong codes until the limit. Returns their number.
async fn wrong_codes(browser: &mut Browser<'_>) -> usize {
    let mut number = 0;
    loop {
        let page = enter(browser, &guess(number)).await;
        if page.reply.status == 429 {
            assert!(page.reply.headers.contains_key("retry-after"));
            page.form(LINK);
            return number;
        }
        let page = page.expect(400);
        assert!(message(&page).contains("wrong or has expired"));
        assert_eq!(page.form(LINK).value("user_code"), guess(number));
        number += 1;
    }
}

#[tokio::test]
async fn oa_120_an_account_has_ten_wrong_codes() {
    let grant = GrantServer::with(&[LIMITS]).await;
    let device = grant.device().await;
    let mut browser = logged_in(&grant, "alice", [198, 51, 100, 1]).await;
    assert_eq!(wrong_codes(&mut browser).await, 10);
    // Neither another network nor another browser helps, nor does the right code.
    for last in 2..5 {
        let mut other = logged_in(&grant, "alice", [198, 51, 100, last]).await;
        assert_eq!(wrong_codes(&mut other).await, 0);
        enter(&mut other, &device.user_code).await.expect(429);
    }
    grant.server.advance(Duration::from_mins(1));
    enter(&mut browser, &device.user_code).await.expect(200);
    grant.server.advance(Duration::from_mins(3));
    assert_eq!(wrong_codes(&mut browser).await, 4);
}

#[tokio::test]
async fn oa_120_a_network_has_ten_wrong_codes() {
    let grant = GrantServer::with(&[LIMITS]).await;
    let device = grant.device().await;
    grant.server.sign_up("bob").await;
    let peer = [198, 51, 100, 1];
    let mut alice = logged_in(&grant, "alice", peer).await;
    assert_eq!(wrong_codes(&mut alice).await, 10);
    let mut bob = logged_in(&grant, "bob", peer).await;
    assert_eq!(wrong_codes(&mut bob).await, 0);
    // A refused attempt is not charged to the account, and there is no shared total.
    bob.peer = IpAddr::from([198, 51, 100, 2]);
    enter(&mut bob, &device.user_code).await.expect(200);
    assert_eq!(wrong_codes(&mut bob).await, 10);
}

/// Text that is no code is a wrong attempt too.
#[tokio::test]
async fn oa_120_right_codes_are_not_charged() {
    let grant = GrantServer::with(&[LIMITS]).await;
    let mut browser = logged_in(&grant, "alice", [198, 51, 100, 1]).await;
    for _ in 0..3 {
        let device = grant.device().await;
        for _ in 0..5 {
            enter(&mut browser, &device.user_code).await.expect(200);
        }
    }
    for text in ["", "x", "AEIO-UAEI", "BCDF-GHJ", &"B".repeat(100)] {
        let page = enter(&mut browser, text).await.expect(400);
        assert!(message(&page).contains("wrong or has expired"));
    }
    assert_eq!(wrong_codes(&mut browser).await, 5);
}

#[tokio::test]
async fn oa_120_a_code_answers_ten_look_ups_while_it_is_pending() {
    let grant = GrantServer::new().await;
    let mut browser = logged_in(&grant, "alice", [127, 0, 0, 1]).await;
    let [device, other] = [grant.device().await, grant.device().await];
    let mut page = None;
    for _ in 0..10 {
        page = Some(enter(&mut browser, &device.user_code).await.expect(200));
    }
    enter(&mut browser, &device.user_code).await.expect(400);
    // A page that was shown is still valid.
    browser.decide(&page.unwrap(), "allow").await.expect(200);
    grant.poll(&device).await.ok();
    // Only pending codes are found.
    let consent = enter(&mut browser, &other.user_code).await.expect(200);
    browser.decide(&consent, "cancel").await.expect(200);
    for device in [&device, &other] {
        enter(&mut browser, &device.user_code).await.expect(400);
    }
}

/// The tables that a request reads or writes, with the rows of the OAuth table that it names.
#[tokio::test]
async fn oa_120_a_code_is_looked_up_only_after_the_login() {
    let grant = GrantServer::new().await;
    let device = grant.device().await;
    let server = &grant.server;
    let mut browser = Browser::new(server);
    device.consent(&mut browser, "alice").await.expect(200);
    let before = grant.row(&device);
    let form = browser.get(&device.path()).await.form(LINK);
    server.advance(Duration::from_mins(31));
    let values = [("user_code", device.user_code.as_str())];
    let work = browser.submit(&form, &values);
    let (page, calls) = server.calls_of(work).await;
    page.form("/login");
    let operations: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert_eq!(operations, ["GetItem"], "only the session");
    assert_eq!(grant.row(&device), before);
}

/// The codes of devices differ, and the key of one is not a plain hash of it, because all codes could be tried.
#[tokio::test]
async fn oa_120_the_key_of_a_user_code_is_a_keyed_hash() {
    let grant = GrantServer::new().await;
    let devices: Vec<Device> = [grant.device().await, grant.device().await].into();
    let rows = grant.server.local.dynamodb().table("OAuth").unwrap();
    let keys = rows.iter().map(|row| row["pk"]["S"].as_str().unwrap());
    let keys: BTreeSet<_> = keys.filter(|key| key.starts_with("USERCODE#")).collect();
    assert_eq!(keys.len(), 2);
    for device in devices {
        let plain = device.user_code.replace('-', "");
        for text in [device.user_code.as_str(), &plain] {
            let hash = shared::secrets::sha256_base64(text.as_bytes());
            assert!(!keys.iter().any(|key| key.contains(&hash)));
        }
    }
}
