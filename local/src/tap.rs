//! The wire tap: an HTTP proxy between the functions' SDK and the embedded `DynamoDB`.
//!
//! It counts calls and capacity, injects what an engine that serialises never does (conflicts, throttles,
//! unprocessed keys, delays, lost answers) and refuses what the caller's policy in the template does not
//! allow. Each function's access key id is its logical id, which is how the tap knows the caller.
//!
//! The engine takes every signature for good, so the tap keeps web pages out: it answers no request that has
//! an `Origin` or that names another host than this machine (DNS rebinding).

mod call;
mod faults;
mod wire;

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Debug,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::{Context, Result};
use http::{Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{net::TcpListener, sync::watch};

pub use self::{
    call::{Call, Use},
    faults::{Fault, Kind},
};
use self::{
    call::{Operation, units},
    faults::{Effect, Plan},
    wire::{Severed, aws_json, refusal, with_unprocessed},
};
use crate::{host::Host, template::Template};

/// How many calls are remembered.
const REMEMBERED: usize = 10_000;

/// The largest request the engine takes.
const LARGEST: usize = 16 * 1024 * 1024;

/// A running tap. Dropping it closes its port.
pub struct Tap {
    state: Arc<State>,
    address: SocketAddr,
    /// Dropped with the tap, which ends the listener and every connection.
    _open: watch::Sender<()>,
}

struct State {
    template: Arc<Template>,
    prefix: String,
    engine: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    enforce: bool,
    log: Mutex<Log>,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Log {
    seq: u64,
    calls: VecDeque<Call>,
    used: BTreeSet<Use>,
    denials: Vec<Use>,
}

impl Tap {
    /// Opens a tap to `engine` on a loopback port, `port` if it is given. Call it within a Tokio runtime.
    ///
    /// With `enforce`, a call that the caller's policy does not allow is refused; otherwise it is only
    /// recorded. A caller that is no function may do everything.
    pub fn open(
        engine: SocketAddr,
        port: Option<u16>,
        template: Arc<Template>,
        prefix: &str,
        enforce: bool,
    ) -> Result<Self> {
        let wanted = (Ipv4Addr::LOCALHOST, port.unwrap_or(0));
        let listener = std::net::TcpListener::bind(wanted)
            .with_context(|| format!("cannot listen on 127.0.0.1:{}", wanted.1))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let state = Arc::new(State {
            template,
            prefix: prefix.to_owned(),
            engine,
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(connector),
            enforce,
            log: Mutex::default(),
            plan: Mutex::default(),
        });
        let (open, closed) = watch::channel(());
        tokio::spawn(listen(
            TcpListener::from_std(listener)?,
            Arc::clone(&state),
            closed,
        ));
        Ok(Self {
            state,
            address,
            _open: open,
        })
    }

    /// Where the tap listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The calls so far, oldest first; the last ten thousand of them.
    pub fn calls(&self) -> Vec<Call> {
        self.state.log().calls.iter().cloned().collect()
    }

    /// The calls since the last time they were taken.
    pub fn take_calls(&self) -> Vec<Call> {
        self.state.log().calls.drain(..).collect()
    }

    /// Everything a function's policy was needed for so far, allowed or not.
    pub fn used(&self) -> BTreeSet<Use> {
        self.state.log().used.clone()
    }

    /// What was done, or refused, without the caller's policy allowing it.
    pub fn denials(&self) -> Vec<Use> {
        self.state.log().denials.clone()
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
    pub fn chaos(&self, seed: u64, per_mille: u16, kinds: &[Kind]) {
        self.state.plan().chaos(seed, per_mille, kinds);
    }

    /// Forgets every planned fault and ends the chaos.
    pub fn calm(&self) {
        *self.state.plan() = Plan::default();
    }
}

impl Debug for Tap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tap")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn listen(listener: TcpListener, state: Arc<State>, mut closed: watch::Receiver<()>) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to close theirs.
                    tracing::warn!(%error, "the tap cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = closed.changed() => return,
        };
        let _ = stream.set_nodelay(true);
        let (state, mut closed) = (Arc::clone(&state), closed.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { state.answer(request).await }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // A connection that ends badly was cut on purpose or by the client.
                _ = connection => {}
                _ = closed.changed() => {}
            }
        });
    }
}

