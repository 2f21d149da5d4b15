use std::{convert::Infallible, net::Ipv4Addr};

use lambda_http::service_fn;
use serde_json::json;
use shared::rng::SystemRng;

use super::*;
use crate::runtime::clock::MovableClock;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A gateway that runs `service` for every function.
fn gateway(service: impl Fn() -> Value + Clone + Send + Sync + 'static) -> Gateway {
    let template = Template::ours().expect("our own template parses");
    let function = Function::new(service_fn(move |_: LambdaEvent<LambdaRequest>| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service()) }
    }));
    let functions = template
        .functions
        .keys()
        .map(|id| (id.clone(), function.clone()))
        .collect();
    let clock = Arc::new(MovableClock::frozen(0));
    Gateway::new(template, functions, clock, Arc::new(SystemRng)).expect("a gateway")
}

fn request(method: &str, body: Vec<u8>) -> Request<Bytes> {
    let request = Request::builder()
        .method(method)
        .uri("/_matrix/client/v3/register");
    request.body(Bytes::from(body)).expect("a request")
}

#[tokio::test]
async fn a_panic_of_a_function_is_a_502_with_a_matrix_error() {
    let gateway = gateway(|| panic!("on purpose"));
    let response = gateway.call(request("POST", Vec::new()), PEER).await;
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let body: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(body["errcode"], "M_UNKNOWN");
    assert_eq!(gateway.exchanges()[0].function.as_deref(), Some("Register"));
}

#[tokio::test]
async fn a_body_above_the_limit_is_rejected_by_the_gateway() {
    let gateway = gateway(|| json!({ "statusCode": 200 }));
    assert_eq!(
        gateway
            .call(request("POST", vec![0; LARGEST_BODY]), PEER)
            .await
            .status(),
        200
    );
    let response = gateway
        .call(request("POST", vec![0; LARGEST_BODY + 1]), PEER)
        .await;
    assert_eq!(response.status(), 413);
    let body: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(body["errcode"], "M_TOO_LARGE");
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_function() {
    let gateway = gateway(|| panic!("not to be called"));
    let response = gateway.call(request("OPTIONS", Vec::new()), PEER).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["access-control-allow-methods"],
        "GET, POST, PUT, DELETE, OPTIONS"
    );
}
