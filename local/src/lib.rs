//! Gatehouse on one machine: the same functions as on AWS behind a stand-in for API Gateway, with an
//! embedded `DynamoDB` that speaks the real protocol. `cargo run` serves it; the tests call it in process.
//!
//! Routes, tables and permissions come from `template.yaml`. Nothing here is part of a function.

pub mod aws_fakes;
pub mod clock;
pub mod defaults;
pub mod engine;
pub mod event;
pub mod event_poller;
mod functions;
pub mod gateway;
mod host;
pub mod iam;
mod loopback;
pub mod outbox;
mod page;
pub mod proxy;
pub mod router;
#[cfg(test)]
mod scratch;
pub mod server;
pub mod services;
pub mod template;

use std::{
    fmt::Debug,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Result;
use http::{Request, Response};
use hyper::body::Bytes;
use shared::{
    app::App,
    aws::Aws,
    clock::{Clock, Timestamp},
    config::Config,
    rng::{Rng, SystemRng},
};

use crate::{
    aws_fakes::AwsFakes,
    clock::{MovableClock, TooFar},
    defaults::{Defaults, Lookup},
    engine::Engine,
    event_poller::{EventPoller, Running},
    gateway::Gateway,
    outbox::Outbox,
    proxy::DynamoDbProxy,
    services::{ExternalEndpoints, Places, Services, export_lines},
    template::Template,
};

/// How to run it.
#[derive(Clone)]
pub struct Options {
    /// Where settings come from; what it does not know has its local default.
    pub lookup: Lookup,
    /// Where it is reached on this machine; clients too, unless a setting says otherwise.
    pub address: String,
    /// Where the tables, the secret and the clock's offset are kept; nowhere without it.
    pub data: Option<PathBuf>,
    /// What the functions take for the time.
    pub clock: Arc<MovableClock>,
    /// Where the functions' random bytes come from.
    pub rng: Arc<dyn Rng>,
    /// Whether the tap refuses what a function's policy does not allow.
    pub enforce_policies: bool,
    /// Where the services listen, where it matters.
    pub places: Places,
    /// Services to use in place of the embedded ones.
    pub elsewhere: ExternalEndpoints,
}

impl Default for Options {
    /// In memory, by the machine's clock and generator, with the local defaults alone: the environment is
    /// not looked at.
    fn default() -> Self {
        Self {
            lookup: Arc::new(|_| None),
            address: "http://127.0.0.1:8008".to_owned(),
            data: None,
            clock: Arc::new(MovableClock::running()),
            rng: Arc::new(SystemRng),
            enforce_policies: true,
            places: Places::default(),
            elsewhere: ExternalEndpoints::default(),
        }
    }
}

impl Debug for Options {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Options")
            .field("address", &self.address)
            .field("data", &self.data)
            .field("enforce_policies", &self.enforce_policies)
            .field("places", &self.places)
            .field("elsewhere", &self.elsewhere)
            .finish_non_exhaustive()
    }
}

/// The whole house, running. Dropping it stops it.
#[derive(Debug)]
pub struct Local {
    config: Arc<Config>,
    gateway: Gateway,
    event_poller: Arc<EventPoller>,
    services: Services,
    /// What the settings were made of, for those who want to run beside it.
    settings: Vec<(&'static str, String)>,
    flows: String,
    address: String,
}

impl Local {
    /// Starts it. Call it within a Tokio runtime, which serves the tap and runs the functions.
    ///
    /// # Errors
    ///
    /// Fails with [`shared::config::ConfigErrors`] if the settings are at fault, with other errors if a
    /// port, a file or the template is.
    pub fn start(options: Options) -> Result<Self> {
        let defaults = Defaults::new(&options.address, options.data.as_deref(), &*options.rng)?;
        let lookup = defaults.under(Arc::clone(&options.lookup));
        let config = Arc::new(Config::from_lookup(&*lookup)?);
        let settings: Vec<_> = defaults
            .applied(&options.lookup)
            .map(|(name, value)| (name, value.to_owned()))
            .collect();
        let services = Services::start(
            options.data.as_deref(),
            &config.tables,
            Arc::clone(&options.clock),
            options.places,
            options.enforce_policies,
            options.elsewhere,
        )?;
        let event_poller = Arc::new(EventPoller::new(&services, &config, &options.rng)?);
        let clock: Arc<dyn Clock> = Arc::clone(&options.clock) as Arc<dyn Clock>;
        let functions = functions::all(|id| {
            // Who calls: the tap judges each function by its own policy.
            let aws = services.aws(id);
            App::new(
                Arc::clone(&config),
                &aws,
                Arc::clone(&clock),
                Arc::clone(&options.rng),
            )
        });
        // Request ids are the gateway's own business: a seeded test's tokens must not depend on them.
        let gateway = Gateway::new(Template::ours()?, functions, clock, Arc::new(SystemRng))?;
        let flows = lookup("GATEHOUSE_REGISTRATION_FLOWS").unwrap_or_default();
        Ok(Self {
            config,
            gateway,
            event_poller,
            services,
            settings,
            flows,
            address: options.address,
        })
    }

