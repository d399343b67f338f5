//! The API listener: accepts clients and gives every connection a task of its own.
//!
//! [`exchange`] is the story of one call; [`relay`] is its body; [`upstream`] is the API side.

mod body;
mod call;
mod collect;
mod connection;
pub mod exchange;
mod headers;
mod observer;
mod refuse;
mod relay;
mod rules;
mod seldom;
pub mod upstream;

use std::hash::RandomState;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::upstream::Upstream;
use crate::accounting::attribution::{CredentialHash, Payer, VIRTUAL_KEY_PREFIX};
use crate::agent::attempt::Attempts;
use crate::capture::Capture;
use crate::keys::LiveKeys;
use crate::recorder::Recorder;
use crate::rules::LiveRules;

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What a client gets when there is no room for its connection.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
content-length: 125\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"too many connections; \
raise listen.connections_max or retry.\"}}";

/// What every exchange works with.
pub struct Gate {
    /// Where everything is recorded.
    pub recorder: Arc<Recorder>,
    /// Who pays.
    pub keys: Arc<LiveKeys>,
    /// What is allowed.
    pub rules: Arc<LiveRules>,
    /// The API side.
    pub upstream: Upstream,
    /// Refuse callers whose credential is not mapped.
    pub require_key: bool,
    /// The largest request body that is collected.
    pub body_bytes_max: usize,
    /// Bytes of bodies that are collected and not sent.
    pub held_bodies: Arc<AtomicU64>,
    /// Every connection's task; shutdown waits for it.
    pub tasks: TaskTracker,
    /// Drops every running exchange: the drain is over.
    pub force: CancellationToken,
    /// Where contents are kept, if any team asks for it.
    pub capture: Option<Arc<Capture>>,
    /// Attempts that may be repeated.
    pub attempts: Mutex<Attempts>,
    /// Random at every start: keys of the attempts' map cannot be chosen from outside.
    pub hashes: RandomState,
    /// Random at every start, for hashing messages.
    pub seed: u64,
}

impl Gate {
    /// Who pays for a credential. A virtual key nobody knows may have been made this moment, so
    /// the keys file is looked at once more before it is called unknown.
    fn payer(&self, credential: Option<&[u8]>) -> (Payer, Option<CredentialHash>) {
        let Some(credential) = credential else { return (Payer::Unknown, None) };
        let hash = CredentialHash::of(credential);
        let mut payer = self.keys.current().resolve(credential, &hash);
        if payer == Payer::InvalidKey && credential.len() > VIRTUAL_KEY_PREFIX.len() {
            match self.keys.refresh() {
                Ok(true) => payer = self.keys.current().resolve(credential, &hash),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the keys file was not read"),
            }
        }
        (payer, Some(hash))
    }
}

/// The exchange ended without a head: the connection breaks off.
#[derive(Debug, thiserror::Error)]
#[error("the exchange ended without an answer")]
struct NoAnswer;

/// Accepts clients until `stop`; returns when no connection is left or `stop` is followed by the
/// tracker's deadline in `app`.
pub async fn serve(
    gate: Arc<Gate>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    connections_max: usize,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            gate.tasks.spawn(turn_away(stream));
            continue;
        };
        let (gate, tls, stop) = (Arc::clone(&gate), tls.clone(), stop.clone());
        let tasks = gate.tasks.clone();
        tasks.spawn(async move {
            match tls {
                None => connection::serve(gate, stream, stop).await,
                Some(tls) => {
                    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
                    if let Ok(Ok(stream)) = handshake.await {
                        connection::serve(gate, stream, stop).await;
                    }
                }
            }
            drop(place);
        });
    }
}

async fn turn_away(mut stream: TcpStream) {
    let answer = async {
        let _ = stream.write_all(NO_ROOM).await;
        let _ = stream.shutdown().await;
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
}
