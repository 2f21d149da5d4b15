//! The DynamoDB proxy: an HTTP proxy between the functions' SDK and the embedded `DynamoDB`.
//!
//! It counts calls and capacity units. It injects faults that the embedded engine never has, because the engine
//! serialises its calls: conflicts, throttling, unprocessed keys, delays and lost responses. It rejects calls that the
//! caller's IAM policy in the template does not allow.

mod call;
mod faults;
mod forward;

use std::{
    collections::BTreeSet,
    fmt::Debug,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Result;
use http::{StatusCode, request::Parts};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

pub use self::{
    call::Call,
    faults::{Fault, FaultKind},
};
use self::{
    call::units,
    faults::FaultAction,
    forward::{aws_json, error_response, with_unprocessed},
};
pub(crate) use self::{
    call::{Calls, Operation},
    faults::FaultPlan,
};
pub use crate::iam::Use;
use crate::{
    iam::IamChecker,
    runtime::local_listener::{Answer, ConnectionReset, LocalListener},
};

/// A running proxy. Dropping it closes its port.
pub struct DynamoDbProxy {
    state: Arc<State>,
    listener: LocalListener,
}

struct State {
    iam: Arc<IamChecker>,
    prefix: String,
    database: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    calls: Mutex<Calls>,
    plan: Mutex<FaultPlan>,
}

impl DynamoDbProxy {
    /// Opens a proxy to the database at `database`. It listens on `address`, or on a free loopback port, and checks the
    /// IAM policies of its callers with `iam`. Call it within a Tokio runtime.
    pub fn open(
        database: SocketAddr,
        address: Option<SocketAddr>,
        prefix: &str,
        iam: Arc<IamChecker>,
    ) -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let state = Arc::new(State {
            iam,
            prefix: prefix.to_owned(),
            database,
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(connector),
            calls: Mutex::default(),
            plan: Mutex::default(),
        });
        let answering = Arc::clone(&state);
        let listener = LocalListener::open(address, move |head, body| {
            let state = Arc::clone(&answering);
            async move { state.answer(head, body).await }
        })?;
        Ok(Self { state, listener })
    }

    /// The address that the proxy listens on.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The last ten thousand calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls().all()
    }

    /// Removes and returns the calls, oldest first.
    pub fn take_calls(&self) -> Vec<Call> {
        self.state.calls().take()
    }

    /// Every permission that the calls of functions have needed, allowed or not. The set includes calls of SES and SNS.
    pub fn used(&self) -> BTreeSet<Use> {
        self.state.iam.used()
    }

    /// The calls that the caller's policy did not allow, including calls of SES and SNS.
    pub fn denials(&self) -> Vec<Use> {
        self.state.iam.denials()
    }

    /// Adds a fault to inject.
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

impl Debug for DynamoDbProxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DynamoDbProxy")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl State {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, FaultPlan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, head: Parts, body: Bytes) -> Answer {
        let started = Instant::now();
        let operation = Operation::read(&head.headers, &body, self.iam.template(), &self.prefix);
        if let Some(denied) = self.iam.check(&operation.caller, &operation.needs) {
            let message = format!(
                "User: {} is not authorized to perform: dynamodb:{} on {}",
                operation.caller, denied.action, denied.resource
            );
            let answer = error_response(StatusCode::BAD_REQUEST, "AccessDeniedException", &message);
            self.record(&operation, started, answer.status(), (0.0, 0.0));
            return Ok(answer);
        }
        let is_function = self.iam.is_function(&operation.caller);
        let action = self.plan().next(&operation, is_function);
        let (answer, lost) = match action {
            FaultAction::None => (self.forward(&head.headers, &operation, None).await, false),
            FaultAction::Delay(time) => {
                tokio::time::sleep(time).await;
                (self.forward(&head.headers, &operation, None).await, false)
            }
            FaultAction::Answer(status, body) => (Ok((aws_json(status, &body), Some(body))), false),
            FaultAction::Partial {
                request,
                unprocessed,
            } => {
                let answer = self.forward(&head.headers, &operation, Some(request)).await;
                (
                    answer.map(|answer| with_unprocessed(answer, &unprocessed)),
                    false,
                )
            }
            FaultAction::ConnectionReset => (Err(ConnectionReset), true),
            FaultAction::LostAnswer => (self.forward(&head.headers, &operation, None).await, true),
        };
        let (status, units) = match &answer {
            Ok((response, body)) => (response.status(), units(&operation, body.as_ref())),
            Err(ConnectionReset) => (StatusCode::BAD_GATEWAY, (0.0, 0.0)),
        };
        self.record(&operation, started, status, units);
        if lost {
            Err(ConnectionReset)
        } else {
            answer.map(|(response, _)| response)
        }
    }

    fn record(
        &self,
        operation: &Operation,
        started: Instant,
        status: StatusCode,
        units: (f64, f64),
    ) {
        let call = operation.call(started, status, units);
        tracing::debug!(
            caller = call.caller,
            operation = call.operation,
            status = call.status,
            "DynamoDB"
        );
        self.calls().push(call);
    }
}

#[cfg(test)]
mod tests;
