//! The export to a collector: what the configuration and the running sidecar say about it.

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use super::files::instance_id;
use super::route;
use super::secrets::secret_text;
use crate::config::Config;
use crate::otlp::{self, Export, Setup};
use crate::recorder::Recorder;

/// Starts it, where one is configured. `first` is the first entry of this run.
pub(super) fn start(
    config: &Config,
    recorder: &Recorder,
    first: u64,
    stop: &CancellationToken,
) -> Result<Export> {
    let upstream = config.upstream.url.parse::<hyper::Uri>().ok();
    let port = |uri: &hyper::Uri| match uri.scheme_str() {
        Some("http") => 80,
        _ => 443,
    };
    let server = upstream.and_then(|uri| {
        let port = uri.port_u16().unwrap_or_else(|| port(&uri));
        Some((uri.host()?.to_owned(), port))
    });
    let headers = config.otlp.headers.as_ref();
    let headers = headers.map(|reference| secret_text("otlp.headers", reference)).transpose()?;
    otlp::start(&Setup {
        config: &config.otlp,
        headers,
        route: route(config)?,
        server: server.unwrap_or_default(),
        data_dir: &config.ledger.dir,
        instance: &instance_id(&config.ledger.dir)?,
        doorbell: recorder.ledger().doorbell(),
        first,
        clock: recorder.clock(),
        metrics: recorder.shared_metrics(),
        runtime: tokio::runtime::Handle::current(),
        stop: stop.clone(),
    })
}
