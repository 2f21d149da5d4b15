//! The wire tap: an HTTP proxy between the functions' SDK and the embedded `DynamoDB`.
//!
//! It counts calls and capacity, injects what an engine that serialises never does (conflicts, throttles,
//! unprocessed keys, delays, lost answers) and refuses what the caller's policy in the template does not
//! allow.

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
    forward::{aws_json, refusal, with_unprocessed},
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

/// A running tap. Dropping it closes its port.
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
    /// Opens a tap to `database` on a loopback port, `port` if it is given; `iam` judges its callers. Call it
    /// within a Tokio runtime.
    pub fn open(
        database: SocketAddr,
        place: Option<SocketAddr>,
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
        let listener = LocalListener::open(place, move |head, body| {
            let state = Arc::clone(&answering);
            async move { state.answer(head, body).await }
        })?;
        Ok(Self { state, listener })
    }

    /// Where the tap listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The calls so far, oldest first; the last ten thousand of them.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls().all()
    }

    /// The calls since the last time they were taken.
    pub fn take_calls(&self) -> Vec<Call> {
        self.state.calls().take()
    }

    /// Everything a function's policy was needed for so far, allowed or not, for SES and SNS too.
    pub fn used(&self) -> BTreeSet<Use> {
        self.state.iam.used()
    }

    /// What was done, or refused, without the caller's policy allowing it, with SES and SNS too.
    pub fn denials(&self) -> Vec<Use> {
        self.state.iam.denials()
    }

    /// Plans a fault.
    pub fn inject(&self, fault: Fault) {
        self.state.plan().add(fault);
    }

    /// How many planned faults have not yet happened to the end.
    pub fn pending_faults(&self) -> usize {
        self.state.plan().pending()
    }

    /// From now on, `per_mille` of a thousand calls of functions suffer one of `kinds`, as `seed` decides.
    pub fn random_faults(&self, seed: u64, per_mille: u16, kinds: &[FaultKind]) {
        self.state.plan().random_faults(seed, per_mille, kinds);
    }

    /// Forgets every planned fault and ends the chaos.
    pub fn clear_faults(&self) {
        *self.state.plan() = FaultPlan::default();
    }
}

impl Debug for DynamoDbProxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tap")
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
            let answer = refusal(StatusCode::BAD_REQUEST, "AccessDeniedException", &message);
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
