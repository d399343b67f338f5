//! Upstream over TLS, HTTP/1.1 and HTTP/2, trusted through a file of our own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::api::Fake;
use super::support::client::Request;
use super::support::message::Figures;
use super::support::sidecar::{Options, Sidecar, Site};
use super::support::wire::End;

async fn over_tls(protocols: &[&str]) -> (Site, Fake, Sidecar) {
    let (site, fake) = (Site::new(), Fake::start_tls("basic", protocols).await);
    let ca = site.file("ca.pem", fake.certificate.as_deref().unwrap());
    let config = format!("[upstream]\nca_file = {:?}\n", ca.to_str().unwrap());
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&config));
    (site, fake, sidecar)
}

#[tokio::test]
async fn tls_with_an_authority_from_a_file() {
    for (protocols, http2) in [(["http/1.1"].as_slice(), false), (&["h2", "http/1.1"], true)] {
        let (site, fake, sidecar) = over_tls(protocols).await;
        for streamed in [true, false] {
            let request = Request::messages("basic", streamed);
            let response = sidecar.call(&request).await;
            let seen = fake.last();
            assert_eq!((response.status, &response.end), (200, &End::Clean), "h2: {http2}");
            assert_eq!((&seen.body, &seen.sent), (&request.body, &response.body));
            assert_eq!(seen.http2, http2);
            let record = site.exchange(&response.exchange());
            assert_eq!(record["usage"]["output_tokens"], 74);
        }
        let mut twice = Figures::new(4, 11_000, 1_200, 0, 74);
        twice.add(twice);
        assert_eq!(fake.billed(), twice);
    }
}

#[tokio::test]
async fn an_http2_stream_that_is_reset_is_a_cut() {
    let (site, _fake, sidecar) = over_tls(&["h2"]).await;
    let response = sidecar.call(&Request::messages("cut", true)).await;
    assert_ne!(response.end, End::Clean);
    assert_eq!(site.exchange(&response.exchange())["outcome"], "upstream_error");
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let (site, fake) = (Site::new(), Fake::start_tls("basic", &["http/1.1"]).await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let response = sidecar.call(&Request::messages("basic", true)).await;
    assert!((500..600).contains(&response.status), "{}", response.status);
    assert_eq!(fake.count(), 0);
    assert_eq!(site.exchange(&response.exchange())["outcome"], "upstream_error");
}

/// An HTTP proxy that knows `CONNECT` and counts the tunnels it opened.
async fn tunnels() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let opened = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&opened);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
                let mut api = TcpStream::connect(target).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                let _ = tokio::io::copy_bidirectional(&mut client, &mut api).await;
            });
        }
    });
    (address, opened)
}

#[tokio::test]
async fn a_proxy_from_the_environment_is_tunnelled_through_unless_excepted() {
    for (except, expected) in [("", 1), ("localhost,127.0.0.1", 0)] {
        let (proxy, opened) = tunnels().await;
        let mut site = Site::new();
        let fake = Fake::start_tls("basic", &["http/1.1"]).await;
        site.env("HTTPS_PROXY", &format!("http://{proxy}"));
        site.env("NO_PROXY", except);
        let ca = site.file("ca.pem", fake.certificate.as_deref().unwrap());
        let config = format!("[upstream]\nca_file = {:?}\n", ca.to_str().unwrap());
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&config));
        let response = sidecar.call(&Request::messages("basic", true)).await;
        assert_eq!((response.status, &response.end), (200, &End::Clean));
        assert_eq!(opened.load(Ordering::Relaxed), expected, "NO_PROXY={except:?}");
    }
}

#[tokio::test]
async fn the_listener_itself_can_speak_tls() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = site.file("cert.pem", &made.cert.pem());
    let key = site.file("key.pem", &made.signing_key.serialize_pem());
    let config = format!(
        "[listen]\ntls_certificate = {:?}\ntls_key = {:?}\n",
        certificate.to_str().unwrap(),
        key.to_str().unwrap()
    );
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&config));
    assert!(sidecar.ready["listen"].as_str().unwrap().starts_with("https://"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(sidecar.address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let mut stream = connector.connect(name, stream).await.unwrap();
    let request = Request::messages("basic", false).header("connection", "close");
    stream.write_all(&request.bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"usage\""), "{answer}");
    assert_eq!(fake.count(), 1);
}
