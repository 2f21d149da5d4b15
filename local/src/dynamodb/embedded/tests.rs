use super::*;

fn database() -> EmbeddedDynamoDb {
    let template = Template::ours().expect("our own template parses");
    EmbeddedDynamoDb::start(None, template, "test").expect("a database")
}

fn put(database: &EmbeddedDynamoDb, table: &str, item: &Value) {
    let request = json!({ "TableName": table, "Item": item });
    let request = serde_json::from_value(request).expect("a request");
    database.engine.put_item(request).expect("a row");
}

#[test]
fn rows_expire_by_the_given_time() {
    let database = database();
    put(
        &database,
        "test-limits",
        &json!({ "pk": { "S": "old" }, "ttl": { "N": "100" } }),
    );
    put(
        &database,
        "test-limits",
        &json!({ "pk": { "S": "new" }, "ttl": { "N": "101" } }),
    );
    put(
        &database,
        "test-limits",
        &json!({ "pk": { "S": "for ever" } }),
    );
    assert_eq!(
        database
            .delete_expired(Timestamp(100_999))
            .expect("a count"),
        1
    );
    assert_eq!(database.table("Limits").expect("rows").len(), 2);
    assert_eq!(
        database
            .delete_expired(Timestamp(101_000))
            .expect("a count"),
        1
    );
}

#[test]
fn a_dump_contains_every_table() {
    let database = database();
    put(
        &database,
        "test-accounts",
        &json!({ "pk": { "S": "a" }, "sk": { "S": "b" } }),
    );
    let dump = database.dump().expect("a dump");
    assert_eq!(dump["test-accounts"][0]["sk"]["S"], "b");
    assert_eq!(dump["test-uia-sessions"], json!([]));
}

#[test]
#[cfg(target_os = "linux")]
fn the_database_listens_at_a_random_loopback_address() {
    let addresses: Vec<SocketAddr> = (0..8)
        .map(|_| bind_unguessable(&SystemRng).and_then(|listener| listener.local_addr()))
        .collect::<io::Result<_>>()
        .expect("listeners");
    for (index, address) in addresses.iter().enumerate() {
        assert!(
            address.ip().is_loopback() && address.port() >= 1024,
            "{address}"
        );
        assert_ne!(address.ip(), Ipv4Addr::LOCALHOST);
        let earlier = &addresses[..index];
        assert!(!earlier.iter().any(|other| other.ip() == address.ip()));
    }
}

#[test]
fn the_database_listens_even_if_no_random_address_is_free() {
    #[derive(Debug)]
    struct Broadcast;
    impl Rng for Broadcast {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(255);
        }
    }
    let listener = bind_unguessable(&Broadcast).expect("a listener");
    let address = listener.local_addr().expect("an address");
    assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
}

#[test]
fn only_the_owner_can_read_the_database_files() {
    use std::os::unix::fs::PermissionsExt;

    let directory = crate::runtime::temp_dir::TempDir::new();
    let start = || {
        let template = Template::ours().expect("our own template parses");
        EmbeddedDynamoDb::start(Some(directory.path()), template, "test").expect("a database")
    };
    drop(start());
    let database = start();
    let limit = json!({ "pk": { "S": "kept" } });
    put(&database, "test-limits", &limit);
    let files: Vec<_> = fs::read_dir(directory.path())
        .expect("a directory")
        .collect::<io::Result<_>>()
        .expect("its entries");
    assert!(files.len() > 1, "{files:?}");
    for file in files {
        let mode = file.metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn the_index_of_the_outbox_has_only_due_rows() {
    let database = database();
    let row = |id: &str, due: Option<u32>| {
        let mut row = json!({ "pk": { "S": id } });
        if let Some(at) = due {
            row["due"] = json!({ "S": "DUE" });
            row["due_at"] = json!({ "N": at.to_string() });
        }
        put(&database, "test-outbox", &row);
    };
    row("late", Some(30));
    row("early", Some(10));
    row("never", None);
    row("later", Some(50));
    let query = json!({
        "TableName": "test-outbox",
        "IndexName": "due",
        "KeyConditionExpression": "due = :due AND due_at <= :now",
        "ExpressionAttributeValues": { ":due": { "S": "DUE" }, ":now": { "N": "30" } },
    });
    let query = serde_json::from_value(query).expect("a request");
    let answer = database.engine.query(query).expect("rows");
    let answer = serde_json::to_value(answer).expect("JSON");
    let rows = answer["Items"].as_array().expect("rows");
    let ids: Vec<_> = rows.iter().map(|row| &row["pk"]["S"]).collect();
    assert_eq!(ids, ["early", "late"]);
}
