//! Upstream over TLS, HTTP/1.1 and HTTP/2, trusted through a file of our own.

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
