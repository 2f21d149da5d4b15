//! Faults during the registration of a client.

use gatehouse_local::dynamodb::proxy::Fault;
use serde_json::json;
use test_support::TestServer;

use crate::{
    api::{
        oauth2_registration::{clients, register, registered, web_client},
        support::{text, with},
    },
    flows::{
        faults::{FAULT_KINDS, Run, assert_expected_failure, calls_by, fault_at_every_call},
        support::oauth_pages::OAUTH,
    },
};

const FUNCTION: &str = "Oauth2Registration";

/// Registers another client in each run, and repeats a failed request.
async fn run(server: &TestServer, number: usize, fault: Option<Fault>) -> Run {
    let name = json!({ "client_name": format!("App {number}") });
    let metadata = with(web_client(), &name);
    let proxy = server.local.proxy();
    proxy.take_calls();
    if let Some(fault) = &fault {
        proxy.inject(fault.clone());
    }
    let mut tries = 0;
    let reply = loop {
        let reply = register(server, &metadata).await;
        if reply.status == 201 {
            break reply;
        }
        assert_expected_failure(fault.as_ref(), reply.status.as_u16());
        tries += 1;
        assert!(tries < 20, "no final response");
    };
    let injected = proxy.pending_faults() == 0;
    let calls = calls_by(FUNCTION, proxy.take_calls());
    proxy.clear_faults();
    let id = format!("CLIENT#{}", text(&registered(&reply), "client_id"));
    let rows = clients(server);
    let own = rows.iter().filter(|row| row["pk"]["S"] == id.as_str());
    assert_eq!((own.count(), rows.len()), (1, number), "{fault:?}");
    Run { calls, injected }
}

/// OA-25: in the end each client has one row, whatever fails, once or until the retries of the SDK are over.
#[tokio::test]
async fn oa_25_a_fault_leaves_one_row_of_each_client() {
    for times in [1, 4] {
        let server = TestServer::with(&[OAUTH]).await;
        server.expect_faults();
        let summary = fault_at_every_call(FUNCTION, &FAULT_KINDS, times, async |number, fault| {
            run(&server, number, fault).await
        })
        .await;
        let calls: Vec<_> = summary.calls.iter().map(|call| call.0.as_str()).collect();
        assert_eq!(calls, ["GetItem", "PutItem"]);
        assert!(summary.injected > summary.runs / 3, "{}", summary.injected);
    }
}
