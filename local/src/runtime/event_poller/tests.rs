use std::sync::Mutex as StdMutex;

use super::*;
use crate::runtime::services::{ExternalEndpoints, ListenAddresses};

/// A worker that records its events.
#[derive(Debug, Default)]
struct RecordingWorker(Arc<StdMutex<Vec<Value>>>);

impl RecordingWorker {
    fn events(&self) -> Vec<Value> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

/// A worker that takes a fixed time for each event.
#[derive(Debug)]
struct SlowWorker {
    began: tokio::sync::mpsc::UnboundedSender<()>,
    ended: RecordingWorker,
    takes: Duration,
}

impl Worker for SlowWorker {
    async fn handle(&self, event: Value) {
        self.began.send(()).expect("the test waits");
        tokio::time::sleep(self.takes).await;
        self.ended.handle(event).await;
    }
}

impl Worker for RecordingWorker {
    async fn handle(&self, event: Value) {
        tokio::task::yield_now().await;
        self.0.lock().expect("no panic").push(event);
    }
}

struct Fixture {
    services: Services,
    event_poller: Arc<EventPoller<RecordingWorker>>,
    seen: RecordingWorker,
}

fn fixture(data: Option<&std::path::Path>) -> Fixture {
    let clock = Arc::new(MovableClock::frozen(1_800_000_000_000));
    let services = Services::start(
        data,
        "test",
        Arc::clone(&clock),
        ListenAddresses::default(),
        true,
        ExternalEndpoints::default(),
    )
    .expect("services");
    let stream = services.dynamodb().stream("Outbox").expect("a stream");
    let seen = RecordingWorker::default();
    let worker = RecordingWorker(Arc::clone(&seen.0));
    Fixture {
        services,
        event_poller: Arc::new(EventPoller::with_worker(worker, stream, 10, clock)),
        seen,
    }
}

impl Fixture {
    /// Calls an operation through the DynamoDB proxy, as a function would.
    async fn call(&self, operation: &str, body: Value) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = self.services.proxy().address();
        let body = body.to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\
             content-type: application/x-amz-json-1.0\r\nx-amz-target: DynamoDB_20120810.{operation}\r\n\
             x-amz-date: 20270115T080000Z\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=admin/20270115/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n{body}",
            body.len()
        );
        let stream = tokio::net::TcpStream::connect(address).await;
        let mut stream = stream.expect("a connection");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("a response");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    async fn put(&self, id: &str) {
        let item = json!({ "pk": { "S": id }, "due": { "S": "DUE" }, "due_at": { "N": "1" }, "text": { "S": "secret" } });
        self.call(
            "PutItem",
            json!({ "TableName": "test-outbox", "Item": item }),
        )
        .await;
    }

    async fn remove(&self, id: &str) {
        let key = json!({ "pk": { "S": id } });
        self.call(
            "DeleteItem",
            json!({ "TableName": "test-outbox", "Key": key }),
        )
        .await;
    }

    /// The keys of the rows in each event since the last call.
    fn keys(&self) -> Vec<Vec<String>> {
        let key = |record: &Value| {
            record["dynamodb"]["Keys"]["pk"]["S"]
                .as_str()
                .map(str::to_owned)
        };
        self.seen
            .events()
            .iter()
            .map(|event| {
                let records = event["Records"].as_array().expect("records");
                records
                    .iter()
                    .map(|record| key(record).expect("a key"))
                    .collect()
            })
            .collect()
    }
}

#[tokio::test]
async fn a_new_row_makes_one_event_with_its_key_alone() {
    let fixture = fixture(None);
    fixture.put("a").await;
    assert_eq!(fixture.event_poller.deliver().await.expect("records"), 1);
    let events = fixture.seen.events();
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    let record = &event["Records"][0];
    assert_eq!(record["eventName"], "INSERT");
    assert_eq!(record["eventSource"], "aws:dynamodb");
    assert_eq!(record["awsRegion"], REGION);
    assert_eq!(record["dynamodb"]["Keys"], json!({ "pk": { "S": "a" } }));
    assert_eq!(record["dynamodb"]["StreamViewType"], "KEYS_ONLY");
    let source = record["eventSourceARN"].as_str().expect("an ARN");
    assert!(
        source.starts_with("arn:aws:dynamodb:us-east-1:123456789012:table/test-outbox/stream/"),
        "{source}"
    );
    assert!(record["eventID"].is_string() && record["dynamodb"]["SequenceNumber"].is_string());
    assert!(!event.to_string().contains("secret"), "{event}");
    assert_eq!(fixture.event_poller.deliver().await.expect("none"), 0);
    assert_eq!(fixture.keys().len(), 0);
}

#[tokio::test]
async fn changed_and_deleted_rows_make_no_event() {
    let fixture = fixture(None);
    fixture.put("a").await;
    fixture.put("a").await;
    let update = json!({
        "TableName": "test-outbox",
        "Key": { "pk": { "S": "a" } },
        "UpdateExpression": "REMOVE due",
    });
    fixture.call("UpdateItem", update).await;
    fixture.remove("a").await;
    assert_eq!(fixture.event_poller.deliver().await.expect("records"), 1);
    fixture.put("b").await;
    fixture.remove("b").await;
    fixture.put("b").await;
    assert_eq!(fixture.event_poller.deliver().await.expect("records"), 2);
    assert_eq!(
        fixture.keys(),
        [vec!["a".to_owned()], vec!["b".to_owned(); 2]]
    );
}

