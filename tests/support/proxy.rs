//! A proxy in front of a server, which leads elsewhere or falls silent when a test says so.

#![allow(dead_code, unreachable_pub)] // not every test needs everything
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    port: u16,
    target: Mutex<u16>,
    /// What a connection may send before it stalls: anything, or anything but this text.
    stall_at: watch::Sender<Option<&'static str>>,
    stalled: watch::Sender<usize>,
    /// Nothing reaches those who listen, and nobody is told.
    keeps_news: watch::Sender<bool>,
}

impl Proxy {
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self(Arc::new(Shared {
            port: listener.local_addr().unwrap().port(),
            target: Mutex::new(target),
            stall_at: watch::Sender::new(None),
            stalled: watch::Sender::new(0),
            keeps_news: watch::Sender::new(false),
        }));
        let shared = proxy.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let target = *shared.0.target.lock().unwrap();
                // A server that is not there closes the connection.
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let listens = Arc::<AtomicBool>::default();
                tokio::spawn(
                    shared
                        .clone()
                        .requests(from_client, to_server, Arc::clone(&listens)),
                );
                tokio::spawn(shared.clone().answers(from_server, to_client, listens));
            }
        });
        proxy
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Leads new connections to another server; old ones stay where they are.
    pub fn lead_to(&self, target: u16) {
        *self.0.target.lock().unwrap() = target;
    }

    /// From now on a connection stalls when its client sends this text, and nobody is told.
    pub fn stall_at(&self, text: &'static str) {
        self.0.stall_at.send_replace(Some(text));
    }

    /// Ends all stalls.
    pub fn go_on(&self) {
        self.0.stall_at.send_replace(None);
    }

    /// From now on, or no longer, nothing reaches a connection whose client has sent `LISTEN`.
    pub fn keep_news(&self, keeps: bool) {
        self.0.keeps_news.send_replace(keeps);
    }

    pub async fn until_one_stalls(&self) {
        let mut stalled = self.0.stalled.subscribe();
        stalled.wait_for(|stalled| *stalled > 0).await.unwrap();
    }

    async fn requests(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        listens: Arc<AtomicBool>,
    ) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let sent = &buffer[..read];
            if holds(sent, "LISTEN") {
                listens.store(true, SeqCst);
            }
            let text = *self.0.stall_at.borrow();
            if text.is_some_and(|text| holds(sent, text)) {
                self.0.stalled.send_modify(|stalled| *stalled += 1);
                let mut ends = self.0.stall_at.subscribe();
                let _ = ends.wait_for(Option::is_none).await;
            }
            if to.write_all(sent).await.is_err() {
                return;
            }
        }
    }

    async fn answers(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        listens: Arc<AtomicBool>,
    ) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if listens.load(SeqCst) {
                let mut ends = self.0.keeps_news.subscribe();
                let _ = ends.wait_for(|keeps| !*keeps).await;
            }
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}

fn holds(sent: &[u8], text: &str) -> bool {
    sent.windows(text.len()).any(|part| part == text.as_bytes())
}
