use serde_json::{Value, json};

use super::*;
use crate::{ids::Localpart, uia::Operation};

use StageType::{Dummy, Email, Recaptcha, Terms};

fn state() -> SessionState {
    SessionState::new(SessionScope::register())
}

fn with(stages: &[StageType]) -> SessionState {
    let mut state = state();
    for stage in stages {
        state.complete(*stage, StageResult::Presence);
    }
    state
}

fn stages(state: &SessionState) -> Vec<StageType> {
    state.completed.iter().map(|done| done.stage).collect()
}

#[test]
fn uia_16_only_the_first_open_stage_of_a_flow_is_next() {
    let flows = [vec![Recaptcha, Terms, Dummy], vec![Recaptcha, Email]];
    let next = |state: &SessionState| {
        [Dummy, Email, Recaptcha, Terms]
            .into_iter()
            .filter(|stage| state.is_next(&flows, *stage))
            .collect::<Vec<_>>()
    };
    assert_eq!(next(&state()), [Recaptcha]);
    assert_eq!(next(&with(&[Recaptcha])), [Email, Terms]);
    assert_eq!(next(&with(&[Recaptcha, Terms])), [Dummy, Email]);
    assert_eq!(next(&with(&[Recaptcha, Email])), [Terms]);
    // A stage that was completed in another flow is completed in this flow too.
    assert_eq!(next(&with(&[Terms])), [Recaptcha]);
}

#[test]
fn a_flow_is_completed_by_all_its_stages_in_any_order() {
    let flows = [vec![Recaptcha, Dummy], vec![Recaptcha, Email]];
    for open in [&[][..], &[Recaptcha], &[Dummy, Email]] {
        assert_eq!(with(open).completed_flow(&flows), None, "{open:?}");
    }
    for done in [&[Recaptcha, Email][..], &[Email, Terms, Recaptcha]] {
        assert_eq!(with(done).completed_flow(&flows), Some(&flows[1]));
    }
    // If two flows are completed, the first one is used.
    let both = with(&[Recaptcha, Dummy, Email]);
    assert_eq!(both.completed_flow(&flows), Some(&flows[0]));
    assert_eq!(both.completed_flow(&[]), None);
}

#[test]
fn uia_05_stages_are_listed_in_the_order_of_completion() {
    assert_eq!(stages(&with(&[Terms, Dummy, Email])), [Terms, Dummy, Email]);
}

#[test]
fn uia_17_the_first_result_of_a_stage_stays() {
    let mut state = with(&[Terms]);
    state.complete(Terms, StageResult::Terms(BTreeMap::new()));
    assert_eq!(stages(&state), [Terms]);
    assert_eq!(state.completed[0].result, StageResult::Presence);
}

#[test]
fn a_reopened_stage_waits_for_no_validation_session() {
    let mut state = with(&[Email, Dummy]);
    assert!(state.wait_for(Email, "sid".to_owned(), None));
    assert!(!state.wait_for(Email, "sid".to_owned(), None), "no change");
    assert!(state.wait_for(Email, "other".to_owned(), None));
    state.reopen(Email);
    assert_eq!(stages(&state), [Dummy]);
    assert!(state.pending.is_empty());
    assert!(!state.has_completed(Email));
}

#[test]
fn merging_adds_stages_and_keeps_the_parameters() {
    let mut stored = with(&[Recaptcha]);
    let mut ours = with(&[Recaptcha, Terms]);
    ours.wait_for(Email, "sid".to_owned(), None);
    ours.shown_policies = BTreeMap::from([("privacy".to_owned(), "2".to_owned())]);
    let parameters = stored.parameters.clone();
    stored.merge(&ours);
    assert_eq!(stages(&stored), [Recaptcha, Terms]);
    assert_eq!(stored.pending.len(), 1);
    assert_eq!(stored.shown_policies, ours.shown_policies);
    assert!(stored.parameters == parameters);
}

#[test]
fn uia_15_the_answer_is_repeated_to_the_same_request_alone() {
    let (at, minute) = (Timestamp(1_000_000), 60_000);
    let state = with(&[Dummy]).finished(at, "request", "answer");
    assert!(state.is_finished());
    let replay = |request: &str, after: i64| state.replay(request, Timestamp(at.0 + after));
    let age = |minutes| Replay::Answer {
        text: "answer".to_owned(),
        age: Duration::from_mins(minutes),
    };
    assert!(replay("request", 0) == age(0));
    assert!(replay("request", 9 * minute) == age(9));
    assert!(replay("request", 10 * minute) == Replay::Over);
    assert!(replay("another", 0) == Replay::Over);
    assert!(with(&[Dummy]).replay("request", at) == Replay::Open);
}

/// A state in the shape that version 0.1.0 stored: sessions outlive a deployment.
fn stored() -> Value {
    json!({
        "binding": {
            "operation": "delete-device",
            "target": "PHONE",
            "user": ["alice", 7],
            "offer": "password",
        },
        "parameters": { "username": "alice", "password": "s3cret" },
        "completed": [
            { "stage": "m.login.dummy", "evidence": "Presence" },
            { "stage": "m.login.password", "evidence": { "Password": { "user": "alice", "epoch": 7, "set": 1_600_000_000_000_i64 } } },
            { "stage": "m.login.registration_token", "evidence": { "RegistrationToken": { "hash": "key.hash" } } },
            { "stage": "m.login.terms", "evidence": { "Terms": { "privacy": "1.2" } } },
            { "stage": "m.login.email.identity", "evidence": { "ThreePid": {
                "sid": "sid", "generation": "g",
                "threepid": { "medium": "email", "address": "alice@example.org" },
                "begun": 1, "validated": 2,
                "elsewhere": { "id_server": "id.example.org", "client_secret": "c", "token": "t" },
            } } },
        ],
        "shown": { "privacy": "1.2" },
        "awaited": {
            "m.login.msisdn": {
                "sid": "sid2",
                "asked": { "client_secret": "c2", "attempt": 2, "to": "the number that ends in 123" },
                "asks_again": true,
            },
        },
        "finished": { "at": 3, "request": "hash", "answer": "{}" },
    })
}

#[test]
fn a_state_that_an_earlier_version_stored_still_opens() {
    let text = stored().to_string();
    let state: SessionState = serde_json::from_slice(text.as_bytes()).unwrap();
    assert_eq!(
        state.scope.operation,
        Operation::DeleteDevice("PHONE".to_owned())
    );
    let alice = Localpart::stored("alice").unwrap();
    assert_eq!(state.scope.user, Some((alice, 7)));
    assert_eq!(state.completed.len(), 5);
    let StageResult::Password(password) = &state.completed[1].result else {
        panic!("{:?}", state.completed[1]);
    };
    assert_eq!(password.password_changed_at, Timestamp(1_600_000_000_000));
    assert!(state.pending.contains_key(&StageType::Msisdn));
    assert!(state.is_finished());
    // An earlier version can also read the state that this version stores.
    assert_eq!(serde_json::to_value(&state).unwrap(), stored());
}
