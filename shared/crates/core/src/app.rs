//! What every handler is given: settings, tables, time and chance, put together once per process.

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
    id_server_client,
    passwords::Hasher,
    rng::Rng,
    store::{AppservicesRow, RegistrationLookup, Store, StoreError},
};

/// The process's own state. Nothing in it is needed again after the process has ended.
#[derive(Debug)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// The tables.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Hashes passwords.
    pub hasher: Hasher,
    captcha_connector: OnceLock<SharedHttpConnector>,
    identity_client: OnceLock<id_server_client::Client>,
    appservices: RwLock<Arc<Appservices>>,
    /// When the copy above was read, in milliseconds.
    appservices_read: AtomicI64,
}

impl App {
    /// Puts everything together. Opens no connection.
    pub fn new(
        config: Arc<Config>,
        aws: &Aws,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Arc<Self> {
        let store = Store::new(aws, &config.tables, Arc::clone(&rng));
        Self::with_store(config, store, clock, rng)
    }

    /// The same, over a store whose connection may be open already.
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
            appservices: RwLock::default(),
            appservices_read: AtomicI64::new(i64::MIN),
            config,
            clock,
            rng,
        })
    }

    /// Takes over what [`warm_up`] has read. Whether that is any good, the first request will tell.
    pub async fn use_prefetched(&self, row: Option<AppservicesRow>) {
        let _ = self.refresh_appservices(row).await;
    }

    /// The connector for the captcha provider, made at its first use.
    pub fn captcha_connector(&self) -> &SharedHttpConnector {
        self.captcha_connector.get_or_init(captcha::connector)
    }

    /// The client of identity servers, made at its first use.
    pub fn identity_client(&self) -> &id_server_client::Client {
        self.identity_client
            .get_or_init(id_server_client::Client::default)
    }

    /// Whether the application services ought to be read again, beside another read if possible.
    pub fn appservices_are_stale(&self) -> bool {
        let read = self.appservices_read.load(Ordering::Relaxed);
        // A clock that was set back makes a copy stale too.
        !(0..FRESH_FOR_MS).contains(&self.clock.now().0.saturating_sub(read))
    }

    /// The application services, not older than a minute; `row` is what has just been read of
    /// them.
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

    /// The application services, read again if they are stale.
    pub async fn appservices(&self) -> Result<Arc<Appservices>, StoreError> {
        let lookup = RegistrationLookup {
            appservices: self.appservices_are_stale(),
            ..RegistrationLookup::default()
        };
        let found = self.store.registration_facts(lookup).await?;
        self.refresh_appservices(found.appservices).await
    }
}

/// Opens the connection to the tables ahead of the first request, with a read that is of use and needs
/// no key: the application services. Whether it succeeds, the first request will tell.
pub async fn warm_up(store: &Store) -> Option<AppservicesRow> {
    let lookup = RegistrationLookup {
        appservices: true,
        ..RegistrationLookup::default()
    };
    let found = store.registration_facts(lookup).await;
    found.ok()?.appservices
}
