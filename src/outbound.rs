//! Connections that this process opens itself: to the API, to a collector, to webhooks. One way for
//! all, with TLS, a proxy, private certificate authorities and a bound on the wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{self, Error};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tower_service::Service;

/// Connections kept open and unused, at most: enough for a burst of agents on one machine.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// How long an unused connection is kept; below the usual 60 to 75 s of load balancers, so that
/// the far end is seldom the first to close, and short enough that a burst's buffers are given
/// back within a minute.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(45);

type Direct = HttpsConnector<HttpConnector>;
type Tunnelled = HttpsConnector<Tunnel<HttpConnector>>;

/// A connection cannot be set up as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Not an address. It is not shown: a password may stand in it.
    #[error("{key} is not an address ({detail})")]
    Address {
        /// Which setting.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// The certificate authorities cannot be loaded.
    #[error("the certificate authorities cannot be loaded ({0}); see upstream.ca_file")]
    Certificates(String),
}

/// How to get out of here: the same for every destination.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// An HTTP proxy to go through.
    pub proxy: Option<String>,
    /// Hosts that are reached without it.
    pub no_proxy: Option<String>,
    /// More certificate authorities (PEM) beside the platform's.
    pub authorities: Option<Vec<u8>>,
    /// To open a connection, name lookup, proxy and TLS included.
    pub connect_timeout: Duration,
}

/// A pooled client for one destination.
pub enum Client<B> {
    /// Straight to it.
    Direct(legacy::Client<Within<Direct>, B>),
    /// Through a proxy.
    Tunnelled(legacy::Client<Within<Tunnelled>, B>),
}

impl<B> Client<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// A client for the host of `address`.
    pub fn new(address: &Uri, route: &Route) -> Result<Client<B>, OutboundError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(route.connect_timeout));
        let secure = address.scheme() == Some(&Scheme::HTTPS);
        let tls = if secure { verified(route.authorities.as_deref())? } else { unverified()? };
        Ok(match proxy_for(address, route)? {
            None => Client::Direct(pooled(https(tls, tcp), route.connect_timeout)),
            Some((proxy, auth)) => {
                let mut tunnel = Tunnel::new(proxy, tcp);
                if let Some(auth) = auth {
                    tunnel = tunnel.with_auth(auth);
                }
                Client::Tunnelled(pooled(https(tls, tunnel), route.connect_timeout))
            }
        })
    }

    /// Sends a request; gives the head as soon as it is there. Dropping the future or the body
    /// cancels the request.
    pub async fn request(&self, request: Request<B>) -> Result<Response<Incoming>, Error> {
        match self {
            Client::Direct(client) => client.request(request).await,
            Client::Tunnelled(client) => client.request(request).await,
        }
    }
}

/// Reads an address; an error names the setting `key`.
pub fn parse(key: &str, value: &str) -> Result<Uri, OutboundError> {
    value.parse().map_err(|error: hyper::http::uri::InvalidUri| OutboundError::Address {
        key: key.to_owned(),
        detail: error.to_string(),
    })
}

fn proxy_for(
    uri: &Uri,
    route: &Route,
) -> Result<Option<(Uri, Option<HeaderValue>)>, OutboundError> {
    let Some(proxy) = &route.proxy else { return Ok(None) };
    parse("upstream.proxy", proxy)?;
    let exceptions = route.no_proxy.clone().unwrap_or_default();
    let matcher = Matcher::builder().all(proxy.as_str()).no(exceptions).build();
    let found = matcher.intercept(uri);
    Ok(found.map(|found| (found.uri().clone(), found.basic_auth().cloned())))
}

fn pooled<C, B>(connector: C, connect_timeout: Duration) -> legacy::Client<Within<C>, B>
where
    Within<C>: legacy::connect::Connect + Clone,
    B: Body + Send,
    B::Data: Send,
{
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(Within { connector, limit: connect_timeout })
}

fn https<C>(tls: ClientConfig, connector: C) -> HttpsConnector<C> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    builder.enable_all_versions().wrap_connector(connector)
}

fn versions() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, OutboundError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OutboundError::Certificates(error.to_string()))
}

/// The platform's certificate authorities and the configured ones.
fn verified(authorities: Option<&[u8]>) -> Result<ClientConfig, OutboundError> {
    let failed = |error: &dyn std::fmt::Display| OutboundError::Certificates(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = match authorities {
        None => Verifier::new(provider).map_err(|error| failed(&error))?,
        Some(pem) => {
            let extra = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
            let extra = extra.map_err(|error| failed(&error))?;
            if extra.is_empty() {
                return Err(failed(&"the file holds no PEM certificate"));
            }
            Verifier::new_with_extra_roots(extra, provider).map_err(|error| failed(&error))?
        }
    };
    let dangerous = versions()?.dangerous();
    Ok(dangerous.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// For plaintext: TLS is never spoken, so the platform's authorities (megabytes in
/// memory) are not loaded, and no certificate would be accepted.
fn unverified() -> Result<ClientConfig, OutboundError> {
    Ok(versions()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// A connector that gives up: bounds name lookup, TCP, tunnel and TLS together.
#[derive(Clone)]
pub struct Within<C> {
    connector: C,
    limit: Duration,
}

/// Any error of somebody else's.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<C> Service<Uri> for Within<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Response: Send,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.connector.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err("no connection within upstream.connect_timeout".into()),
            }
        })
    }
}
