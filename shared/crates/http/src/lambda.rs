//! The AWS Lambda runtime. Only this file uses `lambda_http`.
//!
//! Starts a function, converts events to [`Request`]s and [`Response`]s to events, and logs each
//! request once, including failed ones. A [`Rejection`] of a handler becomes a response. Lambda
//! never receives an `Err`, because Lambda would report a failed invocation.

mod environment;
mod observer;

use std::{convert::Infallible, future::Future, net::IpAddr, process::ExitCode, sync::Arc};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use lambda_http::{
    Adapter, Body, Context, LambdaEvent, RequestExt,
    aws_lambda_events::query_map::QueryMap,
    lambda_runtime,
    request::{LambdaRequest, RequestContext},
    service_fn,
    tower::{ServiceExt, util::BoxCloneSyncService},
};
use serde_json::{Map, Value};
use tracing::Instrument;

use crate::{
    app::App,
    auth_apis::ensure_endpoint_exists,
    aws::Aws,
    config::Config,
    error::{MatrixError, Rejection},
    http::{ClientNetwork, Content, Query, Request, Response},
};

use observer::{Call, Observer};

/// The only path that clients also use with a trailing slash: identity servers read the server's keys there.
const PATH_WITH_OPTIONAL_SLASH: &str = "/_matrix/key/v2/server";

/// A handler as a service of Lambda events.
pub type Service = BoxCloneSyncService<LambdaEvent<LambdaRequest>, Value, Infallible>;

/// Runs a function: reads the settings, connects to the tables, then handles events one after the
/// other. Only the start may fail. It then prints all errors of the configuration at once.
pub fn run<H, F>(handle: H) -> ExitCode
where
    H: Fn(Arc<App>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Rejection>> + Send + 'static,
{
    start(async |app, _| lambda_runtime::run(service(app, handle)).await)
}

/// A function without an endpoint. It handles events and returns no response.
pub trait Worker: Send + Sync + 'static {
    /// Handles an event. Lambda does not retry the event, so the worker must retry failed work.
    fn handle(&self, event: Value) -> impl Future<Output = ()> + Send;
}

/// Runs the worker that `make` creates.
pub fn run_worker<W: Worker>(make: impl FnOnce(Arc<App>, &Aws) -> W) -> ExitCode {
    start(async |app, aws| {
        let worker = Arc::new(Observed::new(Arc::clone(&app), make(app, &aws)));
        let service = service_fn(move |event: LambdaEvent<Value>| {
            let worker = Arc::clone(&worker);
            async move {
                worker.work(event.payload, &event.context).await;
                Ok::<_, Infallible>(Value::Null)
            }
        });
        lambda_runtime::run(service).await
    })
}

/// A worker with one log line for each event.
#[derive(Debug)]
pub struct Observed<W> {
    worker: W,
    observer: Observer,
}

impl<W: Worker> Observed<W> {
    /// Wraps `worker`.
    pub fn new(app: Arc<App>, worker: W) -> Self {
        let observer = Observer::new::<W>(app);
        Self { worker, observer }
    }

    async fn work(&self, event: Value, context: &Context) {
        let call = call(&self.observer, Some(context));
        let span = tracing::info_span!("event", trace.id = call.trace);
        // Without the box, the nested futures exceed the compiler's recursion limit.
        let work = Box::pin(call.meter.measure(self.worker.handle(event)));
        work.instrument(span).await;
        let mut fields = Map::new();
        fields.insert("request.id".to_owned(), context.request_id.clone().into());
        call.log("worked", fields);
    }
}

impl<W: Worker> Worker for Observed<W> {
    async fn handle(&self, event: Value) {
        self.work(event, &Context::default()).await;
    }
}

fn call<'a>(observer: &'a Observer, context: Option<&Context>) -> Call<'a> {
    let trace_header = context.and_then(|context| context.xray_trace_id.as_deref());
    let memory_mb = context.map_or(0, |context| context.env_config.memory);
    observer.call(trace_header, memory_mb)
}