#[tokio::test]
async fn many_rows_come_in_order_in_batches_and_none_is_lost() {
    let fixture = fixture(None);
    let all: Vec<String> = (0..45).map(|index| format!("{index:03}")).collect();
    for id in &all {
        fixture.put(id).await;
    }
    // Concurrent calls share the rows, because a shard has one reader.
    let (one, other) = tokio::join!(
        fixture.event_poller.deliver(),
        fixture.event_poller.deliver()
    );
    assert_eq!(one.expect("records") + other.expect("records"), 45);
    let batches = fixture.keys();
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 10, 10, 5]);
    assert_eq!(batches.concat(), all);
}

#[tokio::test]
async fn dropped_records_stay_lost_and_later_ones_arrive() {
    let fixture = fixture(None);
    fixture.put("lost").await;
    assert_eq!(
        fixture.event_poller.drop_records().await.expect("records"),
        1
    );
    let put =
        |id: &str| json!({ "Put": { "TableName": "test-outbox", "Item": { "pk": { "S": id } } } });
    let both = json!({ "TransactItems": [put("a"), put("b")] });
    fixture.call("TransactWriteItems", both).await;
    assert_eq!(fixture.event_poller.deliver().await.expect("records"), 2);
    let mut keys = fixture.keys().concat();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
}

#[tokio::test]
async fn rows_of_an_earlier_run_make_no_event() {
    let directory = crate::runtime::temp_dir::TempDir::new();
    let earlier = fixture(Some(directory.path()));
    earlier.put("a").await;
    assert_eq!(earlier.event_poller.deliver().await.expect("records"), 1);
    drop(earlier);
    let later = fixture(Some(directory.path()));
    assert_eq!(later.event_poller.deliver().await.expect("none"), 0);
    later.put("b").await;
    assert_eq!(later.event_poller.deliver().await.expect("records"), 1);
    assert_eq!(later.keys(), [["b"]]);
}

#[tokio::test]
async fn the_schedule_sends_the_event_of_eventbridge() {
    let fixture = fixture(None);
    fixture.event_poller.run_schedule().await;
    let events = fixture.seen.events();
    assert_eq!(events[0]["source"], "aws.events");
    assert_eq!(events[0]["detail-type"], "Scheduled Event");
    assert_eq!(events[0]["time"], "2027-01-15T08:00:00Z");
}

#[tokio::test]
async fn it_polls_in_the_background_by_the_movable_clock() {
    let fixture = fixture(None);
    let running = fixture.event_poller.run();
    let until = async |wanted: &dyn Fn(&Value) -> bool| {
        for _ in 0..400 {
            let events = fixture.seen.events();
            if let Some(event) = events.into_iter().find(|event| wanted(event)) {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no such event arrived")
    };
    let is_tick = |event: &Value| event["source"] == "aws.events";
    until(&is_tick).await;
    fixture.put("a").await;
    let inserted = until(&|event| !is_tick(event)).await;
    assert_eq!(inserted["Records"][0]["dynamodb"]["Keys"]["pk"]["S"], "a");
    let clock = fixture.services.clock();
    clock.advance(Duration::from_secs(59)).expect("a time");
    tokio::time::sleep(3 * INTERVAL).await;
    assert_eq!(
        fixture.seen.events().len(),
        0,
        "the schedule ran before a minute had passed"
    );
    clock.advance(Duration::from_secs(1)).expect("a time");
    let tick = until(&is_tick).await;
    assert_eq!(tick["time"], "2027-01-15T08:01:00Z");
    running.stop().await;
    fixture.put("b").await;
    tokio::time::sleep(3 * INTERVAL).await;
    assert_eq!(
        fixture.seen.events().len(),
        0,
        "the poller runs after its stop"
    );
}

/// Runs a worker that takes this time for each event, and calls `end` during the first event. Returns the number
/// of events that the worker has finished.
async fn ended(takes: Duration, end: impl AsyncFnOnce(Running)) -> usize {
    let Fixture { services, seen, .. } = fixture(None);
    let stream = services.dynamodb().stream("Outbox").expect("a stream");
    let (began, mut events) = tokio::sync::mpsc::unbounded_channel();
    let worker = SlowWorker {
        began,
        ended: RecordingWorker(Arc::clone(&seen.0)),
        takes,
    };
    let running = Arc::new(EventPoller::with_worker(
        worker,
        stream,
        10,
        Arc::clone(services.clock()),
    ))
    .run();
    events.recv().await.expect("an event");
    end(running).await;
    let another = tokio::time::timeout(Duration::from_secs(20), events.recv()).await;
    assert_eq!(another, Ok(None), "the worker still gets events");
    seen.events().len()
}

const LONG: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_stop_waits_for_the_running_poll() {
    assert_eq!(ended(3 * INTERVAL, Running::stop).await, 1);
}

#[tokio::test]
async fn a_stop_aborts_a_poll_that_takes_too_long() {
    assert_eq!(ended(LONG, Running::stop).await, 0);
}

#[tokio::test]
async fn dropping_the_handle_aborts_the_poll() {
    assert_eq!(ended(LONG, async |running| drop(running)).await, 0);
}
