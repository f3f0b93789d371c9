use std::{fmt, sync::Arc, time::Duration};

use tokio_postgres::{
    Config, NoTls, Socket,
    config::TargetSessionAttrs,
    tls::{MakeTlsConnect, TlsConnect},
};

use super::{
    Inner, PostgresStore,
    audit::Audit,
    changes::PostgresChanges,
    connection_string,
    dial::{Dial, Hosts, Tls},
    error::PostgresStoreError,
    limits::limited,
    listener::Pace,
    listening::Listening,
    pool::Pool,
    queries::Queries,
    schema::Schema,
    source::{Source, Table},
};
use crate::{changes::Changes, locks::Mutex, store::restricted_set::RestrictedSet};

/// How to connect a [`PostgresStore`], or [`PostgresChanges`].
#[derive(Clone)]
#[must_use]
pub struct PostgresOptions {
    config: Config,
    dial: Arc<dyn Dial>,
    schema: String,
    creates_tables: bool,
    pool_size: usize,
    heartbeat: Duration,
    trust_limit: Option<Duration>,
    reread_interval: Duration,
    set_in_memory: bool,
    audit_retention: Option<Duration>,
}

impl PostgresOptions {
    /// How long each host has, unless the connection string says otherwise.
    const HOST_LIMIT: Duration = Duration::from_secs(2);
    /// How long migrating may take, without the wait for its lock.
    const MIGRATION_LIMIT: Duration = Duration::from_secs(60);
    /// A proof may take 5 seconds to be sent, and 5 to arrive.
    const TRUST_AFTER_HEARTBEAT: Duration = Duration::from_secs(10);
    /// Intervals that every clock can add and every server can bear.
    const SHORTEST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(3600);

