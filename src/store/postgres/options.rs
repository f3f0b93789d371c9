use std::{fmt, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::sync::watch;
use tokio_postgres::{
    Config, NoTls, Socket,
    config::TargetSessionAttrs,
    tls::{MakeTlsConnect, TlsConnect},
};

use super::{
    Inner, PostgresStore,
    dial::{Dial, PoolDial, Tls},
    error::{Cause, PostgresStoreError},
    listener::{DIAL_LIMIT, Feed, Set},
    queries::Queries,
    schema::Schema,
};
use crate::changes::Changes;

/// How to connect a [`PostgresStore`].
#[derive(Clone)]
#[must_use]
pub struct PostgresOptions {
    config: Config,
    dial: Arc<dyn Dial>,
    schema: String,
    pool_size: usize,
    heartbeat: Duration,
    set_in_memory: bool,
}

impl PostgresOptions {
    /// How long a connection may take to be had, and each host to answer.
    const POOL_LIMIT: Duration = Duration::from_secs(5);

    /// Takes a connection string, as
    /// `host=localhost user=synapse dbname=restrictions` or `postgres://user:password@host/database`
    /// ([its keys](https://docs.rs/tokio-postgres/latest/tokio_postgres/config/struct.Config.html)).
    ///
    /// Without TLS, unless [`with_tls`](Self::with_tls) says how; a string with `sslmode=require`
    /// is then refused when connecting. Unless the string says otherwise, a connection whose peer
    /// is silent is given up after 15 seconds (`tcp_user_timeout`, `keepalives_idle`) and an
    /// attempt to connect after 5. Of several hosts the one that can be written to is taken.
    ///
    /// # Errors
    ///
    /// If the string cannot be read.
    pub fn new(connection_string: &str) -> Result<Self, PostgresStoreError> {
        let mut config: Config = connection_string.parse().map_err(Cause::ConnectionString)?;
        let silence = Duration::from_secs(15);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(silence);
        }
        if !connection_string.contains("keepalives_idle") {
            config.keepalives_idle(silence);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Self::POOL_LIMIT);
        }
        if config.get_application_name().is_none() {
            config.application_name("tower-account-status");
        }
        // On a standby nobody could listen, and a restriction might not be there yet.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self {
            config,
            dial: Arc::new(Tls(NoTls)),
            schema: Schema::DEFAULT.to_owned(),
            pool_size: 8,
            heartbeat: Duration::from_secs(10),
            set_in_memory: false,
        })
    }

    /// Encrypts with a TLS connector of tokio-postgres 0.7, such as that of `postgres-native-tls`
    /// or `tokio-postgres-rustls`, configured with the roots and certificates of your choice.
    ///
    /// `sslmode` in the connection string says whether TLS is preferred (as without it) or
    /// required. This is the one place where a type of the driver is in the public API.
    pub fn with_tls<T>(mut self, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + 'static,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        self.dial = Arc::new(Tls(tls));
        self
    }

    /// Keeps the tables in this schema, which is made where it is missing. `account_status` by
    /// default; any name of at most 48 bytes.
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Holds at most this many connections, 8 by default, beside the one that listens. At least
    /// one.
    pub fn with_pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections.max(1);
        self
    }

    /// Checks at this interval, 10 seconds by default, that notifications still arrive. A
    /// connection that died without a word is noticed within this and 10 seconds more.
    pub fn with_heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Holds the states of all restricted accounts in memory, so that
    /// [`peek_state`](crate::RestrictionStore::peek_state_of) answers for every account, at once.
    ///
    /// A restricted account takes about 270 bytes, and its reason; others take nothing. The set is
    /// loaded when the store is connected and whenever the listener was away. This process's
    /// changes are in it before they are acknowledged, those of other processes when their
    /// notification arrives. While the listener is away it answers nothing and the database is
    /// asked; what it says between a connection's silent death and the heartbeat that notices may
    /// be out of date. A change that is made while the set is loaded is acknowledged when it is
    /// in: a million accounts take seconds.
    pub fn with_restricted_set_in_memory(mut self) -> Self {
        self.set_in_memory = true;
        self
    }

    /// Connects, brings the schema up to date, and listens. To be called on the tokio runtime
    /// that the connections are to live on.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached or used, its encoding is not UTF8, the schema is newer
    /// than this version of the crate, or notifications do not arrive, as through a pooler that
    /// shares connections by the transaction.
    pub async fn connect(self) -> Result<PostgresStore, PostgresStoreError> {
        let schema = Schema::new(&self.schema)?;
        let manager = Manager::from_connect(
            self.config.clone(),
            PoolDial(Arc::clone(&self.dial)),
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(self.pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Self::POOL_LIMIT))
            .create_timeout(Some(DIAL_LIMIT))
            .recycle_timeout(Some(Self::POOL_LIMIT))
            .build()
            .map_err(Cause::BuildPool)?;
        let client = pool.get().await.map_err(Cause::Pool)?;
        schema.migrate(&client).await?;
        drop(client);

        let queries = Arc::new(Queries::new(pool, &schema));
        let set = self.set_in_memory.then(Set::default);
        let changes = Changes::new();
        let (sender, is_listening) = watch::channel(false);
        let feed = Feed {
            dial: self.dial,
            config: self.config,
            schema,
            heartbeat: self.heartbeat,
            queries: Arc::clone(&queries),
            set: set.clone(),
            changes: changes.clone(),
            is_listening: sender,
        };
        let listener = feed.start().await?;
        Ok(PostgresStore(Arc::new(Inner {
            queries,
            set,
            changes,
            is_listening,
            _listener: listener,
        })))
    }
}

/// Shows no password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("config", &self.config)
            .field("schema", &self.schema)
            .field("pool_size", &self.pool_size)
            .field("heartbeat", &self.heartbeat)
            .field("set_in_memory", &self.set_in_memory)
            .finish_non_exhaustive()
    }
}
