//! Faults of DynamoDB and of the homeserver at every call. After the client has repeated its request and the schedule
//! has run, both sides have the same devices (HS-18).

use std::time::Duration;

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use crate::{
    api::support::post_as,
    flows::{
        homeserver::pending,
        support::{
            DUMMY,
            account_helpers::{
                DEACTIVATE_PATH, Device, LOGIN, log_in, login_of, password_of, sign_up, with_auth,
            },
            homeserver::{Homeserver, Misbehaviour},
            registration, stage,
        },
    },
};

const FAULTS: [FaultKind; 3] = [
    FaultKind::ConnectionReset,
    FaultKind::LostAnswer,
    FaultKind::Conflict,
];
/// More than all attempts of a call.
const PERSISTENT: u64 = 30;

/// An operation of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Register,
    LogIn,
    LogOut,
    LogOutAll,
    Deactivate,
}

impl Operation {
    const ALL: [Self; 5] = [
        Self::Register,
        Self::LogIn,
        Self::LogOut,
        Self::LogOutAll,
        Self::Deactivate,
    ];

    const fn function(self) -> &'static str {
        match self {
            Self::Register => "Register",
            Self::LogIn => "Login",
            Self::LogOut => "Logout",
            Self::LogOutAll => "LogoutAll",
            Self::Deactivate => "AccountDeactivate",
        }
    }
}

struct Subject<'a> {
    server: &'a TestServer,
    homeserver: &'a Homeserver,
    name: String,
}

impl Subject<'_> {
    /// Makes the operation with the fault in its last request, repeats that request without the fault, runs the
    /// schedule, and compares both sides. Returns the calls of the first attempt.
    async fn run(&self, operation: Operation, inject: impl FnOnce()) -> Vec<(String, Vec<String>)> {
        let server = self.server;
        let device = match operation {
            Operation::Register => None,
            _ => Some(sign_up(server, &self.name).await),
        };
        let session = match operation {
            Operation::Register => Some(server.begin(&registration(&self.name)).await.1),
            _ => None,
        };
        self.homeserver.take_calls();
        inject();
        let (_, calls) = server
            .calls_of(self.send(operation, device.as_ref(), session.as_deref()))
            .await;
        server.local.proxy().clear_faults();
        self.homeserver.set_misbehaviour(None);
        // The lease of a process that has ended expires in this time.
        server.advance(Duration::from_mins(1));
        let reply = self
            .send(operation, device.as_ref(), session.as_deref())
            .await;
        assert!(
            [200, 401].contains(&reply.status.as_u16()),
            "{operation:?} {}",
            reply.text()
        );
        for _ in 0..3 {
            server.deliver().await;
            server.advance(Duration::from_mins(1));
            server.run_schedule().await;
        }
        self.assert_same_devices(operation).await;
        let own = calls
            .into_iter()
            .filter(|call| call.caller == operation.function());
        own.map(|call| {
            (
                call.operation,
                call.tables.iter().map(ToString::to_string).collect(),
            )
        })
        .collect()
    }

    async fn send(
        &self,
        operation: Operation,
        device: Option<&Device>,
        session: Option<&str>,
    ) -> test_support::Reply {
        let token = device
            .map(|device| device.token.clone())
            .unwrap_or_default();
        let prefix = PREFIXES[1];
        match operation {
            Operation::Register => {
                let session = session.unwrap();
                self.server.register(&stage(DUMMY, session)).await
            }
            Operation::LogIn => {
                self.server
                    .post(LOGIN, &login_of(&self.name, PASSWORD))
                    .await
            }
            Operation::LogOut => {
                let path = format!("{prefix}/logout");
                post_as(self.server, &token, &path, &json!({})).await
            }
            Operation::LogOutAll => {
                let path = format!("{prefix}/logout/all");
                post_as(self.server, &token, &path, &json!({})).await
            }
            Operation::Deactivate => {
                let auth = password_of(&self.name, PASSWORD, None);
                post_as(
                    self.server,
                    &token,
                    DEACTIVATE_PATH,
                    &with_auth(json!({}), auth),
                )
                .await
            }
        }
    }

    async fn assert_same_devices(&self, operation: Operation) {
        assert_eq!(pending(self.server), 0, "{operation:?} {}", self.name);
        let user = self.homeserver.user(&self.name).unwrap();
        if operation == Operation::Deactivate {
            assert!(
                user.is_deactivated && user.devices.is_empty(),
                "{}",
                self.name
            );
            return;
        }
        let device = log_in(self.server, &self.name, PASSWORD).await;
        let list = format!("{}/devices", PREFIXES[1]);
        let list = self.server.get_as(&device.token, &list).await.ok();
        let here = list["devices"].as_array().unwrap().iter();
        let mut here: Vec<_> = here
            .map(|device| device["device_id"].as_str().unwrap().to_owned())
            .collect();
        here.sort();
        assert_eq!(
            self.homeserver.devices(&self.name),
            here,
            "{operation:?} {}",
            self.name
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_18_a_fault_of_dynamodb_leaves_both_sides_equal() {
    for operation in Operation::ALL {
        let (homeserver, server) = Homeserver::with_server(&[]).await;
        server.expect_faults();
        let mut number = 0;
        let mut subject = || {
            number += 1;
            Subject {
                server: &server,
                homeserver: &homeserver,
                name: format!("user{number}"),
            }
        };
        let calls = subject().run(operation, || ()).await;
        for (index, (name, _)) in calls.iter().enumerate() {
            let nth = calls[..=index]
                .iter()
                .filter(|call| call.0 == *name)
                .count();
            let nth = u64::try_from(nth).unwrap();
            for kind in FAULTS {
                let fault = Fault::new(kind).by(operation.function()).on(name);
                let inject = || {
                    server
                        .local
                        .proxy()
                        .inject(fault.nth(nth).times(PERSISTENT));
                };
                subject().run(operation, inject).await;
            }
        }
        homeserver.assert_no_violations();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hs_18_a_fault_of_the_homeserver_leaves_both_sides_equal() {
    for operation in Operation::ALL {
        let (homeserver, server) = Homeserver::with_server(&[]).await;
        server.expect_faults();
        for number in 1..=4 {
            for (index, misbehaviour) in [
                Misbehaviour::Down,
                Misbehaviour::LosesResponse,
                Misbehaviour::Fails(500),
                Misbehaviour::Fails(403),
            ]
            .into_iter()
            .enumerate()
            {
                let subject = Subject {
                    server: &server,
                    homeserver: &homeserver,
                    name: format!("user{number}-{index}"),
                };
                let inject = || homeserver.misbehave_at(number, misbehaviour);
                subject.run(operation, inject).await;
            }
        }
        homeserver.assert_no_violations();
    }
}