fn start(serve: impl AsyncFnOnce(Arc<App>, Aws) -> Result<(), lambda_http::Error>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return environment::exit_with("gatehouse cannot start", &error),
    };
    environment::start_log();
    runtime.block_on(async {
        let (app, aws) = match environment::app().await {
            Ok(app) => app,
            Err(errors) => return environment::exit_with("gatehouse cannot start", &errors),
        };
        match serve(app, aws).await {
            Ok(()) => ExitCode::SUCCESS,
            // The connection to the Lambda runtime API was lost.
            Err(error) => environment::exit_with("the Lambda runtime stopped", &error),
        }
    })
}

/// A handler as a service. `run` passes it to the Lambda runtime. A gateway in the same process can
/// call it directly.
pub fn service<H, F>(app: Arc<App>, handle: H) -> Service
where
    H: Fn(Arc<App>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Rejection>> + Send + 'static,
{
    let observer = Arc::new(Observer::new::<H>(app));
    let adapter = Adapter::from(service_fn(move |request: lambda_http::Request| {
        let (observer, handle) = (Arc::clone(&observer), handle.clone());
        async move { Ok::<_, Infallible>(answer(&observer, handle, request).await) }
    }));
    let service = service_fn(move |mut event: LambdaEvent<LambdaRequest>| {
        let adapter = adapter.clone();
        async move {
            sanitize_event(&mut event.payload);
            let response = adapter.oneshot(event).await?;
            // Serialisation cannot fail: a response has only a status, headers and text.
            Ok::<_, Infallible>(serde_json::to_value(response).unwrap_or_default())
        }
    });
    BoxCloneSyncService::new(service)
}

async fn answer<H, F>(
    observer: &Observer,
    handle: H,
    request: lambda_http::Request,
) -> ::http::Response<Body>
where
    H: Fn(Arc<App>, Request) -> F,
    F: Future<Output = Result<Response, Rejection>>,
{
    let app = Arc::clone(&observer.app);
    let call = call(observer, request.lambda_context_ref());
    let request = from_event(&app.config, request);
    let (id, is_head) = (request.id.clone(), request.is_head);
    let method = if is_head {
        "HEAD"
    } else {
        request.method.as_str()
    }
    .to_owned();
    let span = tracing::info_span!(
        "request",
        request.id = id,
        trace.id = call.trace,
        http.method = method,
        http.route = request.resource
    );
    let mut fields = Map::new();
    let mut add_field = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    add_field("request.id", id.as_str().into());
    add_field("http.method", method.into());
    add_field("http.route", request.resource.as_str().into());
    let outcome = call.meter.measure(async {
        if is_other_path(&request) {
            return Err(MatrixError::unknown_path().into());
        }
        ensure_endpoint_exists(&app.config, &request)?;
        handle(app, request).await
    });
    let (response, code) = match outcome.instrument(span.clone()).await {
        Ok(response) => (response, None),
        Err(Rejection::Challenge(challenge)) => {
            let next: Vec<_> = challenge.next().collect();
            add_field("uia.next", next.join(" ").into());
            (challenge.response(), challenge.code())
        }
        Err(Rejection::Error(error)) => {
            span.in_scope(|| error.log());
            (error.response(&id), Some(error.code.as_str()))
        }
    };
    add_field("http.status", response.status.as_u16().into());
    if let Some(code) = code {
        add_field("errcode", code.into());
    }
    call.meter.answered(response.status.as_u16());
    call.log("answered", fields);
    into_event(response, is_head)
}

/// Whether the path has a trailing slash, which makes it another path (HTTP-24). API Gateway ignores the slash: it
/// invokes the function of the path without it.
fn is_other_path(request: &Request) -> bool {
    request.path.len() > 1
        && request.path.ends_with('/')
        && request.resource != PATH_WITH_OPTIONAL_SLASH
        && request.method != Method::OPTIONS
}

fn from_event(config: &Config, request: lambda_http::Request) -> Request {
    let (resource, source_ip, id, stage) = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => (
            context.resource_path.clone(),
            context.identity.source_ip.clone(),
            context.request_id.clone(),
            None,
        ),
        Some(RequestContext::ApiGatewayV2(context)) => (
            context.route_key.clone(),
            context.http.source_ip.clone(),
            context.request_id.clone(),
            context.stage.clone(),
        ),
        _ => (None, None, None, None),
    };
    let path = without_stage(request.raw_http_path(), stage.as_deref()).to_owned();
    let query = request
        .query_string_parameters_ref()
        .map(pairs)
        .unwrap_or_default();
    let (parts, body) = request.into_parts();
    let peer = source_ip
        .and_then(|ip| ip.parse::<IpAddr>().ok())
        .unwrap_or(IpAddr::from([0, 0, 0, 0]));
    Request {
        network: ClientNetwork::behind(peer, &parts.headers, &config.trusted_proxies),
        is_head: parts.method == Method::HEAD,
        method: match parts.method {
            Method::HEAD => Method::GET,
            method => method,
        },
        path,
        resource: resource.unwrap_or_default(),
        query,
        headers: parts.headers,
        body: match body {
            Body::Text(text) => text.into_bytes(),
            Body::Binary(bytes) => bytes,
            _ => Vec::new(),
        },
        id: id.unwrap_or_default(),
    }
}

