//! One log line and the metrics for each call of a function.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Map, Value};

use crate::{
    app::App,
    metrics::{InvocationInfo, Meter, trace_id},
};

/// Measures the calls of a function.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) app: Arc<App>,
    /// The name of the function's package.
    operation: String,
    called: AtomicBool,
}

impl Observer {
    /// The observer for the handler or worker `T`. The operation has the name of the crate of `T`.
    pub(super) fn new<T>(app: Arc<App>) -> Self {
        let name = std::any::type_name::<T>();
        let package = name.split("::").next().unwrap_or(name);
        Self {
            app,
            operation: package.replace('_', "-"),
            called: AtomicBool::new(false),
        }
    }

    /// The observation of one call. `trace_header` is the header `X-Amzn-Trace-Id`, `memory_mb` the function's memory.
    pub(super) fn call(&self, trace_header: Option<&str>, memory_mb: i32) -> Call<'_> {
        let trace = trace_header.and_then(trace_id);
        Call {
            observer: self,
            meter: Meter::new(Arc::clone(&self.app.clock), trace.clone()),
            trace,
            memory_mb,
            cold_start: !self.called.swap(true, Ordering::Relaxed),
        }
    }
}

/// One call of a function.
pub(super) struct Call<'a> {
    observer: &'a Observer,
    pub(super) meter: Arc<Meter>,
    pub(super) trace: Option<String>,
    memory_mb: i32,
    cold_start: bool,
}

impl Call<'_> {
    pub(super) fn log(&self, message: &'static str, fields: Map<String, Value>) {
        let config = &self.observer.app.config;
        self.meter.write_line(InvocationInfo {
            message,
            stack: &config.tables,
            operation: &self.observer.operation,
            memory_mb: self.memory_mb,
            cold_start: self.cold_start,
            keys: &config.keys,
            fields,
        });
    }
}