    /// Sends a request in process, as if from 127.0.0.1.
    pub async fn call<B: Into<Bytes>>(&self, request: Request<B>) -> Response<Vec<u8>> {
        self.call_from(Ipv4Addr::LOCALHOST.into(), request).await
    }

    /// Sends a request in process, as if from `peer`.
    pub async fn call_from<B: Into<Bytes>>(
        &self,
        peer: IpAddr,
        request: Request<B>,
    ) -> Response<Vec<u8>> {
        self.gateway.call(request.map(Into::into), peer).await
    }

    /// The settings in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The stand-in for API Gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The wire tap before the embedded `DynamoDB`.
    pub fn proxy(&self) -> &DynamoDbProxy {
        self.services.proxy()
    }

    /// The embedded `DynamoDB`.
    pub fn engine(&self) -> &Engine {
        self.services.engine()
    }

    /// The clock the functions read.
    pub fn clock(&self) -> &Arc<MovableClock> {
        self.services.clock()
    }

    /// The messages that would have been sent.
    pub fn outbox(&self) -> &Outbox {
        self.services.outbox()
    }

    /// SES and SNS, as far as they are embedded.
    pub fn aws_fakes(&self) -> &AwsFakes {
        self.services.aws_fakes()
    }

    /// Gives `Deliver` every row that is new in the outbox since the last time, and those that come meanwhile,
    /// and says how many there were.
    ///
    /// # Errors
    ///
    /// Fails if the embedded `DynamoDB` does.
    pub async fn deliver(&self) -> Result<usize> {
        self.event_poller.deliver().await
    }

    /// Does both [`Local::deliver`] and [`Local::tick`] by itself, until what is returned is stopped: before this
    /// is dropped, and with it the services.
    pub fn run_deliver(&self) -> Running {
        self.event_poller.run()
    }

    /// Loses what [`Local::deliver`] would deliver now, as AWS may, and says how many rows that were.
    ///
    /// # Errors
    ///
    /// Fails if the embedded `DynamoDB` does.
    pub async fn skip_stream(&self) -> Result<usize> {
        self.event_poller.skip().await
    }

    /// Gives `Deliver` the event of its schedule.
    pub async fn tick(&self) {
        self.event_poller.tick().await;
    }

    /// The embedded services, for a caller with this access key id.
    pub fn aws(&self, caller: &str) -> Aws {
        self.services.aws(caller)
    }

    /// Where an SDK finds the embedded `DynamoDB`.
    pub fn dynamodb_endpoint(&self) -> String {
        self.services.dynamodb_endpoint()
    }

    /// Where an SDK finds the embedded SES and SNS.
    pub fn messages_endpoint(&self) -> String {
        self.services.messages_endpoint()
    }

    /// The ways to register, as the setting has them.
    pub fn flows(&self) -> &str {
        &self.flows
    }

    /// Where it is reached on this machine.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lines for a shell: where the services are, and the settings that were made up or defaulted.
    pub fn env_lines(&self) -> String {
        let mut variables = self.services.environment();
        variables.extend(self.settings.iter().cloned());
        if !variables
            .iter()
            .any(|(name, _)| *name == "GATEHOUSE_TABLES")
        {
            variables.push(("GATEHOUSE_TABLES", self.config.tables.clone()));
        }
        export_lines(
            variables
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        )
    }

    /// Moves the clock on, deletes the rows whose time to live passes, and says what the clock shows.
    ///
    /// # Errors
    ///
    /// Fails with [`TooFar`] if the clock cannot be moved so far, with other errors if the embedded
    /// `DynamoDB` fails.
    pub fn advance(&self, by: std::time::Duration) -> Result<Timestamp> {
        let now = self.clock().advance(by).ok_or(TooFar)?;
        self.engine().sweep(now)?;
        Ok(now)
    }
}
