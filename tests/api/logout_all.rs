//! `POST /logout/all`.

use kit::{House, PASSWORD, PREFIXES};
use serde_json::json;

use super::logout::{leave, whoami};

#[tokio::test]
async fn out_02_every_token_of_the_user_ends_in_one_transaction() {
    for prefix in PREFIXES {
        let house = House::new().await;
        let (first, bob) = (house.sign_up("alice").await, house.sign_up("bob").await);
        let body = json!({ "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "alice" }, "password": PASSWORD });
        let second = house.post(&format!("{prefix}/login"), &body).await.ok();
        let path = format!("{prefix}/logout/all");
        let (reply, calls) = house.calls_of(leave(&house, &path, &second)).await;
        assert_eq!(reply.ok(), json!({}));
        let operations: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
        assert_eq!(operations, ["BatchGetItem", "TransactWriteItems"]);
        for dead in [&first, &second] {
            whoami(&house, dead).await.error(401, "M_UNKNOWN_TOKEN");
        }
        whoami(&house, &bob).await.ok();
        let third = house.post(&format!("{prefix}/login"), &body).await.ok();
        whoami(&house, &third).await.ok();
    }
}
