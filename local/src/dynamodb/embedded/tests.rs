use super::*;

fn database() -> EmbeddedDynamoDb {
    let template = Template::ours().expect("our own template parses");
    EmbeddedDynamoDb::start(None, template, "house").expect("an engine")
}

fn put(database: &EmbeddedDynamoDb, table: &str, item: &Value) {
    let request = json!({ "TableName": table, "Item": item });
    let request = serde_json::from_value(request).expect("a request");
    database.engine.put_item(request).expect("a row");
}

#[test]
fn a_sweep_takes_what_has_expired_by_the_given_clock_alone() {
    let database = database();
    put(
        &database,
        "house-limits",
        &json!({ "pk": { "S": "old" }, "ttl": { "N": "100" } }),
    );
    put(
        &database,
        "house-limits",
        &json!({ "pk": { "S": "new" }, "ttl": { "N": "101" } }),
    );
    put(
        &database,
        "house-limits",
        &json!({ "pk": { "S": "for ever" } }),
    );
    assert_eq!(
        database
            .delete_expired(Timestamp(100_999))
            .expect("a sweep"),
        1
    );
    assert_eq!(database.table("Limits").expect("rows").len(), 2);
    assert_eq!(
        database
            .delete_expired(Timestamp(101_000))
            .expect("a sweep"),
        1
    );
}

#[test]
fn a_dump_holds_every_table() {
    let database = database();
    put(
        &database,
        "house-accounts",
        &json!({ "pk": { "S": "a" }, "sk": { "S": "b" } }),
    );
    let dump = database.dump().expect("a dump");
    assert_eq!(dump["house-accounts"][0]["sk"]["S"], "b");
    assert_eq!(dump["house-uia-sessions"], json!([]));
}

#[test]
#[cfg(target_os = "linux")]
fn the_engine_listens_where_no_guess_finds_it() {
    let addresses: Vec<SocketAddr> = (0..8)
        .map(|_| bind_unguessable(&SystemRng).and_then(|listener| listener.local_addr()))
        .collect::<io::Result<_>>()
        .expect("listeners");
    for (index, place) in addresses.iter().enumerate() {
        assert!(place.ip().is_loopback() && place.port() >= 1024, "{place}");
        assert_ne!(place.ip(), Ipv4Addr::LOCALHOST);
        assert!(
            !addresses[..index]
                .iter()
                .any(|other| other.ip() == place.ip())
        );
    }
}

#[test]
fn the_engine_listens_somewhere_even_if_no_place_of_its_own_is_free() {
    #[derive(Debug)]
    struct Broadcast;
    impl Rng for Broadcast {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(255);
        }
    }
    let listener = bind_unguessable(&Broadcast).expect("a listener");
    let place = listener.local_addr().expect("an address");
    assert_eq!(place.ip(), Ipv4Addr::LOCALHOST);
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let directory = crate::runtime::temp_dir::TempDir::new();
    let start = || {
        let template = Template::ours().expect("our own template parses");
        EmbeddedDynamoDb::start(Some(directory.path()), template, "house").expect("an engine")
    };
    drop(start());
    let database = start();
    let limit = json!({ "pk": { "S": "kept" } });
    put(&database, "house-limits", &limit);
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
fn the_outbox_has_an_index_of_what_is_due_alone() {
    let database = database();
    let row = |id: &str, due: Option<u32>| {
        let mut row = json!({ "pk": { "S": id } });
        if let Some(at) = due {
            row["due"] = json!({ "S": "DUE" });
            row["due_at"] = json!({ "N": at.to_string() });
        }
        put(&database, "house-outbox", &row);
    };
    row("late", Some(30));
    row("early", Some(10));
    row("never", None);
    row("later", Some(50));
    let query = json!({
        "TableName": "house-outbox",
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
