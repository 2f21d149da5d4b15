//! The state that every request handler shares: configuration, store, clock and randomness, created once per
//! process.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicI64, Ordering},
};

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use tokio::sync::RwLock;

use crate::{
    appservices::{Appservices, FRESH_FOR_MS},
    aws::Aws,
    captcha,
    clock::Clock,
    config::Config,
    homeserver_client, id_server_client,
    passwords::Hasher,
    rng::Rng,
    store::{AppservicesRow, RegistrationLookup, Store, StoreError},
};

/// The state of the process. None of it is needed after the process ends.
#[derive(Debug)]
pub struct App {
    /// The configuration.
    pub config: Arc<Config>,
    /// The DynamoDB tables.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub rng: Arc<dyn Rng>,
    /// The password hasher.
    pub hasher: Hasher,
    captcha_connector: OnceLock<SharedHttpConnector>,
    identity_client: OnceLock<id_server_client::Client>,
    homeserver_client: OnceLock<homeserver_client::Client>,
    appservices: RwLock<Arc<Appservices>>,
    /// The time when the copy above was read, in milliseconds since the epoch.
    appservices_read: AtomicI64,
}

impl App {
    /// Creates the state. Does not open a connection.
    pub fn new(
        config: Arc<Config>,
        aws: &Aws,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Arc<Self> {
        let store = Store::new(aws, &config.tables, Arc::clone(&rng));
        Self::with_store(config, store, clock, rng)
    }

    /// Like [`App::new`], with a store that may already have an open connection.
    pub fn with_store(
        config: Arc<Config>,
        store: Store,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            hasher: Hasher::new(config.passwords.clone()),
            captcha_connector: OnceLock::new(),
            identity_client: OnceLock::new(),
            homeserver_client: OnceLock::new(),
            appservices: RwLock::default(),
            appservices_read: AtomicI64::new(i64::MIN),
            config,
            clock,
            rng,
        })
    }

    /// Takes over the application services that [`warm_up`] has read. An error is ignored here: a later request
    /// reads them again and reports it.
    pub async fn use_prefetched(&self, row: Option<AppservicesRow>) {
        let _ = self.refresh_appservices(row).await;
    }

    /// The connector for the captcha provider, created at its first use.
    pub fn captcha_connector(&self) -> &SharedHttpConnector {
        self.captcha_connector.get_or_init(captcha::connector)
    }

    /// The client for identity servers, created at its first use.
    pub fn identity_client(&self) -> &id_server_client::Client {
        self.identity_client
            .get_or_init(id_server_client::Client::default)
    }

    /// The client for the homeserver, created at its first use. `None` if no homeserver is configured.
    pub fn homeserver_client(&self) -> Option<&homeserver_client::Client> {
        let config = self.config.homeserver.as_ref()?;
        let client = self
            .homeserver_client
            .get_or_init(|| homeserver_client::Client::new(config));
        Some(client)
    }

    /// Whether the copy of the application services is out of date. The caller should then read them together
    /// with another read, if possible.
    pub fn appservices_are_stale(&self) -> bool {
        let read = self.appservices_read.load(Ordering::Relaxed);
        // If the read time is in the future, because the clock was set back, the copy is out of date.
        !(0..FRESH_FOR_MS).contains(&self.clock.now().0.saturating_sub(read))
    }

    /// The application services, at most one minute old. If the caller has just read the row, `row` replaces the
    /// copy.
    pub async fn refresh_appservices(
        &self,
        row: Option<AppservicesRow>,
    ) -> Result<Arc<Appservices>, StoreError> {
        if let Some(row) = row {
            let compiled =
                Appservices::compile(row.records).map_err(|error| StoreError::Corrupt {
                    key: error.to_string(),
                    what: "namespaces",
                })?;
            *self.appservices.write().await = Arc::new(compiled);
            self.appservices_read
                .store(self.clock.now().0, Ordering::Relaxed);
        }
        Ok(Arc::clone(&*self.appservices.read().await))
    }

    /// The application services; reads them if the copy is out of date.
    pub async fn appservices(&self) -> Result<Arc<Appservices>, StoreError> {
        let lookup = RegistrationLookup {
            appservices: self.appservices_are_stale(),
            ..RegistrationLookup::default()
        };
        let found = self.store.registration_facts(lookup).await?;
        self.refresh_appservices(found.appservices).await
    }
}

/// Opens the connection to DynamoDB before the first request by reading the application services: this read needs
/// no key, and the first request uses its result. An error is ignored, because the first request would report it.
pub async fn warm_up(store: &Store) -> Option<AppservicesRow> {
    let lookup = RegistrationLookup {
        appservices: true,
        ..RegistrationLookup::default()
    };
    let found = store.registration_facts(lookup).await;
    found.ok()?.appservices
}
