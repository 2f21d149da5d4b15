//! Least privilege: every action that an IAM policy allows is used by at least one scenario, and no
//! permission is missing.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod account_pages;
mod account_threepids;
mod accounts;
mod device_grant;
mod homeserver;
mod identity;
mod messages;
mod oauth_pages;
mod oauth_tokens;
mod recovery_pages;
mod sessions;
mod sign_up_pages;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gatehouse_local::{
    aws_fakes::KEY_RING,
    dynamodb::proxy::{Fault, FaultKind, Use},
    template::Template,
};
use serde_json::json;
use shared::{
    app,
    key_ring::{self, KeySettings},
};
use test_support::{PREFIXES, TestServer};

use crate::flows::{
    races::send_overtaken,
    support::{
        DUMMY, POLICIES, TERMS, TOKEN, flows, new_token, page, process_of, registration, stage,
        submit,
        threepid_helpers::{
            ALICE, EMAIL, MAIL, MSISDN, NUMBER, SMS, code_to, form_of, link_to, mail_to,
            request_mail, request_text, request_token,
        },
        token_stage, with,
    },
};

/// Makes the calls of each function at its start. A function reads the secret if it uses keys, and the
/// application services if its policy allows it to read accounts. Workers do not read a table at their
/// start, because no client waits for them.
async fn start_every_function(server: &TestServer) {
    let template = Template::ours().unwrap();
    let secret = json!({ "current": "0123456789abcdef0123456789abcdef" });
    server.local.aws_fakes().set_secret(&secret.to_string());
    for (function, permissions) in &template.policies {
        let mut actions = permissions.iter().map(|held| held.action.as_str());
        if actions.any(|action| action == "secretsmanager:GetSecretValue") {
            let aws = server.local.aws(function);
            let sdk = aws.sdk_config(aws.endpoints.secrets_manager.as_deref());
            let lookup = |name: &str| (name == key_ring::ARN).then(|| KEY_RING.to_owned());
            let fetched = KeySettings::fetch(&sdk, lookup).await;
            fetched.unwrap();
        }
        let mut reads = permissions
            .iter()
            .map(|held| (&*held.action, &*held.resource));
        let reads_accounts = reads.any(|read| read == ("BatchGetItem", "Accounts"));
        if reads_accounts && !template.workers.contains_key(function) {
            app::warm_up(&process_of(server, function).store).await;
        }
    }
}

/// Uses every registration flow with limits on, and sends concurrent duplicates, which read twice.
async fn scenario() -> BTreeSet<Use> {
    let offered = flows("m.login.registration_token+m.login.dummy m.login.terms+m.login.dummy");
    let settings = [
        offered,
        POLICIES,
        ("GATEHOUSE_LIMITS", "on"),
        ("GATEHOUSE_GUESTS", "true"),
    ];
    let server = Arc::new(TestServer::with(&settings).await);
    start_every_function(&server).await;
    let token = new_token(&server, &["--uses", "5"]).await;
    let validity = "/_matrix/client/v1/register/m.login.registration_token/validity";
    server.get(&format!("{validity}?token={token}")).await.ok();
    let available = format!("{}/register/available?username=alice", PREFIXES[1]);
    server.get(&available).await.ok();
    let (_, session) = server.begin(&registration("alice")).await;
    for stage in [TOKEN, TERMS] {
        server.get(&page(PREFIXES[1], stage, &session)).await;
    }
    submit(
        &server,
        &page(PREFIXES[1], TOKEN, &session),
        &format!("token={token}"),
    )
    .await;
    server
        .register(&token_stage(&token, Some(&session)))
        .await
        .challenge();
    let (slow, quick) =
        send_overtaken(&server, ("TransactWriteItems", 1), &stage(DUMMY, &session)).await;
    assert_eq!(slow.ok(), quick.ok());
    let alice = quick.ok()["access_token"].as_str().unwrap().to_owned();
    let whoami = format!("{}/account/whoami", PREFIXES[1]);
    server.get_as(&alice, &whoami).await.ok();
    let (_, session) = server.begin(&registration("bob")).await;
    submit(&server, &page(PREFIXES[1], TERMS, &session), "").await;
    server.register(&stage(DUMMY, &session)).await.ok();
    let guest = server
        .post("/_matrix/client/v3/register?kind=guest", &json!({}))
        .await
        .ok();
    let name = guest["user_id"].as_str().unwrap()[1..]
        .split(':')
        .next()
        .unwrap();
    let upgrade = with(
        registration(name),
        &json!({ "guest_access_token": guest["access_token"] }),
    );
    let (_, session) = server.begin(&upgrade).await;
    server.register(&stage(TERMS, &session)).await.challenge();
    server.register(&stage(DUMMY, &session)).await.ok();
    server.local.proxy().used()
}

