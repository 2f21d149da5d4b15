//! AWS Lambda: the only file that knows `lambda_http`.
//!
//! Starts a function, turns events into [`Request`]s and [`Response`]s into events, and logs each
//! request once, its failure included. A handler's rejection is a response like any other: Lambda
//! never sees an `Err`, which it would count as a failed invocation.

use std::{
    collections::BTreeMap, convert::Infallible, future::Future, net::IpAddr, process::ExitCode,
    sync::Arc,
};

use ::http::{HeaderMap, HeaderName, HeaderValue};
use lambda_http::{
    Adapter, Body, LambdaEvent, RequestExt,
    aws_lambda_events::query_map::QueryMap,
    lambda_runtime,
    request::{LambdaRequest, RequestContext},
    service_fn,
    tower::{ServiceExt, util::BoxCloneSyncService},
};
use tracing::{Instrument, level_filters::LevelFilter};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    app::App,
    aws::Aws,
    chance::SystemChance,
    clock::SystemClock,
    config::Config,
    error::Rejection,
    http::{Content, Network, Query, Request, Response},
};

/// A handler as a service of Lambda events.
pub type Service = BoxCloneSyncService<LambdaEvent<LambdaRequest>, serde_json::Value, Infallible>;

/// Runs a function: settings, tables, connection, then one event after the other. Only the
/// beginning may fail, and it prints every fault of the configuration at once.
pub fn run<H, F>(handle: H) -> ExitCode
where
    H: Fn(Arc<App>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Rejection>> + Send + 'static,
{
    start(async |app, _| lambda_runtime::run(service(app, handle)).await)
}

/// A function that is no endpoint: it is given events and answers nothing.
pub trait Worker: Send + Sync + 'static {
    /// Works on an event. What fails is for the worker to try again, never for Lambda.
    fn handle(&self, event: serde_json::Value) -> impl Future<Output = ()> + Send;
}

/// Runs a worker.
pub fn run_worker<W: Worker>(make: impl FnOnce(Arc<App>, &Aws) -> W) -> ExitCode {
    start(async |app, aws| {
        let worker = Arc::new(make(app, &aws));
        let service = service_fn(move |event: LambdaEvent<serde_json::Value>| {
            let worker = Arc::clone(&worker);
            async move {
                worker.handle(event.payload).await;
                Ok::<_, Infallible>(serde_json::Value::Null)
            }
        });
        lambda_runtime::run(service).await
    })
}

fn start(serve: impl AsyncFnOnce(Arc<App>, Aws) -> Result<(), lambda_http::Error>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    start_log();
    runtime.block_on(async {
        let (app, aws) = match app_from_environment() {
            Ok(app) => app,
            Err(faults) => return fail(&faults),
        };
        if app.config.warm_up {
            app.warm_up().await;
        }
        match serve(app, aws).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        }
    })
}

/// A handler as a service: what `run` gives to Lambda's runtime, and what a gateway in this
/// process can call.
pub fn service<H, F>(app: Arc<App>, handle: H) -> Service
where
    H: Fn(Arc<App>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Rejection>> + Send + 'static,
{
    let adapter = Adapter::from(service_fn(move |request: lambda_http::Request| {
        let (app, handle) = (Arc::clone(&app), handle.clone());
        async move { Ok::<_, Infallible>(answer(app, handle, request).await) }
    }));
    let service = service_fn(move |mut event: LambdaEvent<LambdaRequest>| {
        let adapter = adapter.clone();
        async move {
            make_harmless(&mut event.payload);
            let response = adapter.oneshot(event).await?;
            // Statuses, headers and text: nothing that serde_json refuses.
            Ok::<_, Infallible>(serde_json::to_value(response).unwrap_or_default())
        }
    });
    BoxCloneSyncService::new(service)
}

async fn answer<H, F>(
    app: Arc<App>,
    handle: H,
    request: lambda_http::Request,
) -> ::http::Response<Body>
where
    H: Fn(Arc<App>, Request) -> F,
    F: Future<Output = Result<Response, Rejection>>,
{
    let request = translate(&app.config, request);
    let (id, started) = (request.id.clone(), app.clock.now());
    let span = tracing::info_span!("request", request.id = id, http.method = %request.method, http.route = request.resource);
    let clock = Arc::clone(&app.clock);
    async move {
        let outcome = handle(app, request).await;
        let (response, code) = match outcome {
            Ok(response) => (response, None),
            Err(Rejection::Challenge(challenge)) => (challenge.response(), challenge.code()),
            Err(Rejection::Error(error)) => {
                error.log();
                (error.response(&id), Some(error.code.as_str()))
            }
        };
        let millis = clock.now().since(started).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        tracing::info!(
            http.status = response.status.as_u16(),
            errcode = code,
            duration_ms = millis,
            "answered"
        );
        translate_back(response)
    }
    .instrument(span)
    .await
}

fn translate(config: &Config, request: lambda_http::Request) -> Request {
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
        network: Network::behind(peer, &parts.headers, &config.trusted_proxies),
        method: parts.method,
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

/// An HTTP API begins the path with the name of its stage, unless that is `$default`.
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

fn translate_back(response: Response) -> ::http::Response<Body> {
    let headers = response.headers();
    let body = match response.content {
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

/// The longest query that is read, decoded, in bytes: more than API Gateway lets through, and short
/// enough to be a URL when it is encoded again. A longer one is as good as none.
const MAX_QUERY_BYTES: usize = 16 * 1024;

/// `lambda_http` rebuilds the request's URL from headers and panics if it cannot. We need none of
/// that URL: path and query come from the event itself.
fn make_harmless(event: &mut LambdaRequest) {
    let without_url_headers = |headers: &mut HeaderMap| {
        for name in ["host", "x-forwarded-proto"] {
            headers.remove(name);
        }
    };
    match event {
        LambdaRequest::ApiGatewayV1(event) => {
            // Of a repeated header `headers` has the last value alone, and it would win.
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

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of a function that reads the environment"
)]
fn app_from_environment() -> Result<(Arc<App>, Aws), String> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    let lookup = |name: &str| variables.get(name).cloned();
    let misspelt = Config::unknown_settings(variables.keys().cloned());
    let (config, aws) = (Config::from_lookup(lookup), Aws::from_lookup(lookup));
    match (misspelt, config, aws) {
        (Ok(()), Ok(config), Ok(aws)) => {
            let (clock, chance) = (Arc::new(SystemClock), Arc::new(SystemChance));
            Ok((App::new(Arc::new(config), &aws, clock, chance), aws))
        }
        (misspelt, config, aws) => {
            let faults = [
                misspelt.err().map(|f| f.to_string()),
                config.err().map(|f| f.to_string()),
                aws.err(),
            ];
            Err(faults.into_iter().flatten().collect::<Vec<_>>().join("\n"))
        }
    }
}

/// One JSON line an event, ours from `info`, others' from `warn`.
fn start_log() {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target(env!("CARGO_CRATE_NAME"), LevelFilter::INFO)
        .with_target("deliver", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .with_current_span(true)
        .with_span_list(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
}

#[expect(
    clippy::print_stderr,
    reason = "there is no log yet, or no request to log it with"
)]
fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("gatehouse cannot start:\n{error}");
    ExitCode::FAILURE
}
