//! Steps towards the deletion of devices, which requires the password of the token's user.

use serde_json::json;
use test_support::{PASSWORD, PREFIXES, TestServer};

use super::sequences;
use crate::flows::support::{
    account_helpers::{
        DEACTIVATE_PATH, DELETE_DEVICES_PATH, Device, log_in, password_of, sign_up, with_auth,
    },
    page, stage, submit,
    threepid_helpers::EMAIL,
};

const PASSWORD_STAGE: &str = "m.login.password";

/// A step towards the deletion of devices, which requires the password of the token's user. The session is that of
/// the caller's device, unless the step names another one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ByPassword {
    Right,
    Wrong,
    OfBob,
    PageRight,
    PageWrong,
    Poll,
    EmailStage,
    FromOtherDevice,
    InSessionOfOtherDevice,
    InSessionOfOtherOperation,
    ForOtherOperation,
}

struct Deletion {
    server: TestServer,
    device: Device,
    other: Device,
    /// A session of the other device, and a session of another operation.
    foreign: [String; 2],
}

impl Deletion {
    async fn start() -> Self {
        let server = TestServer::new().await;
        let device = sign_up(&server, "alice").await;
        let other = log_in(&server, "alice", PASSWORD).await;
        sign_up(&server, "bob").await;
        let body = json!({ "devices": [] });
        let foreign = [
            other.begin(&server, DELETE_DEVICES_PATH, &body).await.1,
            device.begin(&server, DEACTIVATE_PATH, &json!({})).await.1,
        ];
        Self {
            server,
            device,
            other,
            foreign,
        }
    }

    /// Sends the request of a step. Returns the status.
    async fn send(&self, step: ByPassword, session: &str) -> u16 {
        let right = |session: &str| password_of("alice", PASSWORD, Some(session));
        let page = page(PREFIXES[1], PASSWORD_STAGE, session);
        let (device, path, auth) = match step {
            ByPassword::PageRight => {
                let reply = submit(&self.server, &page, "password=ostrich+lamp+8+quarrel").await;
                return reply.status.as_u16();
            }
            ByPassword::PageWrong => {
                return submit(&self.server, &page, "password=wrong")
                    .await
                    .status
                    .as_u16();
            }
            ByPassword::Right => (&self.device, DELETE_DEVICES_PATH, right(session)),
            ByPassword::Wrong => {
                let auth = password_of("alice", "wrong", Some(session));
                (&self.device, DELETE_DEVICES_PATH, auth)
            }
            ByPassword::OfBob => {
                let auth = password_of("bob", PASSWORD, Some(session));
                (&self.device, DELETE_DEVICES_PATH, auth)
            }
            ByPassword::Poll => (
                &self.device,
                DELETE_DEVICES_PATH,
                json!({ "session": session }),
            ),
            ByPassword::EmailStage => {
                let auth = stage(EMAIL, session)["auth"].take();
                (&self.device, DELETE_DEVICES_PATH, auth)
            }
            ByPassword::FromOtherDevice => (&self.other, DELETE_DEVICES_PATH, right(session)),
            ByPassword::InSessionOfOtherDevice => {
                (&self.device, DELETE_DEVICES_PATH, right(&self.foreign[0]))
            }
            ByPassword::InSessionOfOtherOperation => {
                (&self.device, DELETE_DEVICES_PATH, right(&self.foreign[1]))
            }
            ByPassword::ForOtherOperation => (&self.device, DEACTIVATE_PATH, right(session)),
        };
        let body = with_auth(json!({}), auth);
        device.post(&self.server, path, &body).await.status.as_u16()
    }

    async fn run(&self, steps: &[ByPassword]) {
        let body = json!({ "devices": [] });
        let session = self
            .device
            .begin(&self.server, DELETE_DEVICES_PATH, &body)
            .await
            .1;
        let (mut proven, mut finished) = (false, None);
        for (number, step) in steps.iter().enumerate() {
            let expected = match step {
                ByPassword::PageRight => {
                    proven = true;
                    true
                }
                ByPassword::PageWrong => proven,
                ByPassword::FromOtherDevice
                | ByPassword::InSessionOfOtherDevice
                | ByPassword::InSessionOfOtherOperation
                | ByPassword::ForOtherOperation => false,
                // A finished session repeats its response to the same request only.
                _ if finished.is_some() => finished == Some(*step),
                _ => {
                    proven |= *step == ByPassword::Right;
                    finished = proven.then_some(*step);
                    proven
                }
            };
            let status = self.send(*step, &session).await;
            assert_eq!(status == 200, expected, "{number} of {steps:?}: {status}");
            assert!(status < 500);
        }
    }
}

#[tokio::test]
async fn incident_33_no_order_of_steps_replaces_the_password() {
    use ByPassword::{
        EmailStage, ForOtherOperation, FromOtherDevice, InSessionOfOtherDevice,
        InSessionOfOtherOperation, OfBob, PageRight, PageWrong, Poll, Right, Wrong,
    };
    let deletion = Deletion::start().await;
    let all = [
        Right,
        Wrong,
        OfBob,
        PageRight,
        PageWrong,
        Poll,
        EmailStage,
        FromOtherDevice,
        InSessionOfOtherDevice,
        InSessionOfOtherOperation,
        ForOtherOperation,
    ];
    for steps in sequences(&all, 2) {
        deletion.run(&steps).await;
    }
    for steps in sequences(&[Right, Wrong, PageRight, Poll, FromOtherDevice], 3) {
        deletion.run(&steps).await;
    }
    for steps in sequences(&[Right, PageRight, Poll], 4) {
        deletion.run(&steps).await;
    }
    assert!(deletion.other.is_valid(&deletion.server).await);
    assert!(deletion.device.is_valid(&deletion.server).await);
}
