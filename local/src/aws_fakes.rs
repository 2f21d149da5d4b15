//! The sinks: SES and SNS, as far as a mail or a text message needs them, and Secrets Manager with one
//! secret, on a loopback port.
//!
//! They speak AWS's protocols to the real SDKs, refuse what AWS would refuse, and put everything else
//! into the outbox; nothing leaves the machine. Whoever has no other way to look into the outbox gets it with
//! `GET /`.

mod form;
mod secrets_manager;
mod ses;
mod sns;

use std::{
    collections::BTreeSet,
    fmt::Debug,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Result;
use http::{Method, Response, StatusCode, request::Parts};
use http_body_util::Full;
use hyper::body::Bytes;
use shared::{
    clock::Clock,
    rng::{Rng, SystemRng},
};

pub use self::secrets_manager::KEY_RING;

use self::form::{Failure, Form};
use crate::{
    clock::MovableClock,
    iam::{IamChecker, caller},
    loopback::{Answer, ConnectionReset, Loopback, typed},
    outbox::{Message, Outbox},
    proxy::{Call, Calls, Fault, FaultKind, Operation, Plan},
    template::Permission,
};

/// The running sinks. Dropping them closes their port.
pub struct AwsFakes {
    state: Arc<State>,
    loopback: Loopback,
}

struct State {
    iam: Arc<IamChecker>,
    outbox: Arc<Outbox>,
    clock: Arc<MovableClock>,
    calls: Mutex<Calls>,
    plan: Mutex<Plan>,
    secret: Mutex<Option<String>>,
}

impl AwsFakes {
    /// Opens them at `place`, on a loopback port without one; `iam` judges their callers, and what is sent
    /// goes into `outbox`. Call it within a Tokio runtime.
    pub fn open(
        place: Option<SocketAddr>,
        iam: Arc<IamChecker>,
        outbox: Arc<Outbox>,
        clock: Arc<MovableClock>,
    ) -> Result<Self> {
        let state = Arc::new(State {
            iam,
            outbox,
            clock,
            calls: Mutex::default(),
            plan: Mutex::default(),
            secret: Mutex::default(),
        });
        let answering = Arc::clone(&state);
        let loopback = Loopback::open(place, move |head, body| {
            let state = Arc::clone(&answering);
            async move { state.answer(head, body).await }
        })?;
        Ok(Self { state, loopback })
    }

    /// Where they listen.
    pub fn address(&self) -> SocketAddr {
        self.loopback.address()
    }

    /// Keeps this text as the secret [`KEY_RING`], in the place of what was there.
    pub fn keep_secret(&self, text: &str) {
        *self.state.secret() = Some(text.to_owned());
    }

    /// The calls so far (`SendEmail`, `Publish`), oldest first; the last ten thousand of them.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls().all()
    }

    /// The calls since the last time they were taken.
    pub fn take_calls(&self) -> Vec<Call> {
        self.state.calls().take()
    }

    /// Plans a fault, on `SendEmail` or `Publish`.
    pub fn inject(&self, fault: Fault) {
        self.state.plan().add(fault);
    }

    /// How many planned faults have not yet happened to the end.
    pub fn pending_faults(&self) -> usize {
        self.state.plan().pending()
    }

    /// From now on, `per_mille` of a thousand calls of functions suffer one of `kinds`, as `seed` decides.
    pub fn chaos(&self, seed: u64, per_mille: u16, kinds: &[FaultKind]) {
        self.state.plan().chaos(seed, per_mille, kinds);
    }

    /// Forgets every planned fault and ends the chaos.
    pub fn clear_faults(&self) {
        *self.state.plan() = Plan::default();
    }
}

impl Debug for AwsFakes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sinks")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

/// One of the two services.
struct Service {
    action: &'static str,
    namespace: &'static str,
    needs: fn(&Form) -> BTreeSet<Permission>,
    read: fn(&Form) -> Result<Message, Failure>,
    /// What it calls a caller who may not, a message it does not take, and a fault of its own.
    denied: &'static str,
    refused: &'static str,
    fault: &'static str,
}

