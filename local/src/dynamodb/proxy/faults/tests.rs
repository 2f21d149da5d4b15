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
fn a_fault_is_injected_into_the_calls_it_names() {
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
fn a_conflict_applies_only_to_operations_that_can_have_it() {
    let mut plan = FaultPlan::default();
    plan.add(Fault::new(FaultKind::Conflict));
    assert_eq!(
        plan.next(&operation("GetItem", json!({})), true),
        FaultAction::None
    );
    let transaction = operation("TransactWriteItems", json!({ "TransactItems": [{}, {}] }));
    let FaultAction::Answer(status, body) = plan.next(&transaction, true) else {
        panic!("the call is forwarded")
    };
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        body["CancellationReasons"][0]["Code"],
        "TransactionConflict"
    );
    assert_eq!(body["CancellationReasons"][1], json!({ "Code": "None" }));
}

#[test]
fn half_a_batch_is_forwarded_and_the_rest_is_unprocessed() {
    let mut plan = FaultPlan::default();
    plan.add(Fault::new(FaultKind::HalfUnprocessed));
    let keys = json!({ "RequestItems": { "t": { "Keys": [1, 2, 3], "ConsistentRead": true } } });
    let FaultAction::Partial {
        request,
        unprocessed,
    } = plan.next(&operation("BatchGetItem", keys), true)
    else {
        panic!("the whole batch is forwarded")
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
fn random_faults_repeat_with_their_seed_for_functions_only() {
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
