//! A fake identity server on the loopback interface. It checks its requests strictly and can
//! misbehave. `answers` has its data and responses; this file has the transport.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

mod answers;
mod signature;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use test_support::TestServer;

use answers::IdServerData;
pub(crate) use signature::{Form, parameters, verifies};

/// The access token that every fake identity server accepts.
pub(crate) const TOKEN: &str = "marker.identity_token-1";

/// A request as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and target.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// `null` if there was none.
    pub(crate) body: Value,
}

/// The ways in which a fake identity server can misbehave.
#[derive(Debug, Clone)]
pub(crate) enum Misbehaviour {
    /// Sends this status and body in response to every request.
    Responds(&'static str, String),
    /// Sends the correct response after a delay.
    Delays(Duration),
    /// Reads the request and sends no response.
    Hangs,
    /// Closes the connection in the middle of the response.
    ClosesEarly,
    /// Sends a response without end.
    EndlessResponse,
}

/// A running identity server.
pub(crate) struct IdServer {
    /// The name that clients send as `id_server`.
    pub(crate) name: String,
    address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The number of connections.
    connections: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    /// The end of the paths for which the server misbehaves, and how.
    misbehaviour: Mutex<Option<(&'static str, Misbehaviour)>>,
    data: Mutex<IdServerData>,
}

impl IdServer {
    /// Starts an identity server with this name.
    pub(crate) fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        name.clone_into(&mut state.data.lock().unwrap().name);
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&own);
                state.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || state.answer(&stream));
            }
        });
        Self {
            name: name.to_owned(),
            address,
            state,
        }
    }

    /// The entry for this server in `GATEHOUSE_TRUSTED_ID_SERVERS`, with its network address.
    pub(crate) fn entry(&self) -> String {
        format!("{}=http://{}", self.name, self.address)
    }

    /// Starts a server that trusts these identity servers, with these further settings. The identity servers
    /// have its key.
    pub(crate) async fn test_server(servers: &[&Self], settings: &[(&str, &str)]) -> TestServer {
        let entries: Vec<_> = servers.iter().map(|id_server| id_server.entry()).collect();
        let entries = entries.join(" ");
        let mut all = vec![("GATEHOUSE_TRUSTED_ID_SERVERS", entries.as_str())];
        all.extend_from_slice(settings);
        let server = TestServer::with(&all).await;
        for id_server in servers {
            id_server.learn_homeserver_keys(&server).await;
        }
        server
    }

    /// Fetches the homeserver's key.
    pub(crate) async fn learn_homeserver_keys(&self, server: &TestServer) {
        let keys = server.get("/_matrix/key/v2/server/").await.ok();
        self.with_data(|data| data.homeserver = keys);
    }

    /// The requests that were received, oldest first.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The number of connections, with or without a request.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The first lines of the requests.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|seen| seen.line).collect()
    }

    /// Deletes the recorded requests.
    pub(crate) fn clear_requests(&self) {
        self.state.seen.lock().unwrap().clear();
    }

    /// Sets the misbehaviour for all later requests, or ends it.
    pub(crate) fn set_misbehaviour(&self, misbehaviour: Option<Misbehaviour>) {
        *self.state.misbehaviour.lock().unwrap() =
            misbehaviour.map(|misbehaviour| ("", misbehaviour));
    }

    /// Sets the misbehaviour of one endpoint.
    pub(crate) fn set_misbehaviour_at(&self, end: &'static str, misbehaviour: Misbehaviour) {
        *self.state.misbehaviour.lock().unwrap() = Some((end, misbehaviour));
    }

    /// Sends this response to all later requests.
    pub(crate) fn respond_with(&self, status: &'static str, body: &Value) {
        self.set_misbehaviour(Some(Misbehaviour::Responds(status, body.to_string())));
    }

    /// Changes the data of the identity server.
    fn with_data<T>(&self, change: impl FnOnce(&mut IdServerData) -> T) -> T {
        change(&mut self.state.data.lock().unwrap())
    }

    /// Expects signatures of this form from now on.
    pub(crate) fn verifies(&self, form: Form) {
        self.with_data(|data| data.form = form);
    }

    /// Adds a validated session.
    pub(crate) fn session(&self, sid: &str, secret: &str, medium: &str, address: &str) {
        self.with_data(|data| data.add_session(sid, secret, medium, address, true));
    }

    /// Adds a session that is not validated yet.
    pub(crate) fn pending(&self, sid: &str, secret: &str, medium: &str, address: &str) {
        self.with_data(|data| data.add_session(sid, secret, medium, address, false));
    }

    /// Validates a session, as its link would.
    pub(crate) fn validate(&self, sid: &str) {
        self.with_data(|data| data.validate(sid));
    }

    /// The bindings, as `medium address user`.
    pub(crate) fn bindings(&self) -> Vec<String> {
        self.with_data(|data| data.bound.iter().cloned().collect())
    }
}

impl State {
    fn answer(&self, stream: &TcpStream) {
        let Some(seen) = read(stream) else { return };
        self.seen.lock().unwrap().push(seen.clone());
        let misbehaviour = self.misbehaviour.lock().unwrap().clone();
        let misbehaviour = misbehaviour.filter(|(end, _)| seen.line.ends_with(end));
        let (status, body) = match misbehaviour.map(|(_, misbehaviour)| misbehaviour) {
            None => self.data.lock().unwrap().answer(&seen),
            Some(Misbehaviour::Responds(status, body)) => (status, body),
            Some(Misbehaviour::Delays(time)) => {
                std::thread::sleep(time);
                self.data.lock().unwrap().answer(&seen)
            }
            Some(Misbehaviour::Hangs) => {
                // The read ends when the client closes the connection.
                let _ = { stream }.read(&mut [0]);
                return;
            }
            Some(Misbehaviour::ClosesEarly) => {
                let _ = { stream }.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{");
                return;
            }
            Some(Misbehaviour::EndlessResponse) => {
                let _ = { stream }.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"x\":\"");
                while { stream }.write_all(&[b'x'; 4096]).is_ok() {}
                return;
            }
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        // The client may have closed the connection.
        let _ = { stream }.write_all(answer.as_bytes());
    }
}

/// Reads a request. `None` if the connection ends before.
pub(crate) fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        let before = headers.insert(name.to_lowercase(), value.trim().to_owned());
        assert_eq!(before, None, "{name} occurs twice");
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).unwrap()
    };
    Some(Seen {
        line,
        headers,
        body,
    })
}
