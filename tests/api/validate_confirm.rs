//! `POST /validate/email/confirm`: the button of the page that a mail's link leads to. Where it leads
//! is in `validate_submit_token/links.rs`, beside the page.

use std::sync::Arc;

use kit::{House, PASSWORD, PREFIXES};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    support::request,
    threepids::{
        CODE, EMAIL, LINK, MSISDN, code, form, house_with, link_token, open, press, queued, sid,
        state, submit, wish,
    },
};

/// A session, and the fields of its link.
async fn begun(house: &House) -> (String, String) {
    let sid = sid(house, EMAIL, &wish("email", 1, "secret", 1)).await;
    let token = link_token(house, &sid);
    (sid, token)
}

async fn register(house: &House, name: &str, sid: &str) -> kit::Reply {
    let creds: Value = json!({ "sid": sid, "client_secret": "secret" });
    let auth = json!({ "type": "m.login.email.identity", "threepid_creds": creds });
    let body = json!({ "username": name, "password": PASSWORD, "auth": auth });
    house.register(&body).await
}

/// 3PID-52: under both prefixes, and again and again.
#[tokio::test]
async fn _3pid_52_pressing_the_button_validates() {
    for prefix in PREFIXES {
        let house = house_with(&[]).await;
        let (sid, token) = begun(&house).await;
        let path = format!("{prefix}/validate/email/confirm");
        for action in ["confirm", "confirm", "", "anything"] {
            let body = form(&[("sid", &sid), ("token", &token), ("action", action)]);
            let reply = house
                .send(request("POST", &path, &[], body.as_bytes()))
                .await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert!(reply.text().contains("Your address is confirmed"));
            assert_eq!(state(&house, &sid), "validated");
        }
        register(&house, "alice", &sid).await.ok();
    }
}

/// 3PID-45: "It was not me" burns the session, validated or not, and the link with it.
#[tokio::test]
async fn it_was_not_me_burns_the_session() {
    for validated_before in [false, true] {
        let house = house_with(&[]).await;
        let (sid, token) = begun(&house).await;
        let fields = [("sid", sid.as_str()), ("token", token.as_str())];
        if validated_before {
            assert_eq!(press(&house, &fields).await.status, 200);
        }
        let refuse = [fields[0], fields[1], ("action", "refuse")];
        let refused = press(&house, &refuse).await;
        assert_eq!(refused.status, 200);
        assert!(
            refused.text().contains("no longer works"),
            "{}",
            refused.text()
        );
        assert_eq!(state(&house, &sid), "burned");
        for reply in [
            open(&house, LINK, &fields).await,
            press(&house, &fields).await,
            press(&house, &refuse).await,
        ] {
            assert_eq!(reply.status, 400);
        }
        let reply = submit(&house, "email", &sid, "secret", &token).await;
        reply.error(400, "M_SESSION_EXPIRED");
        register(&house, "mallory", &sid)
            .await
            .refused("M_UNAUTHORIZED");
        assert_eq!(state(&house, &sid), "burned");
    }
}

/// 3PID-20: who asks again gets a mail with another link; the old one stays dead.
#[tokio::test]
async fn after_it_was_not_me_another_request_begins_anew() {
    let house = house_with(&[]).await;
    let (sid, old) = begun(&house).await;
    press(
        &house,
        &[("sid", &sid), ("token", &old), ("action", "refuse")],
    )
    .await;
    let before = queued(&house);
    let again = super::threepids::sid(&house, EMAIL, &wish("email", 1, "secret", 1)).await;
    assert_eq!((again.as_str(), queued(&house)), (sid.as_str(), before + 1));
    let new = link_token(&house, &sid);
    assert_ne!(new, old);
    assert_eq!(
        press(&house, &[("sid", &sid), ("token", &old)])
            .await
            .status,
        400
    );
    assert_eq!(state(&house, &sid), "pending");
    assert_eq!(
        press(&house, &[("sid", &sid), ("token", &new)])
            .await
            .status,
        200
    );
    assert_eq!(state(&house, &sid), "validated");
}

/// Refusing takes the link's token, as confirming does: who knows the session alone burns nothing.
#[tokio::test]
async fn nobody_burns_a_session_without_its_link() {
    let house = house_with(&[]).await;
    let (mail, token) = begun(&house).await;
    let phone = sid(&house, MSISDN, &wish("msisdn", 1, "secret", 1)).await;
    let code = code(&house, &phone, 1);
    for fields in [
        vec![("sid", mail.as_str()), ("token", "wrong")],
        vec![("sid", &mail), ("token", &code)],
        vec![
            ("sid", &mail),
            ("token", &token),
            ("client_secret", "wrong"),
        ],
        vec![("sid", &phone), ("token", &code)],
        vec![
            ("sid", &phone),
            ("token", &code),
            ("client_secret", "secret"),
        ],
        vec![
            ("sid", &phone),
            ("token", &token),
            ("client_secret", "secret"),
        ],
    ] {
        let fields = [fields, vec![("action", "refuse")]].concat();
        assert_eq!(press(&house, &fields).await.status, 400);
    }
    assert_eq!(
        (state(&house, &mail), state(&house, &phone)),
        ("pending".into(), "pending".into())
    );
}

/// A proof that made an account is not taken back by its link.
#[tokio::test]
async fn a_spent_session_is_not_burned() {
    let house = house_with(&[]).await;
    let (sid, token) = begun(&house).await;
    assert_eq!(
        press(&house, &[("sid", &sid), ("token", &token)])
            .await
            .status,
        200
    );
    register(&house, "alice", &sid).await.ok();
    let refuse = [
        ("sid", sid.as_str()),
        ("token", token.as_str()),
        ("action", "refuse"),
    ];
    assert_eq!(press(&house, &refuse).await.status, 400);
    assert_eq!(state(&house, &sid), "spent");
}

/// Of yes and no at the same moment, no wins: whatever the order, the session ends burned.
#[tokio::test]
async fn yes_and_no_at_once_end_burned() {
    let house = Arc::new(house_with(&[]).await);
    let (sid, token) = begun(&house).await;
    let mut racers = JoinSet::new();
    for index in 0..20 {
        let (house, sid, token) = (Arc::clone(&house), sid.clone(), token.clone());
        racers.spawn(async move {
            let action = ["confirm", "refuse"][index % 2];
            press(
                &house,
                &[("sid", &sid), ("token", &token), ("action", action)],
            )
            .await
        });
    }
    for reply in racers.join_all().await {
        assert!([200, 400].contains(&reply.status.as_u16()));
    }
    assert_eq!(state(&house, &sid), "burned");
}

/// There is no page for phones: a code is typed into the client.
#[tokio::test]
async fn http_08_there_is_no_button_for_phones() {
    let house = house_with(&[]).await;
    let sid = sid(&house, MSISDN, &wish("msisdn", 1, "secret", 1)).await;
    let code = code(&house, &sid, 1);
    let body = form(&[("sid", &sid), ("client_secret", "secret"), ("token", &code)]);
    for medium in ["msisdn", "fax", "Email"] {
        for prefix in PREFIXES {
            let path = format!("{prefix}/validate/{medium}/confirm");
            let reply = house
                .send(request("POST", &path, &[], body.as_bytes()))
                .await;
            reply.error(404, "M_UNRECOGNIZED");
        }
    }
    assert_eq!(state(&house, &sid), "pending");
    let fields = [
        ("sid", sid.as_str()),
        ("client_secret", "secret"),
        ("token", &code),
    ];
    assert_eq!(open(&house, CODE, &fields).await.status, 200);
}
