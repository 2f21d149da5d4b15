//! A fake homeserver on the loopback interface, with the endpoints `/_synapse/mas/` as Synapse 1.163.2 implements them.
//! It records every call, checks that no two changes of a user overlap, and can misbehave. `tests/homeserver/run` uses
//! a real Synapse.
#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation must fail the test, in helper functions too"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use test_support::TestServer;

use crate::flows::support::identity_server::{Seen, read};

/// The secret that the homeserver and the server under test share.
pub(crate) const SECRET: &str = "marker.homeserver_secret-1";

/// A user at the homeserver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) emails: Vec<String>,
    pub(crate) is_locked: bool,
    pub(crate) is_deactivated: bool,
    pub(crate) is_erased: bool,
    /// How often the reset of the cross-signing keys was permitted.
    pub(crate) resets: usize,
    /// The devices with their display names.
    pub(crate) devices: BTreeMap<String, String>,
}

/// The ways in which the homeserver can misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misbehaviour {
    /// Closes each connection without a response.
    Down,
    /// Handles the request, and closes the connection without a response.
    LosesResponse,
    /// Responds with this status to every request, and changes nothing.
    Fails(u16),
    /// Reads the request and sends no response.
    Hangs,
}

#[derive(Debug, Default)]
struct State {
    users: BTreeMap<String, User>,
    calls: Vec<String>,
    /// The requests that are being handled, by localpart.
    current: BTreeSet<String>,
    /// Forbidden calls.
    violations: Vec<String>,
    misbehaviour: Option<Misbehaviour>,
    /// Misbehaves only at the call with this number. The first call after the number was set is 1.
    only_at: Option<usize>,
    /// At the next check whether this name is free, responds that it is free and creates a user with it.
    taken_after_check: Option<String>,
    delay: Duration,
}

