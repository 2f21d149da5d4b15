//! AWS set-ups in which no call can succeed: nothing is there, nothing answers, or another server answers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use serde_json::json;

use crate::{SECRET, command, stderr, stdout};

/// The program with credentials for a server at this endpoint.
fn command_at(endpoint: &str) -> Command {
    command(&[
        SECRET,
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "admin"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ])
}

/// A server that answers every request with this text, or never.
fn other_server(answer: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            if let Some(answer) = &answer {
                read_request(&mut stream);
                let _ = stream.write_all(answer.as_bytes());
            } else {
                open.push(stream);
            }
        }
    });
    format!("http://{address}")
}

fn read_request(stream: &mut impl Read) {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let _ = reader.read_exact(&mut vec![0; length]);
}

fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[test]
fn what_every_call_needs_is_reported_once() {
    let region = ("AWS_REGION", "eu-central-1");
    let credentials = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")];
    for (variables, expected) in [
        (vec![SECRET], &["no region", "no AWS credentials"][..]),
        (vec![SECRET, region], &["no AWS credentials"]),
        (vec![SECRET, credentials[0], credentials[1]], &["no region"]),
        (
            vec![
                SECRET,
                region,
                credentials[0],
                credentials[1],
                ("AWS_ENDPOINT_URL", "not-a-url"),
            ],
            &["AWS_ENDPOINT_URL: `not-a-url`"],
        ),
        (
            vec![
                SECRET,
                region,
                credentials[0],
                credentials[1],
                ("AWS_ENDPOINT_URL_DYNAMODB", "localhost:8000"),
            ],
            &["AWS_ENDPOINT_URL_DYNAMODB: `localhost:8000`"],
        ),
    ] {
        for arguments in [&["doctor"][..], &["users", "show", "alice"]] {
            let output = command(&variables).args(arguments).output().unwrap();
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert_eq!(text.lines().count(), expected.len(), "{text}");
            for part in expected {
                assert_eq!(text.matches(part).count(), 1, "{text}");
            }
        }
    }
}

/// The time limit of a call is 8 seconds.
#[test]
fn a_silent_endpoint_is_reported_once_after_a_time_limit() {
    let endpoint = other_server(None);
    let mut child = command_at(&endpoint)
        .arg("doctor")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The result of the first check is there before DynamoDB has answered.
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("settings"), "{first}");
    assert!(child.try_wait().unwrap().is_none());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let rest = rest.join("\n");
    assert_eq!(rest.matches("does not respond").count(), 1, "{rest}");
    assert!(
        rest.contains("AWS_ENDPOINT_URL") && rest.contains(&endpoint),
        "{rest}"
    );
}

#[test]
fn another_web_server_at_the_endpoint_is_named() {
    let page = response(
        "404 Not Found",
        "server: nginx\r\ncontent-type: text/html\r\n",
        "<h1>Not Found</h1>",
    );
    let welcome = response("200 OK", "content-type: text/html\r\n", "<h1>Welcome</h1>");
    for (answer, status) in [(page, "404"), (welcome, "200")] {
        let endpoint = other_server(Some(answer));
        let doctor = command_at(&endpoint).arg("doctor").output().unwrap();
        let show = command_at(&endpoint)
            .args(["users", "show", "alice"])
            .output()
            .unwrap();
        for (output, text) in [(&doctor, stdout(&doctor)), (&show, stderr(&show))] {
            assert_eq!(output.status.code(), Some(1), "{text}");
            for part in [status, "text/html", "AWS_ENDPOINT_URL", &endpoint] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(!text.contains("unknown:"), "{text}");
        }
    }
    // Nothing listens here any more.
    let endpoint = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let doctor = command_at(&endpoint).arg("doctor").output().unwrap();
    let text = stdout(&doctor);
    assert!(
        text.contains("refused") && text.contains("AWS_ENDPOINT_URL"),
        "{text}"
    );
}

#[test]
fn a_missing_permission_is_named() {
    let body =
        json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "Message": "no" });
    let denied = response(
        "400 Bad Request",
        "content-type: application/x-amz-json-1.0\r\n",
        &body.to_string(),
    );
    let endpoint = other_server(Some(denied));
    for (arguments, action) in [
        (&["users", "export", "alice"][..], "dynamodb:Query"),
        (&["users", "lock", "alice"], "dynamodb:BatchGetItem"),
        (&["registration-tokens", "create"], "dynamodb:PutItem"),
        (&["doctor"], "dynamodb:DescribeTable"),
    ] {
        let output = command_at(&endpoint).args(arguments).output().unwrap();
        let text = stdout(&output) + &stderr(&output);
        assert!(text.contains(action), "{arguments:?}: {text}");
    }
}