/// Uses addresses at registration in every way, with limits on, and with or without disclosure of
/// ownership: a link, a code, both pages, a message that is retried, and an address that has an
/// account.
async fn scenario_with_addresses(privacy: &str) -> BTreeSet<Use> {
    let offered = flows("m.login.email.identity m.login.msisdn+m.login.dummy");
    let settings = [
        offered,
        MAIL,
        SMS,
        ("GATEHOUSE_LIMITS", "on"),
        ("GATEHOUSE_SES_CONFIGURATION_SET", "gatehouse"),
        ("GATEHOUSE_THREEPID_PRIVACY", privacy),
    ];
    let server = Arc::new(TestServer::with(&settings).await);
    start_every_function(&server).await;
    let refused = request_mail(&server, "nobody@example.org", "secret").await;
    server.deliver().await;
    let (path, form) = form_of(&server, &link_to(&server, &refused.address)).await;
    submit(&server, &path, &format!("{form}&action=refuse")).await;
    for (asked, name) in [
        (request_mail(&server, ALICE, "secret").await, "alice"),
        (request_text(&server, NUMBER.0, "secret").await, "bob"),
    ] {
        let (_, session) = server.begin(&registration(name)).await;
        let attempt = asked.attempt(Some(&session));
        server.register(&attempt).await.challenge();
        asked.validate(&server).await;
        if asked.stage == EMAIL {
            server.register(&attempt).await.ok();
        } else {
            server.register(&attempt).await.challenge();
            server.register(&stage(DUMMY, &session)).await.ok();
        }
    }
    // The address has an account. The e-mail to its owner is sent at the second attempt.
    let body = mail_to(ALICE, "another-secret", 1);
    let reply = server.post(&request_token(PREFIXES[1], EMAIL), &body).await;
    assert_eq!(reply.status, if privacy == "quiet" { 200 } else { 400 });
    server
        .local
        .aws_fakes()
        .inject(Fault::new(FaultKind::Throttle).times(4));
    server.deliver().await;
    server.advance(Duration::from_mins(2));
    server.run_schedule().await;
    server.local.aws_fakes().clear_faults();
    let (_, session) = server.begin(&registration("carol")).await;
    let path = page(PREFIXES[1], EMAIL, &session);
    submit(&server, &path, "email=carol%40example.org").await;
    let path = page(PREFIXES[1], MSISDN, &session);
    submit(&server, &path, "country=GB&phone_number=07400123457").await;
    server.deliver().await;
    let code = code_to(&server, "447400123457");
    submit(&server, &path, &format!("action=check&code={code}")).await;
    server.local.proxy().used()
}

#[tokio::test]
async fn every_permission_of_the_template_is_used_none_is_missing() {
    let template = Template::ours().unwrap();
    let mut used = scenario().await;
    for privacy in ["quiet", "tell"] {
        used.extend(scenario_with_addresses(privacy).await);
        used.extend(messages::scenario(privacy).await);
    }
    used.extend(accounts::scenario().await);
    used.extend(identity::scenario().await);
    used.extend(account_threepids::scenario().await);
    used.extend(Box::pin(account_pages::scenario()).await);
    used.extend(oauth_pages::scenario().await);
    used.extend(Box::pin(device_grant::scenario()).await);
    used.extend(Box::pin(oauth_tokens::scenario()).await);
    used.extend(Box::pin(recovery_pages::scenario()).await);
    used.extend(sessions::scenario().await);
    used.extend(Box::pin(sign_up_pages::scenario()).await);
    used.extend(Box::pin(homeserver::scenario()).await);
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
        .filter(|own| template.policies.contains_key(&own.function))
        .collect();
    assert!(missing.is_empty(), "a flow needs {missing:#?}");
}
