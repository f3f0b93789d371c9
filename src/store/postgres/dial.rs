//! Connections, encrypted as the user has it: the one place that knows the TLS connector's type.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, Error, Socket,
    tls::{MakeTlsConnect, TlsConnect},
};

pub(super) type Dialled = (Client, Box<dyn Messages>);
type Dialling<'a> = Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>>;

/// Makes connections.
pub(super) trait Dial: Send + Sync {
    fn dial(&self, config: &Config) -> Dialling<'_>;
}

/// The other half of a connection, which has to be polled for its client to get answers.
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
}

/// A task that ends with whoever holds this.
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

/// The pool's connections.
pub(super) struct PoolDial(pub(super) Arc<dyn Dial>);

impl deadpool_postgres::Connect for PoolDial {
    fn connect(
        &self,
        config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        let dialled = self.0.dial(config);
        Box::pin(async move {
            let (client, messages) = dialled.await?;
            Ok((client, tokio::spawn(drive(messages, |_| true))))
        })
    }
}
