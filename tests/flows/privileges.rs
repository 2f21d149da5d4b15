//! Least privilege: every action that a policy allows is used by some flow, and none is missing.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers too"
)]

use std::{collections::BTreeSet, sync::Arc};

use gatehouse_local::{tap::Use, template::Template};
use kit::{House, PREFIXES};
use serde_json::json;

use crate::flows::support::{
    DUMMY, POLICIES, TERMS, TOKEN, flows, new_token, overtaken, page, process_of, stage, submit,
    token_stage, wish, with,
};

/// What each function does when it starts, if it reads tables at all.
async fn start_every_function(house: &House) {
    for (function, permissions) in &Template::ours().unwrap().policies {
        if !permissions.is_empty() {
            process_of(house, function).warm_up().await;
        }
    }
}

/// Every flow there is, with limits on, and the twins that have to look twice.
async fn walk() -> BTreeSet<Use> {
    let offered = flows("m.login.registration_token+m.login.dummy m.login.terms+m.login.dummy");
    let settings = [
        offered,
        POLICIES,
        ("GATEHOUSE_LIMITS", "on"),
        ("GATEHOUSE_GUESTS", "true"),
    ];
    let house = Arc::new(House::with(&settings).await);
    start_every_function(&house).await;
    let token = new_token(&house, &["--uses", "5"]).await;
    let validity = "/_matrix/client/v1/register/m.login.registration_token/validity";
    house.get(&format!("{validity}?token={token}")).await.ok();
    let available = format!("{}/register/available?username=alice", PREFIXES[1]);
    house.get(&available).await.ok();
    let (_, session) = house.begin(&wish("alice")).await;
    for stage in [TOKEN, TERMS] {
        house.get(&page(PREFIXES[1], stage, &session)).await;
    }
    submit(
        &house,
        &page(PREFIXES[1], TOKEN, &session),
        &format!("token={token}"),
    )
    .await;
    house
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    let (slow, quick) = overtaken(&house, ("TransactWriteItems", 1), &stage(DUMMY, &session)).await;
    assert_eq!(slow.ok(), quick.ok());
    let alice = quick.ok()["access_token"].as_str().unwrap().to_owned();
    let whoami = format!("{}/account/whoami", PREFIXES[1]);
    house.get_as(&alice, &whoami).await.ok();
    let (_, session) = house.begin(&wish("bob")).await;
    submit(&house, &page(PREFIXES[1], TERMS, &session), "").await;
    house.register(&stage(DUMMY, &session)).await.ok();
    let guest = house
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await
        .ok();
    let name = guest["user_id"].as_str().unwrap()[1..]
        .split(':')
        .next()
        .unwrap();
    let upgrade = with(
        wish(name),
        &json!({ "guest_access_token": guest["access_token"] }),
    );
    let (_, session) = house.begin(&upgrade).await;
    house.register(&stage(TERMS, &session)).await.challenge();
    house.register(&stage(DUMMY, &session)).await.ok();
    house.local.tap().used()
}

#[tokio::test]
async fn every_permission_of_the_template_is_used_and_none_is_missing() {
    let template = Template::ours().unwrap();
    let used = walk().await;
    let held: BTreeSet<Use> = template
        .policies
        .iter()
        .flat_map(|(function, permissions)| {
            permissions.iter().map(|permission| Use {
                function: function.clone(),
                permission: permission.clone(),
            })
        })
        .collect();
    let unused: Vec<_> = held.difference(&used).collect();
    assert!(unused.is_empty(), "no flow needs {unused:#?}");
    let missing: Vec<_> = used
        .difference(&held)
        .filter(|own| template.functions.contains_key(&own.function))
        .collect();
    assert!(missing.is_empty(), "a flow needs {missing:#?}");
}
