use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::*;
use crate::{dynamodb::embedded::EmbeddedDynamoDb, template::Template};

/// Lists the tables with these headers, and returns the response as text.
async fn list_tables(address: SocketAddr, headers: String) -> String {
    let exchange = move || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        write!(
            stream,
            "POST / HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: 2\r\n\
             content-type: application/x-amz-json-1.0\r\nx-amz-target: DynamoDB_20120810.ListTables\r\n\
             x-amz-date: 20270115T080000Z\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=admin/20270115/local/dynamodb/aws4_request, \
             SignedHeaders=host, Signature=0\r\n\r\n{{}}"
        )
        .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("a response");
        answer.to_lowercase()
    };
    tokio::task::spawn_blocking(exchange)
        .await
        .expect("no panic")
}

#[tokio::test]
async fn requests_of_web_pages_are_rejected() {
    let template = Template::ours().expect("our own template parses");
    let database =
        EmbeddedDynamoDb::start(None, Arc::clone(&template), "test").expect("a database");
    let iam = Arc::new(IamChecker::new(template, true));
    let proxy = DynamoDbProxy::open(database.address(), None, "test", iam).expect("a proxy");
    let own = format!("host: {}\r\n", proxy.address());
    for headers in [
        own.clone(),
        "host: localhost:1\r\n".to_owned(),
        "host: [::1]\r\n".to_owned(),
    ] {
        let answer = list_tables(proxy.address(), headers).await;
        assert!(answer.starts_with("http/1.1 200 "), "{answer}");
        assert!(answer.contains("test-accounts"), "{answer}");
        assert!(!answer.contains("access-control-"), "{answer}");
    }
    assert_eq!(proxy.take_calls().len(), 3);
    for headers in [
        String::new(),
        "host: rebound.example:8000\r\n".to_owned(),
        "host: 192.0.2.1\r\n".to_owned(),
        format!("{own}{own}"),
        format!("{own}origin: https://elsewhere.example\r\n"),
        format!("{own}origin: null\r\n"),
        format!("{own}origin: http://{}\r\n", proxy.address()),
    ] {
        let answer = list_tables(proxy.address(), headers.clone()).await;
        assert!(answer.starts_with("http/1.1 403 "), "{headers}: {answer}");
        assert!(!answer.contains("access-control-"), "{headers}: {answer}");
        assert!(!answer.contains("test-"), "{headers}: {answer}");
    }
    assert_eq!(proxy.calls().len(), 0);
}