/// A running homeserver.
#[derive(Clone)]
pub(crate) struct Homeserver {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Homeserver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let homeserver = Self {
            url,
            state: Arc::default(),
        };
        let own = homeserver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || own.serve(&stream));
            }
        });
        homeserver
    }

    /// Starts a homeserver and a server that uses it, with these further settings.
    pub(crate) async fn with_server(settings: &[(&str, &str)]) -> (Self, TestServer) {
        let homeserver = Self::start();
        let mut all = vec![
            ("GATEHOUSE_HOMESERVER_URL", homeserver.url.as_str()),
            ("GATEHOUSE_HOMESERVER_SECRET", SECRET),
        ];
        all.extend_from_slice(settings);
        let server = TestServer::with(&all).await;
        (homeserver, server)
    }

    /// Misbehaves from now on, or ends the misbehaviour.
    pub(crate) fn set_misbehaviour(&self, misbehaviour: Option<Misbehaviour>) {
        self.with(|state| {
            state.misbehaviour = misbehaviour;
            state.only_at = None;
        });
    }

    /// Misbehaves at one of the next calls only.
    pub(crate) fn misbehave_at(&self, number: usize, misbehaviour: Misbehaviour) {
        self.with(|state| {
            state.calls.clear();
            state.misbehaviour = Some(misbehaviour);
            state.only_at = Some(number);
        });
    }

    /// Delays every response.
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.with(|state| state.delay = delay);
    }

    /// Creates a user that does not belong to the server under test.
    pub(crate) fn create_foreign(&self, name: &str) {
        self.with(|state| state.users.insert(name.to_owned(), foreign()));
    }

    /// Creates such a user directly after the next check whether its name is free.
    pub(crate) fn create_foreign_after_check(&self, name: &str) {
        self.with(|state| state.taken_after_check = Some(name.to_owned()));
    }

    /// Removes a user, as a restore from an older backup does.
    pub(crate) fn remove(&self, name: &str) {
        self.with(|state| state.users.remove(name));
    }

    /// Changes a user without a call of the server under test.
    pub(crate) fn change(&self, name: &str, change: impl FnOnce(&mut User)) {
        self.with(|state| change(state.users.get_mut(name).unwrap()));
    }

    /// The user with this name.
    pub(crate) fn user(&self, name: &str) -> Option<User> {
        self.with(|state| state.users.get(name).cloned())
    }

    /// The IDs of the devices of a user.
    pub(crate) fn devices(&self, name: &str) -> Vec<String> {
        let user = self.user(name).unwrap_or_default();
        user.devices.into_keys().collect()
    }

    /// The calls since the last time, such as `provision_user alice`.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.calls))
    }

    /// Asserts that there was no forbidden call.
    #[track_caller]
    pub(crate) fn assert_no_violations(&self) {
        let violations = self.with(|state| state.violations.clone());
        assert!(violations.is_empty(), "{violations:?}");
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    fn serve(&self, stream: &TcpStream) {
        let Some(seen) = read(stream) else { return };
        let name = name_of(&seen);
        let (misbehaviour, delay, is_exclusive) = self.with(|state| {
            state.calls.push(format!("{} {name}", endpoint(&seen)));
            // Checks of a name, changes of display names and permitted resets may overlap with other calls.
            let is_exclusive = ![
                "register",
                "is_localpart_available",
                "update_device_display_name",
                "allow_cross_signing_reset",
            ]
            .contains(&endpoint(&seen));
            if is_exclusive && !state.current.insert(name.clone()) {
                let overlap = format!("two calls at the same time: {}", seen.line);
                state.violations.push(overlap);
            }
            let now = state
                .only_at
                .is_none_or(|number| number == state.calls.len());
            (
                state.misbehaviour.filter(|_| now),
                state.delay,
                is_exclusive,
            )
        });
        std::thread::sleep(delay);
        let response = match misbehaviour {
            Some(Misbehaviour::Down) => None,
            Some(Misbehaviour::Fails(status)) => Some((status, json!({ "errcode": "M_UNKNOWN" }))),
            Some(Misbehaviour::Hangs) => {
                // This call changes nothing, so the next one may begin before the connection is closed.
                self.with(|state| state.current.remove(&name));
                // The read ends when the client closes the connection.
                let _ = { stream }.read(&mut [0]);
                None
            }
            Some(Misbehaviour::LosesResponse) => {
                self.with(|state| state.answer(&seen, &name));
                None
            }
            None => Some(self.with(|state| state.answer(&seen, &name))),
        };
        if is_exclusive {
            self.with(|state| state.current.remove(&name));
        }
        let Some((status, body)) = response else {
            return;
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        // The client may have closed the connection.
        let _ = { stream }.write_all(format!("{head}{body}").as_bytes());
    }
}

fn foreign() -> User {
    User {
        emails: vec!["foreign@example.net".to_owned()],
        devices: BTreeMap::from([("FOREIGN".to_owned(), String::new())]),
        ..User::default()
    }
}

fn endpoint(seen: &Seen) -> &str {
    let path = seen.line.split(['?', ' ']).nth(1).unwrap();
    path.rsplit('/').next().unwrap()
}

fn name_of(seen: &Seen) -> String {
    let query = seen.line.split_once("?localpart=");
    match query {
        Some((_, name)) => name.to_owned(),
        None => seen.body["localpart"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}

impl State {
    #[expect(clippy::too_many_lines, reason = "one arm for each endpoint")]
    fn answer(&mut self, seen: &Seen, name: &str) -> (u16, Value) {
        if endpoint(seen) == "register" {
            let token = &seen.headers["authorization"];
            let answer = json!({ "user_id": "@bridge_1:localhost", "authorization": token });
            return (200, answer);
        }
        if seen.headers.get("authorization") != Some(&format!("Bearer {SECRET}")) {
            return (403, json!({ "errcode": "M_UNKNOWN" }));
        }
        let found = self.users.get_mut(name);
        let not_found = (
            404,
            json!({ "errcode": "M_NOT_FOUND", "error": "User not found" }),
        );
        let body = &seen.body;
        let text = |member: &str| body[member].as_str().map(str::to_owned);
        if text("display_name").is_some_and(|name| name.contains('\0')) {
            // PostgreSQL cannot store it.
            return (500, json!({ "errcode": "M_UNKNOWN" }));
        }
        match (endpoint(seen), found) {
            ("is_localpart_available", found) => {
                let is_free = found.is_none();
                if self.taken_after_check.as_deref() == Some(name) {
                    self.taken_after_check = None;
                    self.users.insert(name.to_owned(), foreign());
                }
                match is_free {
                    true if name.starts_with("bridge_") => {
                        (400, json!({ "errcode": "M_EXCLUSIVE" }))
                    }
                    true => (200, json!({})),
                    false => (400, json!({ "errcode": "M_USER_IN_USE" })),
                }
            }
            ("provision_user", found) => {
                let existed = found.is_some();
                let user = self.users.entry(name.to_owned()).or_default();
                if let Some(emails) = body["set_emails"].as_array() {
                    user.emails = emails
                        .iter()
                        .map(|email| email.as_str().unwrap().to_owned())
                        .collect();
                }
                if let Some(locked) = body["locked"].as_bool() {
                    user.is_locked = locked;
                }
                (if existed { 200 } else { 201 }, json!({}))
            }
            (_, None) => not_found,
            ("query_user", Some(user)) => (200, json!({ "is_deactivated": user.is_deactivated })),
            ("upsert_device", Some(user)) => {
                if user.is_deactivated {
                    self.violations.push(seen.line.clone());
                }
                let id = text("device_id").unwrap();
                let existed = user.devices.contains_key(&id);
                let device = user.devices.entry(id).or_default();
                if let Some(name) = text("display_name") {
                    *device = name;
                }
                (if existed { 200 } else { 201 }, json!({}))
            }
            ("update_device_display_name", Some(user)) => {
                let device = user.devices.get_mut(&text("device_id").unwrap());
                if let Some(device) = device {
                    *device = text("display_name").unwrap();
                }
                (200, json!({}))
            }
            ("allow_cross_signing_reset", Some(user)) => {
                user.resets += 1;
                (200, json!({}))
            }
            ("delete_device", Some(user)) => {
                user.devices.remove(&text("device_id").unwrap());
                (204, json!({}))
            }
            ("sync_devices", Some(user)) => {
                let devices = body["devices"].as_array().unwrap().iter();
                let wanted: BTreeSet<_> =
                    devices.map(|id| id.as_str().unwrap().to_owned()).collect();
                if user.is_deactivated && !wanted.is_empty() {
                    self.violations.push(seen.line.clone());
                }
                user.devices.retain(|id, _| wanted.contains(id));
                for id in wanted {
                    user.devices.entry(id).or_default();
                }
                (200, json!({}))
            }
            ("delete_user", Some(user)) => {
                user.is_deactivated = true;
                user.is_erased |= body["erase"].as_bool().unwrap();
                user.devices.clear();
                user.emails.clear();
                (200, json!({}))
            }
            (other, Some(_)) => panic!("unexpected endpoint {other}"),
        }
    }
}
