//! `import synapse`: output, report file, exit codes, and signals.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use gatehouse_local::dynamodb::proxy::{Fault, FaultKind};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Server, stderr, stdout};

const TABLES: &str = include_str!("../../../tests/fixtures/synapse.sql");

/// A database of Synapse with users and one guest, in a directory that is the working directory of the command.
struct Synapse {
    directory: TempDir,
}

impl Synapse {
    fn new(users: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut database = Connection::open(directory.path().join("homeserver.db")).unwrap();
        database.execute_batch(TABLES).unwrap();
        let transaction = database.transaction().unwrap();
        let insert =
            "INSERT INTO users (name, creation_ts, is_guest, password_hash) VALUES (?1, 1, ?2, ?3)";
        let hash = "$2b$04$.LsJnLhDQre2rTGMNnvhNuE0kjlX02e0N7ugdlnyx3724o6u2BURa";
        for number in 0..users {
            let name = format!("@user{number}:localhost");
            transaction.execute(insert, (name, 0, hash)).unwrap();
        }
        let guest = ("@7:localhost", 1, hash);
        transaction.execute(insert, guest).unwrap();
        transaction.commit().unwrap();
        let config =
            "server_name: localhost\ndatabase: {name: sqlite3, args: {database: homeserver.db}}\n";
        fs::write(directory.path().join("homeserver.yaml"), config).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn import(&self, server: &Server, more: &[&str]) -> Command {
        let own = [
            "import",
            "synapse",
            "--homeserver-config",
            "homeserver.yaml",
        ];
        let mut command = server.command(&[&own, more].concat());
        command.current_dir(self.directory.path());
        command
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_a_file_or_the_output_of_a_dry_run() {
    let server = Server::start();
    let synapse = Synapse::new(2);
    let report = synapse.path("synapse-import.csv");
    let output = synapse.import(&server, &["--dry-run"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for line in [
        "@7:localhost  guest: guests are not imported",
        "dry run, nothing was written: 2 of 3 users would be imported, 0 imported before, 1 not imported",
        "        1  guest: guests are not imported, because their sessions end",
    ] {
        assert!(text.lines().any(|own| own == line), "{text}");
    }
    assert!(!fs::exists(&report).unwrap());
    assert!(
        server
            .local
            .dynamodb()
            .table("Accounts")
            .unwrap()
            .is_empty()
    );

    // A longer report of an earlier run is replaced.
    fs::write(&report, "x".repeat(10_000)).unwrap();
    let output = synapse.import(&server, &[]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("import finished: 2 of 3 users imported"),
        "{text}"
    );
    assert!(
        text.contains("the report is in synapse-import.csv"),
        "{text}"
    );
    let csv =
        "user,account,finding,detail\n@7:localhost,not imported,guest,guests are not imported\n";
    assert_eq!(fs::read_to_string(&report).unwrap(), csv);

    let other = synapse.path("other.csv");
    let named = ["--report", other.to_str().unwrap(), "--json"];
    let output = synapse.import(&server, &named).output().unwrap();
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (json["new"].as_u64(), json["imported_before"].as_u64()),
        (Some(0), Some(2))
    );
    assert_eq!(fs::read_to_string(&other).unwrap(), csv);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_cannot_be_complete_fails() {
    let server = Server::start();
    let synapse = Synapse::new(1);
    let output = server
        .command(&["import", "synapse", "--dry-run"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("--homeserver-config"),
        "{}",
        stderr(&output)
    );
    // Nothing is written if the report cannot be.
    let nowhere = ["--report", "/nonexistent/report.csv"];
    let output = synapse.import(&server, &nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nonexistent/report.csv"));
    assert!(
        server
            .local
            .dynamodb()
            .table("Accounts")
            .unwrap()
            .is_empty()
    );
    // A user whose name is taken is reported, and the command fails.
    let users = Path::new("users.csv");
    fs::write(synapse.path("users.csv"), "localpart\nuser0\n").unwrap();
    let mut import = server.command(&["users", "import", users.to_str().unwrap()]);
    import.current_dir(synapse.directory.path());
    assert!(import.output().unwrap().status.success());
    let output = synapse.import(&server, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("changed: "), "{}", stdout(&output));
}

/// Ends the import of many users in the middle, by Ctrl-C and by `kill -9`.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_can_be_continued() {
    const USERS: usize = 150;
    for signal in ["-INT", "-KILL"] {
        let server = Arc::new(Server::start());
        let synapse = Synapse::new(USERS);
        let delay = FaultKind::Delay(Duration::from_millis(100));
        let fault = Fault::new(delay).on("TransactWriteItems");
        server.local.proxy().inject(fault.times(u64::MAX));
        let mut child = synapse.import(&server, &[]);
        let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap();
        let accounts = || {
            let rows = server.local.dynamodb().table("Accounts").unwrap();
            rows.iter().filter(|row| row["sk"]["S"] == "A").count()
        };
        while accounts() == 0 {
            thread::yield_now();
        }
        let kill = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success());
        if signal == "-INT" {
            let text = stderr(&output);
            assert!(text.contains("same command again"), "{text}");
        }
        server.local.proxy().clear_faults();
        let output = synapse.import(&server, &["--json"]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let report: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        let number = |name: &str| usize::try_from(report[name].as_u64().unwrap()).unwrap();
        assert!((1..USERS).contains(&number("imported_before")), "{report}");
        assert_eq!(number("new") + number("imported_before"), USERS);
        assert_eq!(accounts(), USERS);
    }
}