const SERVICES: [Service; 2] = [
    Service {
        action: "SendEmail",
        namespace: "http://ses.amazonaws.com/doc/2010-12-01/",
        needs: ses::needs,
        read: ses::read,
        denied: "AccessDenied",
        refused: "MessageRejected",
        fault: "InternalFailure",
    },
    Service {
        action: "Publish",
        namespace: "http://sns.amazonaws.com/doc/2010-03-31/",
        needs: sns::needs,
        read: sns::read,
        denied: "AuthorizationError",
        refused: "InvalidParameter",
        fault: "InternalError",
    },
];

impl State {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret(&self) -> MutexGuard<'_, Option<String>> {
        self.secret.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, head: Parts, body: Bytes) -> Answer {
        if head.method == Method::GET && head.uri.path() == "/" {
            let messages = serde_json::json!(self.outbox.messages()).to_string();
            return Ok(typed(StatusCode::OK, "application/json", messages));
        }
        if secrets_manager::is_asked(&head.headers) {
            return Ok(self.tell_secret(&head.headers, &body));
        }
        let started = Instant::now();
        let form = Form::read(&body);
        let action = form.text("Action").unwrap_or_default();
        let Some(service) = SERVICES.iter().find(|service| service.action == action) else {
            let unknown = Failure::new("InvalidAction", format!("{action} is not known here"));
            return Ok(unknown.response(""));
        };
        let operation = Operation {
            caller: caller(&head.headers),
            name: action.to_owned(),
            needs: (service.needs)(&form),
            ..Operation::default()
        };
        let answer = self.serve(service, &operation, &form).await;
        let status = answer
            .as_ref()
            .map_or(StatusCode::BAD_GATEWAY, Response::status);
        self.calls()
            .push(operation.call(started, status, (0.0, 0.0)));
        answer
    }

    async fn serve(&self, service: &Service, operation: &Operation, form: &Form) -> Answer {
        let fail = |status, code, message: &str| {
            let failure = Failure::new(code, message.to_owned()).with(status);
            Ok(failure.response(service.namespace))
        };
        if let Some(denied) = self.iam.judge(&operation.caller, &operation.needs) {
            let message = format!(
                "User: {} is not authorized to perform: {} on resource: {}",
                operation.caller, denied.action, denied.resource
            );
            return fail(StatusCode::FORBIDDEN, service.denied, &message);
        }
        let is_function = self.iam.is_function(&operation.caller);
        let kind = self.plan().turn(operation, is_function);
        match kind {
            Some(FaultKind::Throttle) => {
                return fail(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded");
            }
            Some(FaultKind::InternalError) => {
                let message = "An internal error occurred";
                return fail(StatusCode::INTERNAL_SERVER_ERROR, service.fault, message);
            }
            Some(FaultKind::Refused) => {
                let message = "The message is not taken, as was planned";
                return fail(StatusCode::BAD_REQUEST, service.refused, message);
            }
            Some(FaultKind::Cut) => return Err(ConnectionReset),
            Some(FaultKind::Delay(time)) => tokio::time::sleep(time).await,
            _ => {}
        }
        let answer = match (service.read)(form) {
            Ok(message) => self.take(service, message),
            Err(failure) => failure.response(service.namespace),
        };
        if kind == Some(FaultKind::LostAnswer) {
            return Err(ConnectionReset);
        }
        Ok(answer)
    }

    /// Puts the message into the outbox and says that it was sent.
    fn take(&self, service: &Service, mut message: Message) -> Response<Full<Bytes>> {
        message.id = id();
        message.sent_at = self.clock.now().0;
        let Service {
            action, namespace, ..
        } = service;
        let body = format!(
            "<{action}Response xmlns=\"{namespace}\"><{action}Result><MessageId>{}</MessageId></{action}Result>\
             <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{action}Response>",
            message.id,
            id()
        );
        tracing::debug!(to = message.to, "a message was sent");
        self.outbox.push(message);
        typed(StatusCode::OK, "text/xml", body)
    }
}

/// An id as AWS makes them: never the same, not even in the next run.
fn id() -> String {
    let rng: &dyn Rng = &SystemRng;
    let number = u128::from_be_bytes(rng.bytes());
    let digits = format!("{number:032x}");
    [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests;
