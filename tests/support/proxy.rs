//! A proxy in front of a server. A test can make it lead elsewhere or fall silent.

#![allow(dead_code, unreachable_pub)] // not every test needs everything
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::{Mutex as AsyncMutex, watch},
};

type Client = Arc<AsyncMutex<OwnedWriteHalf>>;

#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    port: u16,
    target: Mutex<u16>,
    /// What a connection may send before it stalls: anything, or anything but this text.
    stall_at: watch::Sender<Option<&'static str>>,
    stalled: watch::Sender<usize>,
    /// Nothing reaches listening connections, and nothing reports it.
    keeps_news: watch::Sender<bool>,
    /// What is answered instead of the server.
    injections: Mutex<VecDeque<Injection>>,
    connections: AtomicUsize,
    /// How long what a client sends is on its way.
    delay: Mutex<Duration>,
}

/// An error that a client gets instead of an answer.
#[derive(Clone)]
pub struct Injection {
    /// When this is sent.
    pub at: &'static str,
    pub severity: &'static str,
    pub code: &'static str,
    /// Whether the server gets what was sent, and so does it.
    pub is_done: bool,
}

impl Injection {
    /// An `ErrorResponse`, and `ReadyForQuery` if the session goes on.
    fn answer(&self) -> Vec<u8> {
        let fields = format!("S{0}\0V{0}\0C{1}\0Minjected\0\0", self.severity, self.code);
        let length = u32::try_from(fields.len() + 4).unwrap();
        let mut answer = [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat();
        if !self.ends_session() {
            answer.extend(b"Z\0\0\0\x05I");
        }
        answer
    }

    fn ends_session(&self) -> bool {
        self.severity != "ERROR"
    }
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
            injections: Mutex::default(),
            connections: AtomicUsize::new(0),
            delay: Mutex::default(),
        }));
        let shared = proxy.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                shared.0.connections.fetch_add(1, SeqCst);
                let target = *shared.0.target.lock().unwrap();
                // A server that is not there closes the connection.
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let to_client = Arc::new(AsyncMutex::new(to_client));
                let listens = Arc::<AtomicBool>::default();
                tokio::spawn(shared.clone().requests(
                    from_client,
                    to_server,
                    Arc::clone(&to_client),
                    Arc::clone(&listens),
                ));
                tokio::spawn(shared.clone().answers(from_server, to_client, listens));
            }
        });
        proxy
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The connection string of the server, with this in between.
    pub fn url(&self, direct: &str) -> String {
        let theirs = format!("port={}", self.0.target.lock().unwrap());
        direct.replace(&theirs, &format!("port={}", self.0.port))
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

    /// Answers with this error, once, instead of the server.
    pub fn inject(&self, injection: Injection) {
        self.0.injections.lock().unwrap().push_back(injection);
    }

    /// Injects no more errors.
    pub fn inject_nothing(&self) {
        self.0.injections.lock().unwrap().clear();
    }

    /// How many errors have not been injected yet.
    pub fn left_to_inject(&self) -> usize {
        self.0.injections.lock().unwrap().len()
    }

    /// How many connections were made through this.
    pub fn connections(&self) -> usize {
        self.0.connections.load(SeqCst)
    }

    /// From now on what a client sends arrives so much later.
    pub fn delay(&self, delay: Duration) {
        *self.0.delay.lock().unwrap() = delay;
    }

    /// How many connections have stalled.
    pub fn stalled(&self) -> usize {
        *self.0.stalled.borrow()
    }

    fn injection(&self, sent: &[u8]) -> Option<Injection> {
        let mut injections = self.0.injections.lock().unwrap();
        let is_next = injections.front().is_some_and(|next| holds(sent, next.at));
        is_next.then(|| injections.pop_front()).flatten()
    }

    pub async fn until_one_stalls(&self) {
        let mut stalled = self.0.stalled.subscribe();
        stalled.wait_for(|stalled| *stalled > 0).await.unwrap();
    }

    async fn requests(
        self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        to_client: Client,
        listens: Arc<AtomicBool>,
    ) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let sent = &buffer[..read];
            let delay = *self.0.delay.lock().unwrap();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if let Some(injection) = self.injection(sent) {
                // The client waits for one answer, and this is it: the server's is not handed on.
                let mut client = to_client.lock().await;
                if injection.is_done {
                    let _ = to.write_all(sent).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let _ = client.write_all(&injection.answer()).await;
                if injection.ends_session() {
                    let _ = client.shutdown().await;
                    return;
                }
                continue;
            }
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

    async fn answers(self, mut from: OwnedReadHalf, to: Client, listens: Arc<AtomicBool>) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if listens.load(SeqCst) {
                let mut ends = self.0.keeps_news.subscribe();
                let _ = ends.wait_for(|keeps| !*keeps).await;
            }
            if to.lock().await.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    }
}

fn holds(sent: &[u8], text: &str) -> bool {
    sent.windows(text.len()).any(|part| part == text.as_bytes())
}
