use std::io::{Read, Write};

use shared::clock::{Clock, SystemClock};

use super::*;
use crate::Options;

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const HOST: (&str, &str) = ("host", "127.0.0.1:8008");

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn is_admitted(peer: &str, headers: &[(&str, &str)]) -> bool {
    let own = IpAddr::from([192, 0, 2, 1]);
    let peer = peer.parse().expect("an address");
    let admitted = |path| check_access(&head("GET", path, headers), peer, own).is_ok();
    let [first, second, third] = ["/_local/", "/_local/outbox", "/_local/env"].map(admitted);
    assert!(first == second && second == third, "{headers:?}");
    first
}

#[test]
fn every_route_needs_a_client_on_this_machine() {
    for peer in ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1"] {
        assert!(is_admitted(peer, &[HOST]), "{peer}");
    }
    for peer in ["192.0.2.1", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"] {
        assert!(!is_admitted(peer, &[HOST]), "{peer}");
    }
}

#[test]
fn the_host_header_must_name_this_machine() {
    for host in [
        "localhost",
        "127.0.0.1:8008",
        "[::1]:8008",
        "192.0.2.1:8008",
    ] {
        assert!(is_admitted("127.0.0.1", &[("host", host)]), "{host}");
    }
    for host in ["rebound.example:8008", "192.0.2.2", "me@localhost", ""] {
        assert!(!is_admitted("127.0.0.1", &[("host", host)]), "{host}");
    }
    assert!(!is_admitted("127.0.0.1", &[]));
    assert!(!is_admitted("127.0.0.1", &[HOST, HOST]));
}

#[test]
fn web_pages_of_other_sites_are_rejected() {
    let with = |name, value| is_admitted("127.0.0.1", &[HOST, (name, value)]);
    assert!(with("origin", "http://127.0.0.1:8008"));
    for origin in [
        "null",
        "http://localhost:8008",
        "http://127.0.0.1:9000",
        "http://127.0.0.1",
        "https://127.0.0.1:8008",
        "https://elsewhere.example",
        "",
    ] {
        assert!(!with("origin", origin), "{origin}");
    }
    for site in ["none", "same-origin"] {
        assert!(with("sec-fetch-site", site), "{site}");
    }
    for site in ["same-site", "cross-site", "", "else"] {
        assert!(!with("sec-fetch-site", site), "{site}");
    }
}

#[test]
fn a_target_with_another_host_is_rejected() {
    let admitted = |target| check_access(&head("GET", target, &[HOST]), LOOPBACK, LOOPBACK).is_ok();
    assert!(admitted("http://127.0.0.1:8008/_local/env"));
    assert!(!admitted("http://rebound.example:8008/_local/env"));
    assert!(!admitted("http://localhost:8008/_local/env"));
}

#[test]
fn the_clock_accepts_only_json() {
    let admitted = |kinds: &[&str]| {
        let mut headers = vec![HOST];
        headers.extend(kinds.iter().map(|kind| ("content-type", *kind)));
        check_access(&head("POST", "/_local/clock", &headers), LOOPBACK, LOOPBACK).is_ok()
    };
    assert!(admitted(&["application/json"]));
    assert!(admitted(&["Application/JSON; charset=utf-8"]));
    for kinds in [
        &[] as &[&str],
        &["text/plain"],
        &["text/plain; application/json"],
        &["application/jsonp"],
        &["application/x-www-form-urlencoded"],
        &["application/json", "text/plain"],
    ] {
        assert!(!admitted(kinds), "{kinds:?}");
    }
}

async fn start_server() -> (Arc<Local>, std::net::SocketAddr) {
    let local = Arc::new(Local::start(Options::default()).expect("the server starts"));
    let listener = tokio::net::TcpListener::bind((LOOPBACK, 0)).await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = Arc::clone(&local);
    tokio::spawn(crate::runtime::server::serve(
        served,
        listener,
        std::future::pending(),
    ));
    (local, address)
}

/// Sends a request and returns status line, headers and body as text.
async fn send(address: std::net::SocketAddr, request: String) -> String {
    let exchange = move || {
        let mut stream = std::net::TcpStream::connect(address).expect("a connection");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("a response");
        answer
    };
    tokio::task::spawn_blocking(exchange)
        .await
        .expect("no panic")
}

async fn get(address: std::net::SocketAddr, target: &str, headers: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    send(address, request).await
}

async fn post_clock(address: std::net::SocketAddr, body: &str) -> String {
    let request = format!(
        "POST /_local/clock HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    send(address, request).await
}

#[tokio::test]
async fn rejections_are_matrix_errors_without_cors_headers() {
    let (_local, address) = start_server().await;
    let own = format!("host: {address}\r\n");
    for (target, headers) in [
        ("/_local/env", "host: rebound.example\r\n".to_owned()),
        ("/_local/env", format!("{own}{own}")),
        ("/_local/env", format!("{own}origin: null\r\n")),
        ("/_local/", format!("{own}sec-fetch-site: same-site\r\n")),
        ("http://rebound.example/_local/env", own.clone()),
    ] {
        let answer = get(address, target, &headers).await.to_lowercase();
        assert!(answer.starts_with("http/1.1 403 "), "{target}: {answer}");
        assert!(answer.contains("\"m_forbidden\""), "{target}: {answer}");
        assert!(!answer.contains("access-control-"), "{target}: {answer}");
        assert!(!answer.contains("gatehouse_secret"), "{target}: {answer}");
    }
    let answer = get(address, &format!("http://{address}/_local/env"), &own).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("export GATEHOUSE_SECRET="), "{answer}");
}

#[tokio::test]
async fn the_clock_rejects_invalid_and_too_large_steps() {
    let (local, address) = start_server().await;
    for body in [
        "{\"advance_seconds\":-1}",
        "{\"advance_seconds\":1.5}",
        "{\"advance_seconds\":\"1\"}",
        "{\"advance_seconds\":18446744073709551616}",
        "{\"advance_seconds\":18446744073709551615}",
        "{\"advance_seconds\":9223372036854775}",
        "{\"advance_seconds\":3155760001}",
        "{}",
        "",
    ] {
        let answer = post_clock(address, body).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
        assert!(answer.contains("\"M_INVALID_PARAM\""), "{body}: {answer}");
    }
    let moved = local.clock().now().since(SystemClock.now());
    assert!(moved < Duration::from_mins(1), "{moved:?}");
    let answer = post_clock(address, "{\"advance_seconds\":3600}").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let moved = local.clock().now().since(SystemClock.now());
    assert!(moved > Duration::from_secs(3500), "{moved:?}");
}
