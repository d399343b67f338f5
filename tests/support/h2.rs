//! The fake's TLS, and its HTTP/2 side (hyper), which plays the same scripts.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::api::{Ended, Seen, Shared};
use super::script::{Action, Reply, Step};
use super::stream::Stream;
use super::wire::Head;

/// Frames on their way to the connection.
const FRAMES_MAX: usize = 1;

/// A TLS acceptor for `localhost` and the PEM of the certificate to trust.
pub fn acceptor(protocols: &[&str]) -> (TlsAcceptor, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

type Piece = Result<Frame<Bytes>, std::io::Error>;

/// A body that a task feeds.
struct Fed(mpsc::Receiver<Piece>);

impl Body for Fed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context)
    }
}

/// One HTTP/2 connection.
pub async fn serve(stream: Stream, shared: Shared, connection: u64) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(request, shared, connection).await) }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, shared: Shared, connection: u64) -> Response<Fed> {
    let (parts, body) = request.into_parts();
    let mut raw = format!("{} {} HTTP/2\r\n", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        raw.extend_from_slice(format!("{name}: ").as_bytes());
        raw.extend_from_slice(value.as_bytes());
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(b"\r\n");
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let seen = Seen {
        connection,
        head: Head::parse(raw),
        method: parts.method.to_string(),
        target,
        body: body.collect().await.map(|b| b.to_bytes().to_vec()).unwrap_or_default(),
        sent: Vec::new(),
        sent_head: String::new(),
        billed: None,
        ended: Ended::NotYet,
        at: Instant::now(),
        ended_at: None,
        http2: true,
        at_gate: false,
    };
    let (place, action) = shared.receive(seen);
    let (sender, receiver) = mpsc::channel(FRAMES_MAX);
    let Action::Reply(reply) = action else {
        return std::future::pending().await;
    };
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    tokio::spawn(feed(reply, sender, shared, place));
    response.body(Fed(receiver)).unwrap()
}

async fn feed(reply: Reply, sender: mpsc::Sender<Piece>, shared: Shared, place: usize) {
    for step in reply.steps {
        let kept = match step {
            Step::Bytes(bytes) if bytes.is_empty() => true,
            Step::Bytes(bytes) => {
                shared.sent(place, &bytes);
                sender.send(Ok(Frame::data(Bytes::from(bytes)))).await.is_ok()
            }
            Step::Bill(figures) => {
                shared.update(place, |seen| seen.billed = Some(figures));
                true
            }
            Step::Pause(time) => unless_gone(&sender, tokio::time::sleep(time)).await,
            Step::Gate => unless_gone(&sender, shared.gate()).await,
            Step::Stall => unless_gone(&sender, std::future::pending()).await,
            Step::Forever(bytes) => {
                let bytes = Bytes::from(bytes);
                while sender.send(Ok(Frame::data(bytes.clone()))).await.is_ok() {}
                false
            }
            Step::Reset | Step::Close => {
                let _ = sender.send(Err(std::io::Error::other("scripted reset"))).await;
                return shared.end(place, Ended::Played);
            }
        };
        if !kept {
            return shared.end(place, Ended::PeerLeft);
        }
    }
    shared.end(place, Ended::Played);
}

async fn unless_gone(sender: &mpsc::Sender<Piece>, something: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = something => true,
        () = sender.closed() => false,
    }
}
