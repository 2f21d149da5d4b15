//! `POST /register`.

use kit::House;

#[tokio::test]
async fn reg_21_a_user_registers_in_one_request() {
    let house = House::new().await;
    let answer = house.sign_up("alice").await;
    assert_eq!(answer["user_id"], "@alice:localhost");
    let token = answer["access_token"].as_str().unwrap();
    let whoami = house
        .get_as(token, "/_matrix/client/v3/account/whoami")
        .await
        .ok();
    assert_eq!(whoami["user_id"], "@alice:localhost");
    assert_eq!(whoami["device_id"], answer["device_id"]);
}