/// The path without the name of the stage. An HTTP API puts the name of the stage before the path,
/// unless it is `$default`.
fn without_stage<'a>(path: &'a str, stage: Option<&str>) -> &'a str {
    stage
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}

fn pairs(map: &QueryMap) -> Query {
    map.iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The response for API Gateway. The response to a HEAD request has the headers of GET and no body (RFC 9110).
fn into_event(response: Response, is_head: bool) -> ::http::Response<Body> {
    let headers = response.headers();
    let body = match response.content {
        _ if is_head => Body::Empty,
        Content::Empty => Body::Empty,
        Content::Json(text) | Content::Html { page: text, .. } => Body::Text(text),
    };
    let mut out = ::http::Response::new(body);
    *out.status_mut() = response.status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            out.headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
    out
}

/// The maximum length of a decoded query in bytes. The value exceeds the limit of API Gateway, and
/// the encoded query still fits in a URL. A longer query of a REST API is ignored.
const MAX_QUERY_BYTES: usize = 16 * 1024;

/// Removes the headers and queries for which `lambda_http` would panic while it builds the request's URL
/// from them. The URL is not used, because path and query are read from the event.
fn sanitize_event(event: &mut LambdaRequest) {
    let without_url_headers = |headers: &mut HeaderMap| {
        for name in ["host", "x-forwarded-proto"] {
            headers.remove(name);
        }
    };
    match event {
        LambdaRequest::ApiGatewayV1(event) => {
            // `headers` has only the last value of a repeated header and would take precedence.
            if !event.multi_value_headers.is_empty() {
                event.headers.clear();
            }
            without_url_headers(&mut event.headers);
            without_url_headers(&mut event.multi_value_headers);
            event.request_context.domain_name = None;
            let queries = &mut event.multi_value_query_string_parameters;
            if queries
                .iter()
                .map(|(name, value)| name.len() + value.len() + 2)
                .sum::<usize>()
                > MAX_QUERY_BYTES
            {
                (*queries, event.query_string_parameters) = <_>::default();
            }
        }
        LambdaRequest::ApiGatewayV2(event) => {
            without_url_headers(&mut event.headers);
            event.request_context.domain_name = None;
            if let Some(query) = &mut event.raw_query_string {
                *query = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(form_urlencoded::parse(query.as_bytes()))
                    .finish();
                query.truncate(3 * MAX_QUERY_BYTES);
            }
        }
        _ => {}
    }
}