impl State {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Severed> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        if is_of_a_page(&parts) {
            return Ok(refusal(
                StatusCode::FORBIDDEN,
                "AccessDeniedException",
                "only for programs of this machine",
            ));
        }
        let body = match Limited::new(body, LARGEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Ok(refusal(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "SerializationException",
                    "too large",
                ));
            }
            Err(_) => return Err(Severed),
        };
        let operation = Operation::read(&parts.headers, &body, &self.template, &self.prefix);
        if let Some(denied) = self.judge(&operation) {
            let message = format!(
                "User: {} is not authorized to perform: {denied}",
                operation.caller
            );
            let answer = refusal(StatusCode::BAD_REQUEST, "AccessDeniedException", &message);
            self.record(&operation, started, answer.status(), (0.0, 0.0));
            return Ok(answer);
        }
        let is_function = self.template.policy(&operation.caller).is_some();
        let effect = self.plan().next(&operation, is_function);
        let (answer, lost) = match effect {
            Effect::None => (self.forward(&parts.headers, &operation, None).await, false),
            Effect::Delay(time) => {
                tokio::time::sleep(time).await;
                (self.forward(&parts.headers, &operation, None).await, false)
            }
            Effect::Answer(status, body) => (Ok((aws_json(status, &body), Some(body))), false),
            Effect::Partly {
                request,
                unprocessed,
            } => {
                let answer = self
                    .forward(&parts.headers, &operation, Some(request))
                    .await;
                (
                    answer.map(|answer| with_unprocessed(answer, &unprocessed)),
                    false,
                )
            }
            Effect::Cut => (Err(Severed), true),
            Effect::LostAnswer => (self.forward(&parts.headers, &operation, None).await, true),
        };
        let (status, units) = match &answer {
            Ok((response, body)) => (response.status(), units(&operation, body.as_ref())),
            Err(Severed) => (StatusCode::BAD_GATEWAY, (0.0, 0.0)),
        };
        self.record(&operation, started, status, units);
        if lost {
            Err(Severed)
        } else {
            answer.map(|(response, _)| response)
        }
    }

    /// Notes what the call needs, and names what its caller may not do if that is to be enforced.
    fn judge(&self, operation: &Operation) -> Option<String> {
        let policy = self.template.policy(&operation.caller)?;
        let mut log = self.log();
        let mut denied = None;
        for needed in &operation.needs {
            let used = Use {
                function: operation.caller.clone(),
                permission: needed.clone(),
            };
            log.used.insert(used.clone());
            if !policy.iter().any(|held| held.covers(needed)) {
                denied = Some(format!("dynamodb:{} on {}", needed.action, needed.resource));
                log.denials.push(used);
            }
        }
        denied.filter(|_| self.enforce)
    }

    fn record(
        &self,
        operation: &Operation,
        started: Instant,
        status: StatusCode,
        units: (f64, f64),
    ) {
        let mut log = self.log();
        log.seq += 1;
        let call = Call {
            seq: log.seq,
            at: started,
            caller: operation.caller.clone(),
            operation: operation.name.clone(),
            tables: operation.tables.clone(),
            read_units: units.0,
            write_units: units.1,
            status: status.as_u16(),
            duration: started.elapsed(),
        };
        tracing::debug!(
            caller = call.caller,
            operation = call.operation,
            status = call.status,
            "DynamoDB"
        );
        if log.calls.len() == REMEMBERED {
            log.calls.pop_front();
        }
        log.calls.push_back(call);
    }
}

/// Whether a request may be a web page's: programs send no `Origin`, and know the tap by a loopback address.
fn is_of_a_page(head: &Parts) -> bool {
    head.headers.contains_key(header::ORIGIN)
        || !Host::of(head).is_some_and(|host| host.is_loopback())
}

#[cfg(test)]
mod tests;
