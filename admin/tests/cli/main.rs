//! The program itself: exit codes, stdout and stderr, signals. `aws` has AWS set-ups in which no call can succeed,
//! `synapse` the import from Synapse.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod aws;
mod synapse;

use std::{
    fs::File,
    io::Write,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use gatehouse_local::{
    Local, Options,
    dynamodb::proxy::{Fault, FaultKind},
};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_gatehouse-admin");
const SECRET: (&str, &str) = ("GATEHOUSE_SECRET", "0123456789abcdef0123456789abcdef");

/// The program with these variables and no others.
fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command
}

/// A local server, and the variables that it prints for the admin CLI.
struct Server {
    local: Local,
    variables: Vec<(String, String)>,
}

impl Server {
    fn start() -> Self {
        let local = Local::start(Options::default()).unwrap();
        let lines = local.env_lines();
        let variables = lines.lines().map(|line| {
            let (name, value) = line
                .strip_prefix("export ")
                .unwrap()
                .split_once('=')
                .unwrap();
            (name.to_owned(), value.trim_matches('\'').to_owned())
        });
        Self {
            variables: variables.collect(),
            local,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&[]);
        command
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .args(arguments);
        command
    }

    /// The JSON that a successful command prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).arg("--json").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_cannot_be_written_is_an_error() {
    let server = Server::start();
    server.json(&["registration-tokens", "create", "--label", "kept"]);
    for arguments in [
        &["registration-tokens", "create"][..],
        &["registration-tokens", "create", "--json"],
        &["registration-tokens", "list"],
        &["appservices", "list"],
        &["doctor"],
        &["doctor", "--json"],
        &["--help"],
        &["--version"],
        &["users", "--help"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        for stdout in [Stdio::from(full), Stdio::from(closed)] {
            let output = server.command(arguments).stdout(stdout).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            let error = stderr(&output);
            assert!(
                error.contains("could not be written"),
                "{arguments:?}: {error}"
            );
            if arguments.contains(&"create") {
                assert!(error.contains("revoked"), "{error}");
            }
        }
    }
    let tokens = server.json(&["registration-tokens", "list"]);
    let labels: Vec<_> = tokens
        .as_array()
        .unwrap()
        .iter()
        .map(|token| &token["label"])
        .collect();
    assert_eq!(labels, ["kept"]);
}

#[test]
fn a_wrong_command_line_has_exit_code_1_and_json_if_requested() {
    for arguments in [
        &[][..],
        &["users"],
        &["users", "show"],
        &["users", "display", "alice"],
        &["registration-tokens", "create", "--uses", "0"],
        &[
            "registration-tokens",
            "create",
            "--expires-in",
            "99999999999d",
        ],
        &["registration-tokens", "create", "--expires-in", "0d"],
        &["users", "import", "users.csv", "--format", "xml"],
    ] {
        let output = command(&[]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let text = stderr(&output);
        assert!(text.contains("Usage") || text.contains("--help"), "{text}");
        let output = command(&[]).arg("--json").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
        assert!(error["error"].is_string(), "{error}");
    }
    let output = command(&[])
        .args([
            "registration-tokens",
            "create",
            "--expires-in",
            "99999999999d",
        ])
        .output()
        .unwrap();
    assert!(stderr(&output).contains("36500d"), "{}", stderr(&output));
    // Other errors have the same form.
    let output = command(&[])
        .args(["users", "show", "alice", "--json"])
        .output()
        .unwrap();
    let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(
        (output.status.code(), error["error"].is_string()),
        (Some(1), true)
    );
    let help = command(&[]).arg("--help").output().unwrap();
    assert_eq!(
        (help.status.code(), help.stdout.is_empty()),
        (Some(0), false)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_imported_from_standard_input() {
    let server = Server::start();
    let import = |arguments: &[&str], text: &'static str| {
        let mut child = server
            .command(&[&["users", "import", "-"], arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // The program may end before it reads.
        let _ = stdin.write_all(text.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    };
    let output = import(&["--format", "csv"], "localpart\nalice\n-bob\n");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("2 new"), "{}", stdout(&output));
    let output = import(&["--format", "jsonl"], "{\"localpart\":\"carol\"}\n");
    assert!(output.status.success(), "{}", stderr(&output));
    let output = import(&[], "localpart\nalice\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--format"), "{}", stderr(&output));
    // A name may begin with a hyphen, and a user ID of this server names its user.
    for name in ["-bob", "@carol:localhost"] {
        let shown = server.json(&["users", "show", name]);
        assert_eq!(shown["status"], "active");
    }
}

/// Ends the import of many users in the middle, as Ctrl-C does.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_stopped_can_be_continued() {
    const USERS: usize = 200;
    let server = Arc::new(Server::start());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.csv");
    let names = (0..USERS).map(|number| format!("user{number}\n"));
    std::fs::write(&file, format!("localpart\n{}", names.collect::<String>())).unwrap();
    let arguments = ["users", "import", file.to_str().unwrap()];
    let delay = FaultKind::Delay(Duration::from_millis(100));
    let fault = Fault::new(delay).on("TransactWriteItems");
    server.local.proxy().inject(fault.times(u64::MAX));
    let child = server
        .command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child: Child = child.unwrap();
    let rows = || server.local.dynamodb().table("Accounts").unwrap().len();
    while rows() == 0 {
        thread::yield_now();
    }
    let signal = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(signal.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let (text, written) = (stderr(&output), rows());
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!((1..USERS).contains(&written), "{written}");
    let count = format!("{written} new users were written");
    assert!(
        text.contains(&count) && text.contains("same command again"),
        "{text}"
    );
    server.local.proxy().clear_faults();
    let report = server.json(&arguments);
    assert_eq!(report["imported_before"], written);
    assert_eq!(rows(), USERS);
}
