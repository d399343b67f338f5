//! Export to an OpenTelemetry collector: traces, metrics and logs over OTLP/HTTP, read out of the
//! ledger.
//!
//! Nothing here is on the path of a call. One thread follows the ledger from a cursor that moves
//! only after the collector has taken what it covers: a collector that is down costs lag, and after
//! `kill -9` what was not acknowledged is sent again, with the same ids.
//!
//! [`follower`] is the loop, [`spans`] says what a span holds, [`transport`] posts.

mod calls;
mod events;
mod follower;
mod meters;
mod names;
mod progress;
mod protobuf;
mod spans;
mod tools;
mod transport;
mod usage;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol, RetryPolicy, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::LogExporter as _;
use opentelemetry_sdk::metrics::Temporality;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use calls::{Calls, Destinations, Logs, Traces};
use follower::{Follower, Surroundings};
use meters::Meters;
use progress::Cursor;
use protobuf::{Attributes, Scope};
use spans::Shape;
use transport::{Posting, Transport};

use crate::clock::Clock;
use crate::config::{OtlpConfig, SIGNALS};
use crate::metrics::Metrics;
use crate::outbound::Route;

const SCOPE: &str = "weighbridge";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the export needs to know of the running sidecar.
pub struct Setup<'a> {
    /// `[otlp]`
    pub config: &'a OtlpConfig,
    /// The value behind `otlp.headers`.
    pub headers: Option<String>,
    /// How connections leave this machine.
    pub route: Route,
    /// Host and port of the API behind us.
    pub server: (String, u16),
    /// Where the ledger is.
    pub data_dir: &'a Path,
    /// The instance's id.
    pub instance: &'a str,
    /// Entries in the ledger.
    pub doorbell: watch::Receiver<u64>,
    /// Where a first export begins: the first entry of this run.
    pub first: u64,
    /// The clock.
    pub clock: Clock,
    /// Where posts and items are counted.
    pub metrics: Arc<Metrics>,
    /// The runtime that posts.
    pub runtime: Handle,
    /// Ends the export once what is there was tried.
    pub stop: CancellationToken,
}

/// A running export.
pub struct Export {
    thread: Option<JoinHandle<()>>,
    position: Arc<AtomicU64>,
    doorbell: watch::Receiver<u64>,
}

impl Export {
    /// The first entry that is not exported yet, for others to see; `None` where nothing is
    /// exported.
    #[must_use]
    pub fn position(&self) -> Option<Arc<AtomicU64>> {
        self.thread.as_ref().map(|_| Arc::clone(&self.position))
    }

    /// Waits for the thread, after `stop` was set. Gives the number of entries that wait for the
    /// next start.
    #[must_use]
    pub fn join(self) -> u64 {
        let Some(thread) = self.thread else { return 0 };
        let _ = thread.join();
        self.doorbell.borrow().saturating_sub(self.position.load(Ordering::Relaxed))
    }
}

/// The first entry that no collector has taken, out of the file alone; `None` where nothing was
/// ever exported.
#[must_use]
pub fn sent_upto(data_dir: &Path) -> Option<u64> {
    Cursor::new(data_dir).load().ok().flatten().map(|progress| progress.next)
}

/// Starts the export's thread; none where nothing is configured.
///
/// # Errors
///
/// The configuration cannot be used, or the cursor cannot be written.
pub fn start(setup: &Setup<'_>) -> Result<Export> {
    let (config, position) = (setup.config, Arc::<AtomicU64>::default());
    let doorbell = setup.doorbell.clone();
    if !config.is_on() {
        return Ok(Export { thread: None, position, doorbell });
    }
    let build = Build::new(setup)?;
    let to = Destinations {
        traces: config.traces.as_deref().map(|to| build.traces(to)).transpose()?,
        logs: config.logs.as_deref().map(|to| build.logs(to)).transpose()?,
        runtime: setup.runtime.clone(),
    };
    let calls = Calls::new(to, Shape::new(config.semconv, setup.server.clone()), scope());
    let meters = match &config.metrics {
        None => None,
        Some(to) => {
            let names = (config.semconv, config.metrics_interval);
            Some(Meters::new(build.metrics(to)?, build.resource.clone(), scope(), names))
        }
    };
    let around = Surroundings {
        data_dir: setup.data_dir.to_owned(),
        doorbell: setup.doorbell.clone(),
        clock: setup.clock,
        metrics: Arc::clone(&setup.metrics),
        stop: setup.stop.clone(),
        position: Arc::clone(&position),
        first: setup.first,
        delay: config.delay,
    };
    let follower = Follower::open(calls, meters, around)?;
    let thread = std::thread::Builder::new().name("otlp".to_owned());
    let thread = thread.spawn(move || follower.run())?;
    Ok(Export { thread: Some(thread), position, doorbell })
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE).with_version(VERSION).build()
}

