//! Captured logs, for tests that search them for secrets and for request lines.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use serde_json::Value;
use shared::metrics::LINE_TARGET;

/// Everything that this thread logs, at every level, until the guard of [`Log::capture`] is dropped.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Starts capturing. The test's runtime must run only on this thread, as the runtime of
    /// `#[tokio::test]` does.
    pub fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        // With a single subscriber, a thread without one may disable a callsite for all threads; a
        // second subscriber prevents that.
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new()));
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::level_filters::LevelFilter::TRACE)
            // The microseconds of a time have six digits and can equal a code.
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The text that was logged so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// The log lines of requests and events, oldest first.
    pub fn request_lines(&self) -> Vec<Value> {
        let text = self.text();
        let prefix = format!(" {LINE_TARGET}: line=");
        let lines = text.lines().filter_map(|line| line.split_once(&prefix));
        lines
            .map(|(_, quoted)| {
                let line: String = serde_json::from_str(quoted).expect("a text");
                serde_json::from_str(&line).expect("a JSON object")
            })
            .collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
