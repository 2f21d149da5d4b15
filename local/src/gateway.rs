//! The local API gateway: it finds the route, calls the function with the event of API Gateway and turns the result
//! into an HTTP response. It depends only on the template and has no code for any single endpoint.

pub mod event;
pub mod router;

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Bytes;
use lambda_http::{
    Context, LambdaEvent, lambda_runtime,
    request::LambdaRequest,
    tower::{Service, ServiceExt},
};
use serde::Serialize;
use serde_json::Value;
use shared::{
    clock::{Clock, SystemClock, Timestamp, millis},
    rng::Rng,
};
use tracing::Instrument;

use self::event::RequestInfo;
use crate::{
    runtime::console::REQUEST_TARGET,
    template::{GatewayResponse, Target, Template},
};

/// The largest body that a REST API accepts.
pub const LARGEST_BODY: usize = 10 * 1024 * 1024;

/// The number of requests that are kept for `/_local/`.
const REMEMBERED: usize = 100;

/// The time after which Lambda stops a function.
const TIMEOUT: Duration = Duration::from_secs(10);

type Answer = Pin<Box<dyn Future<Output = Result<Value>> + Send>>;

/// A function, ready to be called with an event.
#[derive(Clone)]
pub struct Function(Arc<dyn Fn(LambdaEvent<LambdaRequest>) -> Answer + Send + Sync>);

impl Function {
    /// A function from the service that `lambda_http` would run.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<LambdaEvent<LambdaRequest>> + Clone + Send + Sync + 'static,
        S::Response: Serialize,
        S::Error: Debug,
        S::Future: Send,
    {
        Self(Arc::new(move |event| {
            let service = service.clone();
            Box::pin(async move {
                let answer = service.oneshot(event).await;
                let answer =
                    answer.map_err(|error| anyhow!("the function returned an error: {error:?}"))?;
                Ok(serde_json::to_value(answer)?)
            })
        }))
    }
}

impl Debug for Function {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Function")
    }
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The time of its arrival, by the clock of the functions.
    pub at: Timestamp,
    /// The instant of its arrival, for comparison with DynamoDB calls.
    pub started: Instant,
    /// The duration until the response.
    pub duration: Duration,
    /// The HTTP method.
    pub method: String,
    /// The path without the query, which may contain a secret.
    pub path: String,
    /// The logical id of the function that answered. `None` if the gateway answered itself.
    pub function: Option<String>,
    /// The status of the response.
    pub status: u16,
}

/// The local API gateway.
#[derive(Debug)]
pub struct Gateway {
    template: Arc<Template>,
    functions: HashMap<String, Function>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    exchanges: Mutex<VecDeque<Exchange>>,
}

impl Gateway {
    /// A gateway for `functions`, by logical id. Every endpoint of the template must be among them.
    pub fn new(
        template: Arc<Template>,
        functions: HashMap<String, Function>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Result<Self> {
        let endpoints = template.functions.keys();
        for id in endpoints.filter(|id| !template.workers.contains_key(*id)) {
            functions.get(id).with_context(|| {
                format!("the template's function {id} is missing in local/src/functions.rs")
            })?;
        }
        Ok(Self {
            template,
            functions,
            clock,
            rng,
            exchanges: Mutex::default(),
        })
    }

    /// Answers a request from `peer`. Errors are returned as responses too.
    pub async fn call(&self, request: Request<Bytes>, peer: IpAddr) -> Response<Vec<u8>> {
        let (started, at) = (Instant::now(), self.clock.now());
        let method = request.method().to_string();
        let path = request.uri().path().to_owned();
        let id = self.request_id();
        let span = tracing::info_span!(target: REQUEST_TARGET, "gateway");
        let answer = self.answer(request, peer, at, &id);
        let (mut response, function) = answer.instrument(span.clone()).await;
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert("x-amzn-requestid", id);
        }
        let status = response.status().as_u16();
        let duration = started.elapsed();
        let milliseconds = duration.as_secs_f64() * 1000.0;
        span.in_scope(|| {
            tracing::info!(target: REQUEST_TARGET, method, path, status, milliseconds, "answered");
        });
        self.remember(Exchange {
            at,
            started,
            duration,
            method,
            path,
            function,
            status,
        });
        response
    }

