//! A local Gatehouse server: the functions that run on AWS, behind a local API gateway and with an embedded
//! `DynamoDB` that speaks the real protocol. `cargo run` serves it over HTTP. The tests call it in process.
//!
//! Routes, tables and permissions come from `template.yaml`. No deployed function contains code of this crate.

pub mod aws_fakes;
mod dev_ui;
pub mod dynamodb;
mod functions;
pub mod gateway;
pub mod iam;
pub mod runtime;
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
    aws_fakes::{AwsFakes, outbox::Outbox},
    dynamodb::{embedded::EmbeddedDynamoDb, proxy::DynamoDbProxy},
    gateway::Gateway,
    runtime::{
        clock::{MovableClock, TooFar},
        defaults::{Defaults, Lookup},
        event_poller::{EventPoller, Running},
        services::{ExternalEndpoints, ListenAddresses, Services, export_lines},
    },
    template::Template,
};

/// The settings, resources and services that the server runs with.
#[derive(Clone)]
pub struct Options {
    /// The settings. A setting that the lookup does not have takes its local default.
    pub lookup: Lookup,
    /// The URL of the server on this machine. It is also the public URL, unless a setting names another URL.
    pub address: String,
    /// The directory for the tables, the secret and the clock's offset. If it is `None`, nothing is stored on disk.
    pub data: Option<PathBuf>,
    /// The clock of the functions.
    pub clock: Arc<MovableClock>,
    /// The source of the functions' random bytes.
    pub rng: Arc<dyn Rng>,
    /// Whether the embedded services reject calls that a function's IAM policy does not allow.
    pub enforce_policies: bool,
    /// The addresses of the embedded services, if they must be fixed.
    pub listen: ListenAddresses,
    /// Services to use instead of the embedded services.
    pub external: ExternalEndpoints,
}

impl Default for Options {
    /// A server in memory, with the system's clock and random number generator and the local defaults. It does
    /// not read environment variables.
    fn default() -> Self {
        Self {
            lookup: Arc::new(|_| None),
            address: "http://127.0.0.1:8008".to_owned(),
            data: None,
            clock: Arc::new(MovableClock::running()),
            rng: Arc::new(SystemRng),
            enforce_policies: true,
            listen: ListenAddresses::default(),
            external: ExternalEndpoints::default(),
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
            .field("listen", &self.listen)
            .field("external", &self.external)
            .finish_non_exhaustive()
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Local {
    config: Arc<Config>,
    gateway: Gateway,
    event_poller: Arc<EventPoller>,
    services: Services,
    /// The generated and default settings, for other programs that use the same services.
    settings: Vec<(&'static str, String)>,
    flows: String,
    address: String,
}

impl Local {
    /// Starts the server. Call it within a Tokio runtime, which serves the DynamoDB proxy and runs the functions.
    ///
    /// # Errors
    ///
    /// Fails with [`shared::config::ConfigErrors`] if the settings are invalid, and with other errors if a port
    /// is in use, a file cannot be read or the template is invalid.
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
            options.listen,
            options.enforce_policies,
            options.external,
        )?;
        let event_poller = Arc::new(EventPoller::new(&services, &config, &options.rng)?);
        let clock: Arc<dyn Clock> = Arc::clone(&options.clock) as Arc<dyn Clock>;
        let functions = functions::all(|id| {
            // The function's logical id is its access key id, which selects its IAM policy.
            let aws = services.aws(id);
            App::new(
                Arc::clone(&config),
                &aws,
                Arc::clone(&clock),
                Arc::clone(&options.rng),
            )
        });
        // Request ids have a separate generator, so that the tokens of a seeded test do not depend on them.
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

    /// The settings of the server.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The local API gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The proxy in front of `DynamoDB`.
    pub fn proxy(&self) -> &DynamoDbProxy {
        self.services.proxy()
    }

    /// The embedded `DynamoDB`.
    pub fn dynamodb(&self) -> &EmbeddedDynamoDb {
        self.services.dynamodb()
    }

    /// The clock of the functions.
    pub fn clock(&self) -> &Arc<MovableClock> {
        self.services.clock()
    }

    /// The messages that the fakes have accepted.
    pub fn outbox(&self) -> &Outbox {
        self.services.outbox()
    }

    /// The fakes of SES, SNS and Secrets Manager.
    pub fn aws_fakes(&self) -> &AwsFakes {
        self.services.aws_fakes()
    }

    /// Runs `Deliver` for every row that is new in the outbox table since the last run, until there is no new row.
    /// Returns the number of rows.
    ///
    /// # Errors
    ///
    /// Fails if the embedded `DynamoDB` fails.
    pub async fn deliver(&self) -> Result<usize> {
        self.event_poller.deliver().await
    }

    /// Runs [`Local::deliver`] and [`Local::run_schedule`] in the background until the returned handle is stopped.
    /// Stop it before dropping the server, because the worker needs the services.
    pub fn run_deliver(&self) -> Running {
        self.event_poller.run()
    }

    /// Drops the stream records that [`Local::deliver`] would handle now, because AWS may lose stream records too.
    /// Returns the number of rows.
    ///
    /// # Errors
    ///
    /// Fails if the embedded `DynamoDB` fails.
    pub async fn drop_stream_records(&self) -> Result<usize> {
        self.event_poller.drop_records().await
    }

    /// Runs `Deliver` with the event of its schedule.
    pub async fn run_schedule(&self) {
        self.event_poller.run_schedule().await;
    }

    /// The endpoints of the services, with this access key id.
    pub fn aws(&self, caller: &str) -> Aws {
        self.services.aws(caller)
    }

    /// The endpoint of `DynamoDB` for an SDK.
    pub fn dynamodb_endpoint(&self) -> String {
        self.services.dynamodb_endpoint()
    }

    /// The endpoint of SES and SNS for an SDK.
    pub fn messages_endpoint(&self) -> String {
        self.services.messages_endpoint()
    }

    /// The value of the setting for registration flows.
    pub fn flows(&self) -> &str {
        &self.flows
    }

    /// The URL of the server on this machine.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `export` lines for a shell: the endpoints of the services, and the generated and default settings.
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

    /// Moves the clock forward and deletes the rows whose time to live has passed. Returns the new time.
    ///
    /// # Errors
    ///
    /// Fails with [`TooFar`] if the clock cannot be moved that far, and with other errors if the embedded
    /// `DynamoDB` fails.
    pub fn advance(&self, by: std::time::Duration) -> Result<Timestamp> {
        let now = self.clock().advance(by).ok_or(TooFar)?;
        self.dynamodb().delete_expired(now)?;
        Ok(now)
    }
}
