//! `deliver`: what waits in the outbox goes to SES and SNS.

use std::sync::Arc;

use serde_json::Value;
use shared::{app::App, aws::Aws, lambda::Worker};

/// The worker.
#[derive(Debug)]
pub struct Deliver {
    app: Arc<App>,
}

impl Deliver {
    /// Opens no connection.
    pub fn new(app: Arc<App>, _aws: &Aws) -> Self {
        Self { app }
    }
}

impl Worker for Deliver {
    async fn handle(&self, event: Value) {
        let _ = (&self.app, event);
    }
}
