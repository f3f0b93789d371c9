//! Connections, encrypted as the user configured. Only this module knows the TLS connector's type.

use std::{
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::lookup_host,
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{
    AsyncMessage, CancelToken, Client, Config, Connection, Error, Socket,
    config::{Host, LoadBalanceHosts},
    tls::{MakeTlsConnect, TlsConnect},
};

use super::{
    error::{Cause, Fault as _},
    limits::random,
    refusal::Refusal,
};

pub(super) type Dialled = (Client, Box<dyn Messages>);
type Cancelling<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;
type Dialling<'a> = Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>>;

/// Makes connections.
pub(super) trait Dial: Send + Sync {
    fn dial(&self, config: &Config) -> Dialling<'_>;

    /// Asks the server of a connection to end the statement that is under way on it.
    fn cancel(&self, token: CancelToken) -> Cancelling<'_>;
}

/// The other half of a connection. Its client gets answers only while it is polled.
pub(super) trait Messages: Send {
    fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, Error>>>;
}

impl<S, T> Messages for Connection<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, Error>>> {
        Self::poll_message(self, context)
    }
}

/// Dials with a TLS connector.
pub(super) struct Tls<T>(pub(super) T);

impl<T> Dial for Tls<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn dial(&self, config: &Config) -> Dialling<'_> {
        let (tls, config) = (self.0.clone(), config.clone());
        Box::pin(async move {
            let (client, connection) = config.connect(tls).await?;
            let messages: Box<dyn Messages> = Box::new(connection);
            Ok((client, messages))
        })
    }

    fn cancel(&self, token: CancelToken) -> Cancelling<'_> {
        let tls = self.0.clone();
        Box::pin(async move { token.cancel_query(tls).await })
    }
}

/// A task that ends when this is dropped.
pub(super) struct EndOnDrop(pub(super) JoinHandle<()>);

impl EndOnDrop {
    /// Whether the task has ended, by itself, by a panic or with its runtime.
    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Drives the connection until it ends or the sink has had enough.
pub(super) async fn drive(
    mut messages: Box<dyn Messages>,
    mut sink: impl FnMut(AsyncMessage) -> bool,
) {
    while let Some(Ok(message)) = poll_fn(|context| messages.poll_message(context)).await {
        if !sink(message) {
            return;
        }
    }
}

/// The hosts of a connection string, which are tried one after the other.
pub(super) struct Hosts {
    dial: Arc<dyn Dial>,
    /// Everything but the hosts.
    common: Config,
    each: Vec<One>,
    limit_of_each: Duration,
    is_random: bool,
}

struct One {
    host: Option<Host>,
    address: Option<IpAddr>,
    port: u16,
}

impl Hosts {
    pub(super) fn new(dial: Arc<dyn Dial>, config: &Config, limit_of_each: Duration) -> Self {
        let (hosts, addresses, ports) = (
            config.get_hosts(),
            config.get_hostaddrs(),
            config.get_ports(),
        );
        let one = |index| One {
            host: hosts.get(index).cloned(),
            address: addresses.get(index).copied(),
            port: ports.get(index).or(ports.first()).copied().unwrap_or(5432),
        };
        Self {
            dial,
            common: without_hosts(config),
            each: (0..hosts.len().max(addresses.len())).map(one).collect(),
            limit_of_each,
            is_random: config.get_load_balance_hosts() == LoadBalanceHosts::Random,
        }
    }

    /// How long dialling takes at most, except for names with many addresses.
    pub(super) fn limit(&self) -> Duration {
        let hosts = u32::try_from(self.each.len()).unwrap_or(u32::MAX);
        self.limit_of_each.saturating_mul(hosts.saturating_add(1))
    }

    /// Asks a server to end a statement, as well as that can be done within a second.
    pub(super) async fn cancel(&self, token: CancelToken) {
        let _ = timeout(Duration::from_secs(1), self.dial.cancel(token)).await;
    }

    /// The first host that accepts writes. A host that accepts a connection and does not answer costs its
    /// own limit. Then the next one is tried.
    pub(super) async fn dial(&self) -> Result<Dialled, Cause> {
        let mut order: Vec<&One> = self.each.iter().collect();
        if self.is_random {
            order.sort_by_cached_key(|_| random());
        }
        let mut failed = Vec::new();
        for one in order {
            for config in self.addresses_of(one).await {
                let dialled = match self.dial_once(&config).await {
                    // It was ended before it was made, as by a time limit for idle ones.
                    Err(Cause::Connect(error)) if !error.is_final_refusal() => {
                        self.dial_once(&config).await
                    }
                    dialled => dialled,
                };
                let cause = match dialled {
                    Ok(dialled) => return Ok(dialled),
                    Err(cause) => cause,
                };
                failed.push(match &cause {
                    Cause::Connect(error) => match error.as_db_error() {
                        Some(error) => Cause::Refused(Refusal::new(error, &config)),
                        None => cause,
                    },
                    _ => cause,
                });
            }
        }
        Err(Cause::of_hosts(failed))
    }

    async fn dial_once(&self, config: &Config) -> Result<Dialled, Cause> {
        match timeout(self.limit_of_each, self.dial.dial(config)).await {
            Ok(Ok(dialled)) => Ok(dialled),
            Ok(Err(error)) => Err(Cause::Connect(error)),
            Err(_) => Err(Cause::HostSilent(self.limit_of_each)),
        }
    }

    async fn addresses_of(&self, one: &One) -> Vec<Config> {
        let mut config = self.common.clone();
        config.port(one.port);
        match (&one.host, one.address) {
            (Some(Host::Tcp(name)), None) => {
                config.host(name);
                let found = lookup_host((name.as_str(), one.port));
                match timeout(self.limit_of_each, found).await {
                    Ok(Ok(addresses)) => {
                        let with = |address: SocketAddr| {
                            let mut config = config.clone();
                            config.hostaddr(address.ip());
                            config
                        };
                        addresses.map(with).collect()
                    }
                    // The driver says why.
                    _ => vec![config],
                }
            }
            (host, address) => {
                match host {
                    Some(Host::Tcp(name)) => drop(config.host(name)),
                    #[cfg(unix)]
                    Some(Host::Unix(path)) => drop(config.host_path(path)),
                    None => {}
                }
                if let Some(address) = address {
                    config.hostaddr(address);
                }
                vec![config]
            }
        }
    }
}

/// The driver has no way to take hosts away from a configuration.
fn without_hosts(config: &Config) -> Config {
    let mut common = Config::new();
    if let Some(user) = config.get_user() {
        common.user(user);
    }
    if let Some(password) = config.get_password() {
        common.password(password);
    }
    if let Some(database) = config.get_dbname() {
        common.dbname(database);
    }
    if let Some(options) = config.get_options() {
        common.options(options);
    }
    if let Some(name) = config.get_application_name() {
        common.application_name(name);
    }
    if let Some(timeout) = config.get_connect_timeout() {
        common.connect_timeout(*timeout);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        common.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        common.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        common.keepalives_retries(retries);
    }
    common
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding());
    common
}
