use super::*;

fn operation(name: &str, body: Value) -> Operation {
    Operation {
        caller: "Register".to_owned(),
        name: name.to_owned(),
        body: Some(body),
        ..Operation::default()
    }
}

#[test]
fn a_fault_waits_for_its_turn_and_goes_when_it_is_done() {
    let mut plan = FaultPlan::default();
    plan.add(
        Fault::new(FaultKind::ConnectionReset)
            .on("PutItem")
            .by("Register")
            .nth(2)
            .times(2),
    );
    let (put, get) = (
        operation("PutItem", json!({})),
        operation("GetItem", json!({})),
    );
    let seen: Vec<bool> = [&put, &get, &put, &put, &put]
        .map(|call| plan.next(call, true) == FaultAction::ConnectionReset)
        .to_vec();
    assert_eq!(seen, [false, false, true, true, false]);
    assert_eq!(plan.pending(), 0);
}

#[test]
fn a_conflict_happens_only_to_what_can_conflict() {
    let mut plan = FaultPlan::default();
    plan.add(Fault::new(FaultKind::Conflict));
    assert_eq!(
        plan.next(&operation("GetItem", json!({})), true),
        FaultAction::None
    );
    let transaction = operation("TransactWriteItems", json!({ "TransactItems": [{}, {}] }));
    let FaultAction::Answer(status, body) = plan.next(&transaction, true) else {
        panic!("no answer")
    };
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        body["CancellationReasons"][0]["Code"],
        "TransactionConflict"
    );
    assert_eq!(body["CancellationReasons"][1], json!({ "Code": "None" }));
}

#[test]
fn half_a_batch_is_asked_for_and_the_rest_comes_back() {
    let mut plan = FaultPlan::default();
    plan.add(Fault::new(FaultKind::HalfUnprocessed));
    let keys = json!({ "RequestItems": { "t": { "Keys": [1, 2, 3], "ConsistentRead": true } } });
    let FaultAction::Partial {
        request,
        unprocessed,
    } = plan.next(&operation("BatchGetItem", keys), true)
    else {
        panic!("the batch is whole")
    };
    assert_eq!(
        request["RequestItems"]["t"],
        json!({ "Keys": [1], "ConsistentRead": true })
    );
    assert_eq!(
        unprocessed,
        (
            "UnprocessedKeys",
            json!({ "t": { "Keys": [2, 3], "ConsistentRead": true } })
        )
    );
}

#[test]
fn chaos_repeats_itself_with_its_seed_and_spares_what_is_no_function() {
    let draws = |seed, is_function| -> Vec<bool> {
        let mut plan = FaultPlan::default();
        plan.random_faults(seed, 300, &[FaultKind::ConnectionReset]);
        let call = operation("PutItem", json!({}));
        (0..200)
            .map(|_| plan.next(&call, is_function) == FaultAction::ConnectionReset)
            .collect()
    };
    assert_eq!(draws(7, true), draws(7, true));
    assert_ne!(draws(7, true), draws(8, true));
    let hits = draws(7, true).into_iter().filter(|hit| *hit).count();
    assert!((30..=90).contains(&hits), "{hits}");
    assert!(!draws(7, false).contains(&true));
}
