//! Where the sidecar can be reached.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::config::Config;

/// The sockets, bound before anything is said to be ready.
pub(super) struct Listeners {
    pub(super) api: TcpListener,
    pub(super) admin: TcpListener,
    pub(super) telemetry: Option<TcpListener>,
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> Result<Listeners> {
        let listen = &config.listen;
        Ok(Listeners {
            api: bind("listen.api", listen.api).await?,
            admin: bind("listen.admin", listen.admin).await?,
            telemetry: match listen.telemetry {
                None => None,
                Some(address) => Some(bind("listen.telemetry", address).await?),
            },
        })
    }

    pub(super) fn api_url(&self, config: &Config) -> String {
        let scheme = if config.listen.tls.is_some() { "https" } else { "http" };
        url(scheme, &self.api)
    }

    pub(super) fn admin_url(&self) -> String {
        url("http", &self.admin)
    }

    pub(super) fn telemetry_url(&self) -> Option<String> {
        self.telemetry.as_ref().map(|listener| url("http", listener))
    }
}

fn url(scheme: &str, listener: &TcpListener) -> String {
    let address = listener.local_addr().map(|a| a.to_string()).unwrap_or_default();
    format!("{scheme}://{address}")
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{key} = {address} cannot be opened: is a sidecar running already? Port 0 picks a free one")
    })
}

/// TLS of the API listener, where a certificate is configured.
pub(super) fn tls_acceptor(config: &Config) -> Result<Option<TlsAcceptor>> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let Some((certificate, key)) = &config.listen.tls else { return Ok(None) };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| anyhow!("listen.tls_certificate {}: {error}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow!("listen.tls_key {}: {error}", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}
