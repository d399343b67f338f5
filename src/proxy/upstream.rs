//! The API side: one pooled client, with TLS, a proxy and private certificate authorities.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, Uri, Version};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tower_service::Service;

use super::body::RequestBody;
use crate::accounting::price_book::Platform;
use crate::config::UpstreamConfig;

/// Connections kept open and unused, at most: enough for a burst of agents on one machine.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// How long an unused connection is kept; below the usual 60 to 75 s of load balancers, so that
/// the far end is seldom the first to close, and short enough that a burst's buffers are given
/// back within a minute.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(45);

type Direct = HttpsConnector<HttpConnector>;
type Tunnelled = HttpsConnector<Tunnel<HttpConnector>>;

/// The upstream cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// `upstream.url` or `upstream.proxy` is not an address.
    #[error("{key} = {value:?} is not an address ({detail})")]
    Address {
        /// Which setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        detail: String,
    },
    /// The certificate authorities cannot be loaded.
    #[error("the certificate authorities cannot be loaded ({0}); see upstream.ca_file")]
    Certificates(String),
}

/// The API side.
pub struct Upstream {
    client: Sender,
    scheme: Scheme,
    authority: Authority,
    /// A path in front of every request's own, mostly empty.
    prefix: String,
    /// What replaces a virtual key.
    key: Option<HeaderValue>,
    /// From the request's last byte to the head.
    pub head_timeout: Duration,
    /// Silence between two frames.
    pub idle_timeout: Duration,
    /// Tokens of OAuth logins belong to subscriptions.
    pub oauth_is_subscription: bool,
    /// Where all models run, where the configuration says it.
    pub platform: Option<Platform>,
}

enum Sender {
    Direct(Client<Within<Direct>, RequestBody>),
    Tunnelled(Client<Within<Tunnelled>, RequestBody>),
}

impl Upstream {
    /// Sets the client up. `authorities` is the content of `upstream.ca_file` (PEM).
    pub fn new(
        config: &UpstreamConfig,
        key: Option<HeaderValue>,
        authorities: Option<&[u8]>,
    ) -> Result<Upstream, UpstreamError> {
        let uri = parse("upstream.url", &config.url)?;
        let parts = uri.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            let detail = "scheme and host are needed".to_owned();
            return Err(UpstreamError::Address {
                key: "upstream.url",
                value: config.url.clone(),
                detail,
            });
        };
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(config.connect_timeout));
        let tls = if scheme == Scheme::HTTPS { verified(authorities)? } else { unverified()? };
        let client = match proxy_for(&uri, config)? {
            None => Sender::Direct(pooled(https(tls, tcp), config.connect_timeout)),
            Some((proxy, auth)) => {
                let mut tunnel = Tunnel::new(proxy, tcp);
                if let Some(auth) = auth {
                    tunnel = tunnel.with_auth(auth);
                }
                Sender::Tunnelled(pooled(https(tls, tunnel), config.connect_timeout))
            }
        };
        Ok(Upstream {
            client,
            scheme,
            authority,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            key,
            head_timeout: config.head_timeout,
            idle_timeout: config.idle_timeout,
            oauth_is_subscription: config.oauth_is_subscription,
            platform: config.platform,
        })
    }

    /// What replaces a virtual key, where one is configured.
    pub fn key(&self) -> Option<HeaderValue> {
        self.key.clone()
    }

    /// Sends a request to the same path and query; gives the head as soon as it is there.
    /// Dropping the future or the body cancels the request upstream.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Error> {
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = self.address(path);
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().remove(header::HOST);
        match &self.client {
            Sender::Direct(client) => client.request(request).await,
            Sender::Tunnelled(client) => client.request(request).await,
        }
    }

    fn address(&self, path: PathAndQuery) -> Uri {
        let path = if self.prefix.is_empty() {
            path
        } else {
            PathAndQuery::try_from(format!("{}{path}", self.prefix)).unwrap_or(path)
        };
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        // All three parts are present and were valid before, so this cannot fail.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

fn parse(key: &'static str, value: &str) -> Result<Uri, UpstreamError> {
    value.parse().map_err(|error: hyper::http::uri::InvalidUri| UpstreamError::Address {
        key,
        value: value.to_owned(),
        detail: error.to_string(),
    })
}

fn proxy_for(
    uri: &Uri,
    config: &UpstreamConfig,
) -> Result<Option<(Uri, Option<HeaderValue>)>, UpstreamError> {
    let Some(proxy) = &config.proxy else { return Ok(None) };
    parse("upstream.proxy", proxy)?;
    let exceptions = config.no_proxy.clone().unwrap_or_default();
    let matcher = Matcher::builder().all(proxy.as_str()).no(exceptions).build();
    let found = matcher.intercept(uri);
    Ok(found.map(|found| (found.uri().clone(), found.basic_auth().cloned())))
}

fn pooled<C>(connector: C, connect_timeout: Duration) -> Client<Within<C>, RequestBody>
where
    Within<C>: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(Within { connector, limit: connect_timeout })
}

fn https<C>(tls: ClientConfig, connector: C) -> HttpsConnector<C> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    builder.enable_all_versions().wrap_connector(connector)
}

fn versions() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, UpstreamError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| UpstreamError::Certificates(error.to_string()))
}

/// The platform's certificate authorities and the configured ones.
fn verified(authorities: Option<&[u8]>) -> Result<ClientConfig, UpstreamError> {
    let failed = |error: &dyn std::fmt::Display| UpstreamError::Certificates(error.to_string());
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

/// For a plaintext upstream: TLS is never spoken, so the platform's authorities (megabytes in
/// memory) are not loaded, and no certificate would be accepted.
fn unverified() -> Result<ClientConfig, UpstreamError> {
    Ok(versions()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// A connector that gives up: bounds name lookup, TCP, tunnel and TLS together.
#[derive(Clone)]
struct Within<C> {
    connector: C,
    limit: Duration,
}

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