    /// Takes a connection string, such as
    /// `host=localhost user=synapse dbname=restrictions` or `postgres://user:password@host/database`
    /// ([its keys](https://docs.rs/tokio-postgres/latest/tokio_postgres/config/struct.Config.html)).
    ///
    /// TLS is used only with [`with_tls`](Self::with_tls). Without it, connecting with `sslmode=require` is
    /// an error. A connection with a silent peer is given up after 15 seconds, unless the string says
    /// otherwise (`tcp_user_timeout`, `keepalives_idle`). Of several hosts the first that accepts writes is
    /// taken. `connect_timeout`, 2 seconds by default, is the limit of each address of each host, from the
    /// first packet until the connection can be used.
    ///
    /// # Errors
    ///
    /// If the string cannot be read. The error says what is wrong. It shows nothing of the string, because
    /// any piece may belong to a password.
    pub fn new(connection_string: &str) -> Result<Self, PostgresStoreError> {
        let mut config = connection_string::parse(connection_string)?;
        let silence = Duration::from_secs(15);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(silence);
        }
        if !connection_string.contains("keepalives_idle") {
            config.keepalives_idle(silence);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Self::HOST_LIMIT);
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
            creates_tables: true,
            pool_size: 8,
            heartbeat: Duration::from_secs(10),
            trust_limit: None,
            reread_interval: Duration::from_secs(60),
            set_in_memory: false,
            audit_retention: None,
        })
    }

    /// Encrypts with a TLS connector of tokio-postgres 0.7, such as that of `postgres-native-tls`
    /// or `tokio-postgres-rustls`, configured with the roots and certificates of your choice.
    ///
    /// `sslmode` in the connection string says whether TLS is preferred (the default) or required. Only
    /// here is a type of the driver in the public API.
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

    /// Keeps the tables in this schema, which is created if it is missing. `account_status` by
    /// default; any name of at most 48 bytes.
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Fails to [connect](Self::connect) if the tables do not exist, and creates nothing. A command that
    /// operators run needs this, because a misspelled database or schema would otherwise be created, and
    /// its restrictions would restrict nobody. Tables of an older version are still migrated.
    pub fn with_existing_tables_only(mut self) -> Self {
        self.creates_tables = false;
        self
    }

    /// Holds at most this many connections, 8 by default and at least one. One more connection listens, one
    /// sends proofs, and there is one while the set is read again.
    pub fn with_pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections.max(1);
        self
    }

    /// Sends a proof that notifications arrive at this interval, 10 seconds by default. At least
    /// 10 milliseconds and at most an hour.
    ///
    /// The proof is a notification like that of a change. Another connection than the listening one sends it.
    /// If it does not arrive within 5 seconds, the listener reconnects.
    pub fn with_heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval.clamp(Self::SHORTEST, Self::LONGEST);
        self
    }

    /// Believes what is in memory for this long after the last proof was sent: by default 10
    /// seconds longer than the [interval](Self::with_heartbeat) of the proofs. At most two hours.
    ///
    /// This bounds how late a lock of another process can take effect, whatever happens to the connection, to
    /// the network or to the runtime that listens.
    pub fn with_trust_limit(mut self, limit: Duration) -> Self {
        self.trust_limit = Some(limit.clamp(Self::SHORTEST, 2 * Self::LONGEST));
        self
    }

    /// Reads [the set in memory](Self::with_restricted_set_in_memory) again at this interval, 60
    /// seconds by default, because rows may have changed without a notification. At least 10 milliseconds
    /// and at most an hour. Each time it is up to a quarter shorter, so that processes which started at the
    /// same time do not read at the same moments.
    ///
    /// It is read on a new connection, so that the store leaves a server that is no longer the primary. For
    /// the same reason a connection of the pool is used for this long, and at most for 60 seconds. Reading
    /// ten thousand restricted accounts takes tens of milliseconds, a million takes seconds. The store
    /// answers meanwhile.
    pub fn with_reread_interval(mut self, interval: Duration) -> Self {
        self.reread_interval = interval.clamp(Self::SHORTEST, Self::LONGEST);
        self
    }

    /// Holds the states of all restricted accounts in memory, so that
    /// [`peek_state`](crate::RestrictionStore::peek_state_of) answers for every account, at once.
    ///
    /// A restricted account takes about 270 bytes and its reason; others take nothing. The set is loaded when
    /// the store connects and whenever the listener reconnects. This process's changes are in it before
    /// they are acknowledged. A change of another process counts when its notification arrives, and the
    /// database is asked for that account until its new state is known. Without a
    /// [recent proof](Self::with_trust_limit) that notifications arrive, the set answers nothing and the
    /// database is asked.
    pub fn with_restricted_set_in_memory(mut self) -> Self {
        self.set_in_memory = true;
        self
    }

    /// Deletes entries of [the log](crate::store::AuditLog) that are older than this. By default all are
    /// kept.
    ///
    /// They are deleted within ten minutes, in pieces of 1000 and at most one piece a second, so that no
    /// change waits. Every process with this setting does so. The role needs the right to `DELETE` from
    /// `audit`; without it each attempt is a `tracing` warning.
    pub fn with_audit_retention(mut self, age: Duration) -> Self {
        self.audit_retention = Some(age);
        self
    }

    /// Connects, brings the schema up to date, and listens. Call it on the tokio runtime on which the
    /// connections should live.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached or used, its encoding is not UTF8, the schema is newer
    /// than this version of the crate, the tables are missing and
    /// [may not be created](Self::with_existing_tables_only), or notifications do not arrive, as
    /// through a pooler that shares connections by the transaction.
    pub async fn connect(self) -> Result<PostgresStore, PostgresStoreError> {
        let schema = Schema::new(&self.schema)?;
        let (hosts, pace) = (self.hosts(), self.pace());
        let pool = Pool::new(Arc::clone(&hosts), self.pool_size, self.reread_interval);
        let lease = pool.get().await?;
        let migrated = schema.migrate(lease.connection()?.client(), self.creates_tables);
        limited("migrating the schema", Self::MIGRATION_LIMIT, migrated).await?;

        let queries = Arc::new(Queries::new(pool.clone(), &schema));
        let audit = Arc::new(Audit::new(Arc::clone(&queries), &schema));
        let changes = Changes::needing_proof();
        let set = self
            .set_in_memory
            .then(|| Arc::new(RestrictedSet::new(changes.clone())));
        let source = Source::table(Table {
            schema,
            queries: Arc::clone(&queries),
            set: set.clone(),
        });
        let listening = Listening::start(hosts, source, pace, changes).await?;
        // Notifications arrive, so there is no pooler by the transaction in between.
        pool.own_sessions(lease).await?;
        let pruning = self
            .audit_retention
            .map(|retention| (retention, Mutex::new(audit.keep_for(retention))));
        Ok(PostgresStore(Arc::new(Inner {
            queries,
            audit,
            pruning,
            set,
            listening,
        })))
    }

    /// Connects, and listens on a channel that the server notifies itself, as [`PostgresChanges`] describes.
    /// Call it on the tokio runtime on which the connections should live.
    ///
    /// The settings of the connection and of the proofs count, and so does the interval at which the proofs
    /// move to a new connection. Nothing is created in the database, and the role needs only the right to
    /// connect.
    ///
    /// # Errors
    ///
    /// If the channel's name is empty, longer than 63 bytes, or holds U+0000; if the database
    /// cannot be reached, or notifications do not arrive, as through a pooler that shares
    /// connections by the transaction.
    pub async fn listen(self, channel: &str) -> Result<PostgresChanges, PostgresStoreError> {
        let source = Source::channel(channel)?;
        let (hosts, pace) = (self.hosts(), self.pace());
        let changes = Changes::needing_proof();
        let listening = Listening::start(hosts, source, pace, changes).await?;
        Ok(PostgresChanges::new(listening))
    }

    fn hosts(&self) -> Arc<Hosts> {
        let limit_of_host = self.config.get_connect_timeout().copied();
        let limit_of_host = limit_of_host.unwrap_or(Self::HOST_LIMIT);
        Arc::new(Hosts::new(
            Arc::clone(&self.dial),
            &self.config,
            limit_of_host,
        ))
    }

    fn pace(&self) -> Pace {
        let trust_limit = self.trust_limit;
        Pace {
            heartbeat: self.heartbeat,
            trust_limit: trust_limit.unwrap_or(self.heartbeat + Self::TRUST_AFTER_HEARTBEAT),
            reread_interval: self.reread_interval,
        }
    }
}

impl PostgresChanges {
    /// Connects and listens on `channel`, with the default [options](PostgresOptions);
    /// [`PostgresOptions::listen`] does it with others.
    ///
    /// # Errors
    ///
    /// As [`PostgresOptions::new`] and [`PostgresOptions::listen`].
    pub async fn listen(
        connection_string: &str,
        channel: &str,
    ) -> Result<Self, PostgresStoreError> {
        let options = PostgresOptions::new(connection_string)?;
        options.listen(channel).await
    }
}

/// Shows nothing of the connection string: where a password holds a space or an `@`, any part of it
/// may hold a piece.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("pool_size", &self.pool_size)
            .field("heartbeat", &self.heartbeat)
            .field("set_in_memory", &self.set_in_memory)
            .finish_non_exhaustive()
    }
}
