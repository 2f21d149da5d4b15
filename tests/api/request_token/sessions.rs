//! Session binding: a session for one 3PID never validates another 3PID.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::Strategy, sample::select};
use shared::{rng::SystemRng, store::Store, threepid_validation};
use std::sync::Arc;

use crate::api::{
    rows::{queued, validation, validations},
    support::for_all,
    threepids::{
        FLOWS, LINK, MAIL, MEDIA, REQUESTS, SMS, address, assert_not_submitted, code, link_token,
        message_request, open_link, other_code, request_session, server_with, state, submit,
        submit_form, token,
    },
};

/// Incident 1: an attacker requests a message to another user's 3PID with the same secret.
#[tokio::test]
async fn incident_1_two_addresses_with_one_secret_are_two_sessions() {
    let server = server_with(&[]).await;
    for (medium, path) in REQUESTS {
        let victim = request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let own = request_session(&server, path, &message_request(medium, 2, "secret", 1)).await;
        assert_ne!(victim, own);
        // The token sent to one 3PID validates only that 3PID.
        let received = token(&server, medium, &own);
        let reply = submit(&server, medium, &victim, "secret", &received).await;
        assert_not_submitted(&reply, "M_TOKEN_INCORRECT");
        submit(&server, medium, &own, "secret", &received)
            .await
            .ok();
        assert_eq!(state(&server, &victim), "pending");
        assert_eq!(validation(&server, &own).address, address(medium, 2));
        assert_eq!(state(&server, &own), "validated");
    }
}

/// Incident 1: neither the page nor the button of a link accepts the token for another session.
#[tokio::test]
async fn incident_1_a_link_never_validates_another_address() {
    let server = server_with(&[]).await;
    let (_, path) = MEDIA[0];
    let victim = request_session(&server, path, &message_request("email", 1, "secret", 1)).await;
    let own = request_session(&server, path, &message_request("email", 2, "secret", 1)).await;
    let received = link_token(&server, &own);
    for fields in [
        vec![("sid", victim.as_str()), ("token", received.as_str())],
        vec![
            ("sid", &victim),
            ("token", &received),
            ("client_secret", "secret"),
        ],
        vec![("sid", &victim), ("sid", &own), ("token", &received)],
    ] {
        let shown = open_link(&server, LINK, &fields).await;
        assert_eq!(shown.status, 400);
        let pressed = submit_form(&server, &fields).await;
        assert_eq!(pressed.status, 400);
    }
    assert_eq!(state(&server, &victim), "pending");
}

/// Incident 1, 3PID-20: a session belongs to one secret, 3PID, medium and purpose. Its token validates no other
/// session.
#[test]
fn incident_1_a_session_has_one_secret_address_and_purpose() {
    let one = || {
        (
            select(vec!["a", "A", "secret", "secret.", "secre", "t", "=", "_"]),
            0_u32..4,
            select(REQUESTS.to_vec()),
        )
    };
    let case = (one(), one()).prop_filter("two different", |(a, b)| a != b);
    for_all(64, &[MAIL, SMS, FLOWS], &case, &async |server, (a, b)| {
        // The sessions of the previous case have expired.
        server.advance(std::time::Duration::from_hours(49));
        let mut sids = Vec::new();
        for (secret, user, (medium, path)) in [a, b] {
            let sid =
                request_session(server, path, &message_request(medium, user, secret, 1)).await;
            assert_eq!(validation(server, &sid).address, address(medium, user));
            sids.push(sid);
        }
        assert_ne!(sids[0], sids[1]);
        let (secret, _, (medium, _)) = a;
        let others = token(server, b.2.0, &sids[1]);
        if token(server, medium, &sids[0]) != others {
            for secret in [secret, b.0] {
                let reply = submit(server, medium, &sids[0], secret, &others).await;
                assert_eq!(reply.status, 400);
            }
        }
        assert_eq!(state(server, &sids[0]), "pending");
        let own = token(server, b.2.0, &sids[1]);
        submit(server, b.2.0, &sids[1], b.0, &own).await.ok();
        assert_eq!(state(server, &sids[0]), "pending");
    });
}

/// 3PID-04, incident 3: IDs reveal neither the 3PID nor the order.
#[tokio::test]
async fn incident_3_session_ids_are_unique_and_in_no_order() {
    let server = server_with(&[]).await;
    let mut sids = Vec::new();
    for (medium, path) in MEDIA {
        for user in 0..100 {
            sids.push(
                request_session(&server, path, &message_request(medium, user, "secret", 1)).await,
            );
        }
    }
    let unique: BTreeSet<_> = sids.iter().collect();
    assert_eq!(unique.len(), 200);
    let in_order = sids.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!(
        (60..140).contains(&in_order),
        "{in_order} of 199 are in order"
    );
    // Another server has another key, so the same request gets another ID.
    let other =
        server_with(&[("GATEHOUSE_SECRET", "another root of every key, long enough")]).await;
    let (medium, path) = MEDIA[0];
    let other_sid = request_session(&other, path, &message_request(medium, 0, "secret", 1)).await;
    assert_ne!(other_sid, sids[0]);
}

/// 3PID-05, 3PID-15: `deliver` suppresses the session of a known 3PID. Every submission to this session gets the
/// response to a wrong guess.
#[tokio::test]
async fn threepid_05_a_suppressed_session_never_validates() {
    let server = server_with(&[]).await;
    for (medium, path) in MEDIA {
        let suppressed =
            request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
        let generation = validation(&server, &suppressed).generation;
        let aws = server.local.aws("Deliver");
        let store = Store::new(&aws, &server.local.config().tables, Arc::new(SystemRng));
        store
            .suppress_validation(&suppressed, &generation)
            .await
            .unwrap();
        let other = request_session(&server, path, &message_request(medium, 2, "secret", 1)).await;
        let right = token(&server, medium, &suppressed);
        let wrong = other_code(&[code(&server, &other, 1)]);
        for _ in 0..6 {
            let known = submit(&server, medium, &suppressed, "secret", &right).await;
            let unknown = submit(&server, medium, &other, "secret", &wrong).await;
            assert_eq!((known.status, known.body), (unknown.status, unknown.body));
        }
        assert_eq!(state(&server, &suppressed), "pending");
        if medium == "email" {
            let fields = [("sid", suppressed.as_str()), ("token", right.as_str())];
            assert_eq!(open_link(&server, LINK, &fields).await.status, 400);
            assert_eq!(submit_form(&server, &fields).await.status, 400);
            assert_eq!(state(&server, &suppressed), "pending");
        }
    }
}

/// 3PID-63: the stored 3PID is canonical, and the stored medium has its name in the API.
#[tokio::test]
async fn threepid_63_a_session_has_a_medium_and_canonical_address() {
    let server = server_with(&[]).await;
    for (medium, path) in MEDIA {
        request_session(&server, path, &message_request(medium, 1, "secret", 1)).await;
    }
    let rows = validations(&server);
    assert!(
        rows.iter()
            .all(|row| threepid_validation::is_opaque_id(&row.sid))
    );
    let stored: BTreeMap<_, _> = rows
        .into_iter()
        .map(|row| (row.medium, row.address))
        .collect();
    let expected = [("email", "user1@example.org"), ("msisdn", "447400123457")];
    assert_eq!(
        stored,
        expected
            .map(|(medium, address)| (medium.to_owned(), address.to_owned()))
            .into()
    );
    assert_eq!(queued(&server), 2);
}
