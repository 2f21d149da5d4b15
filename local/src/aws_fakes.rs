//! Fakes of SES and SNS for e-mails and text messages, and of Secrets Manager with one secret, on a loopback port.
//!
//! They speak the protocols of AWS to the real SDKs and reject the requests that AWS would reject. They put all other
//! messages into the outbox, and send nothing. `GET /` returns the outbox to programs that cannot use `/_local/outbox`.

mod form;
pub mod outbox;
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

use self::form::{ErrorResponse, Form};
use crate::{
    aws_fakes::outbox::{Message, Outbox},
    dynamodb::proxy::{Call, Calls, Fault, FaultKind, FaultPlan, Operation},
    iam::{IamChecker, caller},
    runtime::{
        clock::MovableClock,
        local_listener::{Answer, ConnectionReset, LocalListener, typed},
    },
    template::Permission,
};

/// The running fakes. Dropping them closes their port.
pub struct AwsFakes {
    state: Arc<State>,
    listener: LocalListener,
}

struct State {
    iam: Arc<IamChecker>,
    outbox: Arc<Outbox>,
    clock: Arc<MovableClock>,
    calls: Mutex<Calls>,
    plan: Mutex<FaultPlan>,
    secret: Mutex<Option<String>>,
}

impl AwsFakes {
    /// Opens the fakes at `address`, or on a free loopback port. They check the IAM policies of their callers with
    /// `iam`, and put messages into `outbox`. Call it within a Tokio runtime.
    pub fn open(
        address: Option<SocketAddr>,
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
        let listener = LocalListener::open(address, move |head, body| {
            let state = Arc::clone(&answering);
            async move { state.answer(head, body).await }
        })?;
        Ok(Self { state, listener })
    }

    /// The address that the fakes listen on.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Sets the value of the secret [`KEY_RING`].
    pub fn set_secret(&self, text: &str) {
        *self.state.secret() = Some(text.to_owned());
    }

    /// The last ten thousand calls of `SendEmail` and `Publish`, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls().all()
    }

    /// Removes and returns the calls, oldest first.
    pub fn take_calls(&self) -> Vec<Call> {
        self.state.calls().take()
    }

    /// Adds a fault to inject into `SendEmail` or `Publish`.
    pub fn inject(&self, fault: Fault) {
        self.state.plan().add(fault);
    }

    /// The number of faults that have injections left.
    pub fn pending_faults(&self) -> usize {
        self.state.plan().pending()
    }

    /// Injects one of `kinds` into `per_mille` of a thousand calls of functions. The choice depends on `seed`.
    pub fn random_faults(&self, seed: u64, per_mille: u16, kinds: &[FaultKind]) {
        self.state.plan().random_faults(seed, per_mille, kinds);
    }

    /// Removes all faults, including random faults.
    pub fn clear_faults(&self) {
        *self.state.plan() = FaultPlan::default();
    }
}

impl Debug for AwsFakes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AwsFakes")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

/// SES or SNS.
struct Service {
    action: &'static str,
    namespace: &'static str,
    needs: fn(&Form) -> BTreeSet<Permission>,
    read: fn(&Form) -> Result<Message, ErrorResponse>,
    /// The error code if the caller's policy does not allow the call.
    denied: &'static str,
    /// The error code of a rejected message.
    rejected: &'static str,
    /// The error code of an internal error.
    internal_error: &'static str,
}

const SERVICES: [Service; 2] = [
    Service {
        action: "SendEmail",
        namespace: "http://ses.amazonaws.com/doc/2010-12-01/",
        needs: ses::needs,
        read: ses::read,
        denied: "AccessDenied",
        rejected: "InvalidParameterValue",
        internal_error: "InternalFailure",
    },
    Service {
        action: "Publish",
        namespace: "http://sns.amazonaws.com/doc/2010-03-31/",
        needs: sns::needs,
        read: sns::read,
        denied: "AuthorizationError",
        rejected: "InvalidParameter",
        internal_error: "InternalError",
    },
];

impl State {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, FaultPlan> {
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
        if secrets_manager::is_get_secret_value(&head.headers) {
            return Ok(self.get_secret_value(&head.headers, &body));
        }
        let started = Instant::now();
        let form = Form::read(&body);
        let action = form.text("Action").unwrap_or_default();
        let Some(service) = SERVICES.iter().find(|service| service.action == action) else {
            let unknown = ErrorResponse::new(
                "InvalidAction",
                format!("The action {action} is not supported by this fake"),
            );
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
        let error = |status, code, message: &str| {
            let error = ErrorResponse::new(code, message.to_owned()).with(status);
            Ok(error.response(service.namespace))
        };
        if let Some(denied) = self.iam.check(&operation.caller, &operation.needs) {
            let message = format!(
                "User: {} is not authorized to perform: {} on resource: {}",
                operation.caller, denied.action, denied.resource
            );
            return error(StatusCode::FORBIDDEN, service.denied, &message);
        }
        let is_function = self.iam.is_function(&operation.caller);
        let kind = self.plan().next_fault(operation, is_function);
        match kind {
            Some(FaultKind::Throttle) => {
                return error(StatusCode::BAD_REQUEST, "Throttling", "Rate exceeded");
            }
            Some(FaultKind::InternalError) => {
                let message = "An internal error occurred";
                return error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    service.internal_error,
                    message,
                );
            }
            Some(FaultKind::Rejected) => {
                let message = "The message is rejected by an injected fault";
                return error(StatusCode::BAD_REQUEST, service.rejected, message);
            }
            Some(FaultKind::ConnectionReset) => return Err(ConnectionReset),
            Some(FaultKind::Delay(time)) => tokio::time::sleep(time).await,
            _ => {}
        }
        let answer = match (service.read)(form) {
            Ok(message) => self.accept(service, message),
            Err(error) => error.response(service.namespace),
        };
        if kind == Some(FaultKind::LostAnswer) {
            return Err(ConnectionReset);
        }
        Ok(answer)
    }

    /// Puts the message into the outbox and returns the response of a sent message.
    fn accept(&self, service: &Service, mut message: Message) -> Response<Full<Bytes>> {
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

/// An id in the form of AWS. It is random, so that ids differ between runs too.
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
