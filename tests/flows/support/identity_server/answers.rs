//! The data and the responses of the fake identity server.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Seen, TOKEN};
use crate::flows::support::identity_server::signature::{self, Form};

type Answer = (&'static str, String);

/// The time of validation of every session.
const VALIDATED: i64 = test_support::NOW;

#[derive(Default)]
pub(super) struct IdServerData {
    pub(super) name: String,
    /// The keys that the homeserver publishes.
    pub(super) homeserver: Value,
    pub(super) form: Form,
    /// The bindings, each as `medium address user`.
    pub(super) bound: BTreeSet<String>,
    /// The validation sessions by session ID.
    sessions: BTreeMap<String, Session>,
}

struct Session {
    secret: String,
    medium: String,
    address: String,
    validated: bool,
}

impl IdServerData {
    pub(super) fn add_session(
        &mut self,
        sid: &str,
        secret: &str,
        medium: &str,
        address: &str,
        validated: bool,
    ) {
        let session = Session {
            secret: secret.to_owned(),
            medium: medium.to_owned(),
            address: address.to_owned(),
            validated,
        };
        self.sessions.insert(sid.to_owned(), session);
    }

    pub(super) fn validate(&mut self, sid: &str) {
        if let Some(session) = self.sessions.get_mut(sid) {
            session.validated = true;
        }
    }

    /// Returns the response that the specification defines.
    pub(super) fn answer(&mut self, seen: &Seen) -> Answer {
        let Some((method, target)) = seen.line.split_once(' ') else {
            return error("400 Bad Request", "M_UNRECOGNIZED");
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let known = path
            .strip_prefix("/_matrix/identity/v2/")
            .map(|end| (2, end));
        let known = known.or_else(|| Some((1, path.strip_prefix("/_matrix/identity/api/v1/")?)));
        let Some((version, end)) = known else {
            return error("404 Not Found", "M_UNRECOGNIZED");
        };
        let bearer = seen.headers.get("authorization").map(String::as_str);
        let is_user = version == 1 || bearer == Some(&format!("Bearer {TOKEN}"));
        if !is_user && end != "3pid/unbind" {
            return error("401 Unauthorized", "M_UNAUTHORIZED");
        }
        match (method, end) {
            ("POST", "3pid/bind") => self.bind(&seen.body),
            ("POST", "3pid/unbind") => self.unbind(path, seen),
            ("GET", "3pid/getValidated3pid") => self.validated(query),
            ("POST", "validate/email/requestToken") => self.request(&seen.body, "email"),
            ("POST", "validate/msisdn/requestToken") => self.request(&seen.body, "msisdn"),
            _ => error("404 Not Found", "M_UNRECOGNIZED"),
        }
    }

    fn find(&self, sid: &str, secret: &str) -> Result<&Session, Answer> {
        let session = self.sessions.get(sid);
        let session = session.filter(|session| session.secret == secret);
        let Some(session) = session else {
            return Err(error("404 Not Found", "M_NO_VALID_SESSION"));
        };
        if session.validated {
            Ok(session)
        } else {
            Err(error("400 Bad Request", "M_SESSION_NOT_VALIDATED"))
        }
    }

    fn bind(&mut self, body: &Value) -> Answer {
        let member = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (medium, address) = match self.find(&member("sid"), &member("client_secret")) {
            Ok(session) => (session.medium.clone(), session.address.clone()),
            Err(answer) => return answer,
        };
        let mxid = member("mxid");
        self.bound.insert(format!("{medium} {address} {mxid}"));
        let response_body = json!({
            "medium": medium, "address": address, "mxid": mxid,
            "ts": 1, "not_before": 1, "not_after": 2, "signatures": {},
        });
        ("200 OK", response_body.to_string())
    }

    fn unbind(&mut self, path: &str, seen: &Seen) -> Answer {
        let header = seen.headers.get("authorization");
        let Some(header) = header.filter(|header| header.starts_with("X-Matrix ")) else {
            return error("401 Unauthorized", "M_FORBIDDEN");
        };
        if !signature::holds(
            &self.homeserver,
            &self.name,
            self.form,
            path,
            header,
            &seen.body,
        ) {
            return error("401 Unauthorized", "M_FORBIDDEN");
        }
        let member = |name: &str| seen.body["threepid"][name].as_str().unwrap_or_default();
        let mxid = seen.body["mxid"].as_str().unwrap_or_default();
        self.bound.remove(&format!(
            "{} {} {mxid}",
            member("medium"),
            member("address")
        ));
        ("200 OK", "{}".to_owned())
    }

    fn validated(&self, query: &str) -> Answer {
        let member = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(own, _)| *own == name)
                .map_or("", |(_, value)| value)
        };
        match self.find(member("sid"), member("client_secret")) {
            Ok(session) => {
                let response_body = json!({
                    "medium": session.medium, "address": session.address, "validated_at": VALIDATED,
                });
                ("200 OK", response_body.to_string())
            }
            Err(answer) => answer,
        }
    }

    fn request(&mut self, body: &Value, medium: &str) -> Answer {
        let sid = format!("fake.{}", self.sessions.len());
        let member = |name: &str| body[name].as_str().unwrap_or_default();
        let address = match medium {
            "email" => member("email").to_owned(),
            _ => member("phone_number").trim_start_matches('+').to_owned(),
        };
        self.add_session(&sid, member("client_secret"), medium, &address, false);
        ("200 OK", json!({ "sid": sid }).to_string())
    }
}

fn error(status: &'static str, errcode: &str) -> Answer {
    let response_body = json!({ "errcode": errcode, "error": "The fake says so" });
    (status, response_body.to_string())
}
