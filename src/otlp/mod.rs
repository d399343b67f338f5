//! Export to an OpenTelemetry collector: traces, metrics and logs over OTLP/HTTP, read out of the
//! ledger.
//!
//! Nothing here is on the path of a call. Each thread follows the ledger from a cursor that moves
//! only after the collector has taken what it covers: a collector that is down costs lag, and after
//! `kill -9` what was not acknowledged is sent again, with the same ids.
//!
//! The exporters of `opentelemetry-otlp` encode; [`transport`] posts; [`follower`] is the loop.

mod calls;
mod events;
mod follower;
mod meters;
mod names;
mod progress;
mod spans;
mod transport;
mod usage;
mod wire;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, Protocol, RetryPolicy, SpanExporter, WithExportConfig,
    WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::LogExporter as _;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::SpanExporter as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use calls::{Calls, Destinations};
use follower::{Follower, Signal, Surroundings};
use meters::Meters;
use spans::Shape;
use transport::{Posting, Transport};

use crate::clock::Clock;
use crate::config::OtlpConfig;
use crate::metrics::Metrics;
use crate::outbound::Route;

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

/// How far an export got, for whoever shows it.
#[derive(Clone, Default)]
pub struct Positions(Vec<Arc<AtomicU64>>);

impl Positions {
    /// The first entry that some signal has not exported yet; `None` where nothing is exported.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.0.iter().map(|position| position.load(Ordering::Relaxed)).min()
    }
}

/// A running export.
pub struct Export {
    threads: Vec<JoinHandle<()>>,
    positions: Positions,
}

impl Export {
    /// How far it got; `None` where nothing is exported.
    #[must_use]
    pub fn positions(&self) -> Option<Positions> {
        Some(self.positions.clone()).filter(|positions| !positions.0.is_empty())
    }

    /// Waits for the threads, after `stop` was set.
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Starts a thread for each cursor; none where nothing is configured.
///
/// # Errors
///
/// The configuration cannot be used, or the cursors cannot be read.
pub fn start(setup: &Setup<'_>) -> Result<Export> {
    let mut export = Export { threads: Vec::new(), positions: Positions::default() };
    let config = setup.config;
    if !config.is_on() {
        return Ok(export);
    }
    let build = Build::new(setup);
    if config.traces.is_some() || config.logs.is_some() {
        let to = Destinations {
            traces: config.traces.as_deref().map(|to| build.traces(to)).transpose()?,
            logs: config.logs.as_deref().map(|to| build.logs(to)).transpose()?,
            runtime: setup.runtime.clone(),
        };
        let server = setup.server.clone();
        let shape = Shape { scope: scope(), semconv: config.semconv, server };
        follow(setup, Calls::new(to, shape), &mut export)?;
    }
    if let Some(to) = &config.metrics {
        let names = (config.semconv, config.metrics_interval);
        let meters = Meters::new(build.metrics(to)?, build.resource.clone(), scope(), names);
        follow(setup, meters, &mut export)?;
    }
    Ok(export)
}

fn follow<S: Signal + Send + 'static>(
    setup: &Setup<'_>,
    signal: S,
    export: &mut Export,
) -> Result<()> {
    let position = Arc::new(AtomicU64::new(0));
    let around = Surroundings {
        doorbell: setup.doorbell.clone(),
        clock: setup.clock,
        metrics: Arc::clone(&setup.metrics),
        stop: setup.stop.clone(),
        position: Arc::clone(&position),
        first: setup.first,
        delay: setup.config.delay,
    };
    let follower = Follower::open(setup.data_dir, signal, around)?;
    let thread = std::thread::Builder::new().name(format!("otlp-{}", S::NAME));
    export.threads.push(thread.spawn(move || follower.run())?);
    export.positions.0.push(position);
    Ok(())
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("weighbridge").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// Makes exporters.
struct Build {
    posting: Posting,
    headers: HashMap<String, String>,
    resource: Resource,
}

impl Build {
    fn new(setup: &Setup<'_>) -> Build {
        let posting = Posting {
            route: setup.route.clone(),
            timeout: setup.config.timeout,
            runtime: setup.runtime.clone(),
            metrics: Arc::clone(&setup.metrics),
            stop: setup.stop.clone(),
        };
        let pairs = setup.headers.as_deref().unwrap_or_default().split(',');
        let headers = pairs.filter_map(|pair| pair.split_once('='));
        let headers = headers.map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).collect();
        // `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` are read by the SDK.
        let detected = Resource::builder().build();
        let unnamed = detected.iter().any(|(key, name)| {
            key.as_str() == "service.name" && name.as_str().starts_with("unknown_service")
        });
        let mut resource = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", setup.instance.to_owned()));
        if unnamed {
            resource = resource.with_service_name("weighbridge");
        }
        Build { posting, headers, resource: resource.build() }
    }

    fn traces(&self, endpoint: &str) -> Result<(SpanExporter, Transport)> {
        let transport = Transport::new("traces", endpoint, &self.posting)?;
        let builder = SpanExporter::builder().with_http();
        let mut exporter = self.finish(builder, endpoint, &transport).build().context("otlp")?;
        exporter.set_resource(&self.resource);
        Ok((exporter, transport))
    }

    fn logs(&self, endpoint: &str) -> Result<(LogExporter, Transport)> {
        let transport = Transport::new("logs", endpoint, &self.posting)?;
        let builder = LogExporter::builder().with_http();
        let mut exporter = self.finish(builder, endpoint, &transport).build().context("otlp")?;
        exporter.set_resource(&self.resource);
        Ok((exporter, transport))
    }

    fn metrics(&self, endpoint: &str) -> Result<(MetricExporter, Transport)> {
        let transport = Transport::new("metrics", endpoint, &self.posting)?;
        let builder = MetricExporter::builder().with_http();
        let builder = builder.with_temporality(Temporality::Cumulative);
        let exporter = self.finish(builder, endpoint, &transport).build().context("otlp")?;
        Ok((exporter, transport))
    }

    /// Compression and more headers come from the standard variables, which the exporter reads.
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
            .with_headers(self.headers.clone())
            // The transport repeats by itself.
            .with_retry_policy(RetryPolicy::disabled())
    }
}