/// `name=value` pairs with commas between; values may be percent-encoded, as in the standard
/// variables.
fn headers(pairs: &str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (place, pair) in pairs.split(',').map(str::trim).enumerate() {
        if pair.is_empty() {
            continue;
        }
        // What it holds is not said: it may be a secret.
        let wrong = || anyhow!("otlp.headers: pair {} is not name=value", place + 1);
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let value = percent_decoded(value.trim().as_bytes());
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| byte == b'%');
        let decoded = digits.and_then(|two| std::str::from_utf8(two).ok());
        match decoded.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// Makes what posts.
struct Build {
    posting: Posting,
    /// In the order of [`SIGNALS`].
    headers: [HeaderMap; 3],
    resource: Resource,
}

impl Build {
    fn new(setup: &Setup<'_>) -> Result<Build> {
        let config = setup.config;
        let of = |place: usize| {
            let inherited = config.environment_headers.get(place).map_or("", |hidden| &hidden.0);
            headers(setup.headers.as_deref().unwrap_or(inherited))
        };
        let posting = Posting {
            route: setup.route.clone(),
            timeout: config.timeout,
            headers: HeaderMap::new(),
            gzip: config.gzip,
            runtime: setup.runtime.clone(),
            metrics: Arc::clone(&setup.metrics),
            stop: setup.stop.clone(),
        };
        // `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` are read by the SDK, and win.
        let detected = Resource::builder().build();
        let has = |name: &str, unknown: &str| {
            let named = |(key, value): (&opentelemetry::Key, &opentelemetry::Value)| {
                key.as_str() == name && !value.as_str().starts_with(unknown)
            };
            detected.iter().any(named)
        };
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", VERSION));
        if !has("service.instance.id", "unknown_") {
            let instance = setup.instance.to_owned();
            resource = resource.with_attribute(KeyValue::new("service.instance.id", instance));
        }
        if !has("service.name", "unknown_service") {
            resource = resource.with_service_name("weighbridge");
        }
        Ok(Build { posting, headers: [of(0)?, of(1)?, of(2)?], resource: resource.build() })
    }

    fn transport(&self, signal: &'static str, endpoint: &str) -> Result<Transport> {
        let own = SIGNALS.iter().zip(&self.headers).find(|(known, _)| **known == signal);
        let headers = own.map(|(_, headers)| headers.clone()).unwrap_or_default();
        Ok(Transport::new(signal, endpoint, &Posting { headers, ..self.posting.clone() })?)
    }

    fn traces(&self, endpoint: &str) -> Result<Traces> {
        let transport = self.transport("traces", endpoint)?;
        let mut resource = Attributes::of_resource();
        for (key, value) in &self.resource {
            resource.text(key.as_str(), &value.as_str());
        }
        Ok(Traces { transport, resource, scope: Scope::new(SCOPE, VERSION) })
    }

    fn logs(&self, endpoint: &str) -> Result<Logs> {
        let transport = self.transport("logs", endpoint)?;
        let builder = LogExporter::builder().with_http();
        let mut exporter = self.finish(builder, endpoint, &transport).build().context("otlp")?;
        exporter.set_resource(&self.resource);
        Ok(Logs { exporter, transport, scope: scope() })
    }

    fn metrics(&self, endpoint: &str) -> Result<(MetricExporter, Transport)> {
        let transport = self.transport("metrics", endpoint)?;
        let builder = MetricExporter::builder().with_http();
        let builder = builder.with_temporality(Temporality::Cumulative);
        let exporter = self.finish(builder, endpoint, &transport).build().context("otlp")?;
        Ok((exporter, transport))
    }

    /// Compression comes from the standard variables, which the exporter reads.
    fn finish<B: WithExportConfig + WithHttpConfig>(
        &self,
        builder: B,
        endpoint: &str,
        transport: &Transport,
    ) -> B {
        builder
            .with_endpoint(endpoint)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(self.posting.timeout)
            .with_http_client(transport.clone())
            // The transport repeats by itself.
            .with_retry_policy(RetryPolicy::disabled())
    }
}
