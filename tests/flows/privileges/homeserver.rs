//! The scenario with a homeserver: every change of an account is carried over, together with a change that was interrupted.

use std::{collections::BTreeSet, time::Duration};

use gatehouse_local::dynamodb::proxy::Use;
use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::start_every_function;
use crate::{
    api::{
        account_threepids::{
            ADD, ALICE, BOB, LIST, add, remove, user_token, validated_credentials, with_password,
        },
        support::{dummy_registration, post_as},
    },
    flows::{
        homeserver::{interrupt, pending},
        support::{
            DUMMY,
            account_helpers::{
                ADDRESSES, DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, PASSWORD_PATH,
                password_of, sign_up, try_login, with_auth,
            },
            homeserver::{Homeserver, Misbehaviour},
            registration, stage,
        },
    },
};

/// A change of an account.
#[derive(Debug, Clone, Copy)]
enum Change {
    LogOut,
    LogOutAll,
    Rename,
    DeleteDevice,
    DeleteDevices,
    Password,
    Deactivate,
}

impl Change {
    const ALL: [Self; 7] = [
        Self::LogOut,
        Self::LogOutAll,
        Self::Rename,
        Self::DeleteDevice,
        Self::DeleteDevices,
        Self::Password,
        Self::Deactivate,
    ];

    async fn make(self, server: &TestServer, name: &str, device: &Device) {
        let prefix = PREFIXES[1];
        let (method, path, body) = match self {
            Self::LogOut => ("POST", format!("{prefix}/logout"), json!({})),
            Self::LogOutAll => ("POST", format!("{prefix}/logout/all"), json!({})),
            Self::Rename => (
                "PUT",
                format!("{prefix}/devices/{}", device.id),
                json!({ "display_name": "Phone" }),
            ),
            Self::DeleteDevice => ("DELETE", format!("{prefix}/devices/X"), json!({})),
            Self::DeleteDevices => (
                "POST",
                DELETE_DEVICES_PATH.to_owned(),
                json!({ "devices": ["X"] }),
            ),
            Self::Password => (
                "POST",
                PASSWORD_PATH.to_owned(),
                json!({ "new_password": PASSWORD }),
            ),
            Self::Deactivate => ("POST", DEACTIVATE_PATH.to_owned(), json!({})),
        };
        let body = with_auth(body, password_of(name, PASSWORD, None));
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", device.token));
        let request = request.body(body.to_string().into_bytes()).unwrap();
        server.send(request).await.ok();
    }
}

pub(super) async fn scenario() -> BTreeSet<Use> {
    let settings = [&ADDRESSES[..], &[("GATEHOUSE_LIMITS", "on")]].concat();
    let (homeserver, server) = Homeserver::with_server(&settings).await;
    server.expect_faults();
    start_every_function(&server).await;
    for (number, change) in Change::ALL.into_iter().enumerate() {
        let name = format!("user{number}");
        let device = sign_up(&server, &name).await;
        interrupt(&server, &name);
        change.make(&server, &name, &device).await;
        server.advance(Duration::from_mins(20));
    }
    threepids(&server).await;
    registrations(&homeserver, &server).await;
    assert_eq!(pending(&server), 0);
    server.local.proxy().used()
}

async fn threepids(server: &TestServer) {
    let token = user_token(server, "alice").await;
    let creds = validated_credentials(server, ALICE, "secret").await;
    interrupt(server, "alice");
    add(server, &token, &creds).await.ok();
    let creds = validated_credentials(server, BOB, "secret").await;
    interrupt(server, "alice");
    post_as(server, &token, ADD, &with_password("alice", &creds))
        .await
        .ok();
    interrupt(server, "alice");
    remove(server, &token, ALICE).await.ok();
    assert_eq!(server.get_as(&token, LIST).await.status, 200);
}

/// Registrations and logins that a fault of the homeserver interrupts, and a name that is taken there in between.
async fn registrations(homeserver: &Homeserver, server: &TestServer) {
    let (_, session) = server.begin(&registration("carol")).await;
    homeserver.misbehave_at(2, Misbehaviour::LosesResponse);
    assert_eq!(server.register(&stage(DUMMY, &session)).await.status, 503);
    homeserver.set_misbehaviour(None);
    for _ in 0..2 {
        server.register(&stage(DUMMY, &session)).await.ok();
    }
    homeserver.create_foreign_after_check("dave");
    let body = dummy_registration("dave");
    assert_eq!(server.register(&body).await.status, 400);
    interrupt(server, "carol");
    homeserver.set_misbehaviour(Some(Misbehaviour::Down));
    assert_eq!(try_login(server, "carol", PASSWORD).await.status, 503);
    homeserver.set_misbehaviour(None);
    try_login(server, "carol", PASSWORD).await.ok();
    interrupt(server, "carol");
    server.run_schedule().await;
}