    /// The last requests, newest first.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.lock().iter().rev().cloned().collect()
    }

    /// A gateway response of the template, for example `REQUEST_TOO_LARGE`.
    pub fn own_answer(&self, kind: &str, status: StatusCode) -> Response<Vec<u8>> {
        let general = if status.is_server_error() {
            "DEFAULT_5XX"
        } else {
            "DEFAULT_4XX"
        };
        let responses = &self.template.gateway_responses;
        let shape = responses
            .get(kind)
            .or_else(|| responses.get(general))
            .cloned()
            .unwrap_or_default();
        constant(&shape, status)
    }

    async fn answer(
        &self,
        request: Request<Bytes>,
        peer: IpAddr,
        at: Timestamp,
        request_id: &str,
    ) -> (Response<Vec<u8>>, Option<String>) {
        if request.body().len() > LARGEST_BODY {
            return (
                self.own_answer("REQUEST_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE),
                None,
            );
        }
        let found = router::find(
            &self.template,
            request.method().as_str(),
            request.uri().path(),
        );
        let Some(found) = found else {
            return (
                self.own_answer("MISSING_AUTHENTICATION_TOKEN", StatusCode::FORBIDDEN),
                None,
            );
        };
        let function = match found.target {
            Target::Mock(shape) => return (constant(shape, StatusCode::OK), None),
            Target::Function(function) => function,
        };
        let info = RequestInfo {
            peer,
            at,
            request_id,
            stage: &self.template.stage,
        };
        let event = event::event(&request, &found, &info);
        let response = match self.invoke(function, &event, request_id).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(
                    function,
                    error = format!("{error:#}"),
                    "an invocation failed, so the response is 502"
                );
                self.own_answer("DEFAULT_5XX", StatusCode::BAD_GATEWAY)
            }
        };
        (response, Some(function.clone()))
    }

    async fn invoke(&self, id: &str, event: &Value, request_id: &str) -> Result<Response<Vec<u8>>> {
        let function = self
            .functions
            .get(id)
            .with_context(|| format!("there is no function {id}"))?;
        // The event is converted through text, as on AWS.
        let request: LambdaRequest = serde_json::from_str(&event.to_string())?;
        let context = context(id, request_id);
        // The call is a separate task, so that a panic ends only this request, as on Lambda.
        let call = (function.0)(LambdaEvent::new(request, context));
        let call = tokio::spawn(call.in_current_span());
        let answer = tokio::time::timeout(TIMEOUT, call)
            .await
            .context("the function timed out")?;
        event::response(&answer.context("the function panicked")??)
    }

    fn request_id(&self) -> String {
        let mut bytes = [0; 16];
        self.rng.fill(&mut bytes);
        let hex = format!("{:032x}", u128::from_be_bytes(bytes));
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        parts.join("-")
    }

    fn remember(&self, exchange: Exchange) {
        let mut exchanges = self.lock();
        if exchanges.len() == REMEMBERED {
            exchanges.pop_front();
        }
        exchanges.push_back(exchange);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Exchange>> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An X-Ray trace header, derived from the request id.
fn trace(request_id: &str) -> String {
    let hex = request_id.replace('-', "");
    let (time, random) = hex.split_at_checked(8).unwrap_or_default();
    let random = random.get(..24).unwrap_or_default();
    format!("Root=1-{time}-{random};Sampled=0")
}

/// The context of a Lambda invocation. The deadline is in the system's time, as on Lambda.
fn context(function: &str, request_id: &str) -> Context {
    let mut config = lambda_runtime::Config::default();
    function.clone_into(&mut config.function_name);
    let mut context = Context::default();
    request_id.clone_into(&mut context.request_id);
    let deadline = SystemClock.now().0.saturating_add(millis(TIMEOUT));
    context.deadline = u64::try_from(deadline).unwrap_or_default();
    context.invoked_function_arn = format!("arn:aws:lambda:local:000000000000:function:{function}");
    context.xray_trace_id = Some(trace(request_id));
    context.env_config = Arc::new(config);
    context
}

fn constant(shape: &GatewayResponse, status: StatusCode) -> Response<Vec<u8>> {
    let mut response = Response::new(shape.body.clone().into_bytes());
    let own = shape
        .status
        .and_then(|status| StatusCode::from_u16(status).ok());
    *response.status_mut() = own.unwrap_or(status);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    for (name, value) in &shape.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests;
