//! Configuration to running process, and back: one straight function in each direction.
//!
//! Start: ledger (recover) → metrics → budgets → recorder → signer → export → index follower →
//! admin → proxy listener last. Stop is the mirror: stop accepting → wait for running exchanges →
//! notifications → contents → index follower → last sync → last checkpoint → export.

mod budgets;
mod export;
mod files;
mod listeners;
mod prices;
mod retention;
mod secrets;
mod sessions;
mod tick;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use budgets::BudgetWatch;
use files::{content_key, instance_id, secret_file, token_file};
pub use files::{
    existing_content_key, existing_identifier_key, hook_token, random_hex, write_private,
};
use listeners::{Listeners, tls_acceptor};
use prices::LivePrices;
pub use prices::price_book;
use retention::Keep;
use secrets::secret_value;
use tick::{Watch, tick};

use crate::accounting::price_book::PriceBook;
use crate::admin::{self, Listener, Operator};
use crate::agent::attempt::Attempts;
use crate::audit::merkle::leaf_hash;
use crate::capture::{Capture, Told};
use crate::clock::Clock;
use crate::config::{Config, DurabilityName, LedgerModeName};
use crate::hooks::Intake;
use crate::index;
use crate::keys::{self, LiveKeys};
use crate::ledger::{self, Ledger, Recovery};
use crate::logging;
use crate::metrics::Metrics;
use crate::otlp::Export;
use crate::outbound::Route;
use crate::privacy::Redactor;
use crate::privacy::commitment::CommitmentKey;
use crate::privacy::identifier::HashKey;
use crate::proxy::upstream::Upstream;
use crate::proxy::{self, Gate};
use crate::record::act::Changed;
use crate::record::encoding::Origin;
use crate::record::entry::{PricesChanged, Recovered, Started, Stopped};
use crate::record::{Closing, Entry, Outcome};
use crate::recorder::{Recorder, Secrets};
use crate::rules::LiveRules;
use crate::signing::{self, Signing};

/// How long dropped tasks may take to wind up.
const FORCE_TIMEOUT: Duration = Duration::from_secs(1);

/// Addresses and secrets of a running sidecar: what `--ready-file` holds.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where clients call.
    pub api: String,
    /// The operator's HTTP.
    pub admin: String,
    /// The scraper's HTTP.
    pub telemetry: Option<String>,
    /// For hook posts.
    pub hook_token: String,
    /// For the admin API.
    pub admin_token: String,
}

impl Ready {
    fn new(config: &Config, listeners: &Listeners) -> Result<Ready> {
        let dir = &config.ledger.dir;
        Ok(Ready {
            api: listeners.api_url(config),
            admin: listeners.admin_url(),
            telemetry: listeners.telemetry_url(),
            hook_token: hook_token(dir)?,
            admin_token: token_file(dir, "admin.token")?,
        })
    }
}

/// A running sidecar.
pub struct App {
    /// Where it answers.
    pub ready: Ready,
    /// Its recorder, for whoever reports on the run.
    pub recorder: Arc<Recorder>,
    /// What was found at start-up.
    pub recovery: Recovery,
    operator: Arc<Operator>,
    tasks: TaskTracker,
    force: CancellationToken,
    operator_tasks: TaskTracker,
    stop_accepting: CancellationToken,
    stop_operators: CancellationToken,
    follower: std::thread::JoinHandle<()>,
    stop_follower: Arc<AtomicBool>,
    export: Export,
    stop_export: CancellationToken,
    capture: Option<Arc<Capture>>,
    signing: Signing,
    reload: Arc<Notify>,
    drain_timeout: Duration,
}

/// Starts everything `config` asks for; returns once calls are accepted.
///
/// # Errors
///
/// What could not be set up, in words, with what to do about it.
pub async fn start(config: &Config) -> Result<App> {
    let clock = Clock::start();
    let dir = &config.ledger.dir;
    keys::make_private_dir(dir)
        .with_context(|| format!("the data directory {} cannot be made", dir.display()))?;
    let seen_prices = prices::versions(&config.pricing);
    let prices = prices::current(config, clock)?;
    // Every identifier from outside is put to the rules: no call has to wait for their lists.
    Redactor::load();
    let (recorder, recovery, budgets) = open_recorder(config, clock, prices)?;
    let first = recorder.ledger().head();
    let signing = begin(&recorder, config, &recovery).await?;

    sessions::resume(config, &recorder).await?;
    let stop_export = CancellationToken::new();
    let export = export::start(config, &recorder, first, &stop_export)?;
    let rules = Arc::new(LiveRules::new(config.policy.clone(), config.upstream.url.clone()));
    let (tasks, operator_tasks) = (TaskTracker::new(), TaskTracker::new());
    let token = hook_token(dir)?;
    let hooks = Intake::new(&recorder, Arc::clone(&rules), token, operator_tasks.clone());
    let operator = Arc::new(Operator::new(&recorder, export.position(), hooks));
    let stop_follower = Arc::new(AtomicBool::new(false));
    let follower = follow(&recorder, dir, &stop_follower, &operator)?;

    let (stop_accepting, stop_operators) = (CancellationToken::new(), CancellationToken::new());
    let listeners = Listeners::bind(config).await?;
    let force = CancellationToken::new();
    let capture = capture(config, &recorder)?.map(Arc::new);
    let gate = gate(config, (&recorder, rules, capture.clone()), &tasks, &force)?;
    let ready = Ready::new(config, &listeners)?;
    let tls = tls_acceptor(config)?;
    budgets.deliver(&operator_tasks, &stop_operators);
    let (reload, prices) = (Arc::<Notify>::default(), config.pricing.clone());
    let watch = Watch {
        budgets,
        keys: Arc::clone(&gate.keys),
        operator: Arc::clone(&operator),
        prices: LivePrices::new(prices, seen_prices),
        data_dir: dir.clone(),
        reload: Arc::clone(&reload),
    };
    operator_tasks.spawn(tick(watch, stop_operators.clone()));
    let (keeper, stop) = (Arc::clone(&operator), stop_operators.clone());
    operator_tasks.spawn(retention::keep(keeper, Keep::new(config, first)?, stop));
    let Listeners { api, admin, telemetry } = listeners;
    let operators = [(Listener::Admin, Some(admin)), (Listener::Telemetry, telemetry)];
    for (kind, listener) in operators.into_iter().filter_map(|(k, l)| Some((k, l?))) {
        let (operator, stop) = (Arc::clone(&operator), stop_operators.clone());
        operator_tasks.spawn(admin::serve(operator, kind, listener, operator_tasks.clone(), stop));
    }
    let most = config.listen.connections_max;
    tasks.spawn(proxy::serve(gate, api, tls, most, stop_accepting.clone()));
    operator.accepting.store(true, Ordering::Relaxed);
    Ok(App {
        ready,
        recorder,
        recovery,
        operator,
        tasks,
        force,
        operator_tasks,
        stop_accepting,
        stop_operators,
        follower,
        stop_follower,
        export,
        stop_export,
        capture,
        signing,
        reload,
        drain_timeout: config.listen.drain_timeout,
    })
}

impl App {
    /// Looks at once whether files have changed that are read again while running, and reads the
    /// prices in any case.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Stops accepting, waits for running exchanges up to the deadline or until `force`, then
    /// gives everything back in reverse order. Gives the number of entries that no collector has
    /// taken yet, where they are exported.
    pub async fn stop(self, force: impl Future<Output = ()>) -> Result<u64> {
        self.operator.accepting.store(false, Ordering::Relaxed);
        self.stop_accepting.cancel();
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = tokio::time::sleep(self.drain_timeout) => {}
            () = force => {}
        }
        // What still runs is dropped and closes itself as interrupted.
        let open_exchanges = self.recorder.ledger().health().open_exchanges;
        self.force.cancel();
        let _ = tokio::time::timeout(FORCE_TIMEOUT, self.tasks.wait()).await;
        self.stop_operators.cancel();
        self.operator_tasks.close();
        let _ = tokio::time::timeout(FORCE_TIMEOUT, self.operator_tasks.wait()).await;
        let left = match self.capture {
            Some(capture) => tokio::task::spawn_blocking(move || capture.finish()).await?,
            None => 0,
        };
        if left > 0 {
            tracing::error!(bytes = left, "contents were not sealed before the end and are lost");
        }
        // Nothing comes after `stopped`.
        let _ = tokio::task::spawn_blocking(self.signing.quiet()).await;
        let recorded = self.recorder.record(&Entry::Stopped(Stopped { open_exchanges })).await;
        self.stop_follower.store(true, Ordering::Relaxed);
        self.stop_export.cancel();
        let (follower, export) = (self.follower, self.export);
        let mut signing = self.signing;
        let ledger = self.recorder.ledger().clone();
        let (synced, signing) = tokio::task::spawn_blocking(move || {
            let _ = follower.join();
            // The last sync and its checkpoint wait for nobody else's server.
            let synced = ledger.shutdown();
            signing.sign_last();
            (synced, signing)
        })
        .await?;
        signing.end().await;
        synced?;
        recorded?;
        Ok(tokio::task::spawn_blocking(move || export.join()).await?)
    }
}

/// Compares the ledger with what was signed, before anything is added to it; then writes down that
/// this process begins, and signs.
async fn begin(recorder: &Arc<Recorder>, config: &Config, recovery: &Recovery) -> Result<Signing> {
    let setup = signing::Setup {
        config: &config.audit,
        route: route(config)?,
        data_dir: &config.ledger.dir,
        instance: &instance_id(&config.ledger.dir)?,
    };
    let opened = signing::Opened::new(&setup, recorder).await?;
    record_start(recorder, config, recovery).await?;
    opened.start(&config.audit, recorder).await
}

/// The ledger, recovered, and what counts what is written into it.
fn open_recorder(
    config: &Config,
    clock: Clock,
    prices: PriceBook,
) -> Result<(Arc<Recorder>, Recovery, BudgetWatch)> {
    let dir = &config.ledger.dir;
    let instance = instance_id(dir)?;
    let origin = Origin { instance: instance.clone(), boot: random_hex(8) };
    logging::identify(&origin.instance, &origin.boot);
    let (ledger, recovery) = open_ledger(config, origin, clock)?;
    let secrets = Secrets {
        identifiers: HashKey::new(&secret_file(dir, "identifier.key")?),
        commitments: CommitmentKey::new(&secret_file(dir, "commitment.key")?),
        repeat_seed: random_seed(),
    };
    let metrics = Arc::new(Metrics::new()?);
    let budgets = BudgetWatch::open(config, &instance, ledger.head(), clock)?;
    budgets.expose(&metrics, clock)?;
    let recorder = Recorder::new(ledger, metrics, clock, prices, secrets);
    Ok((Arc::new(recorder.with_budgets(budgets.shared())), recovery, budgets))
}

/// Writes down what recovery found, closes what was open, and says that this process begins.
async fn record_start(
    recorder: &Arc<Recorder>,
    config: &Config,
    recovery: &Recovery,
) -> Result<()> {
    let found =
        recovery.truncated_bytes > 0 || !recovery.damaged.is_empty() || !recovery.open.is_empty();
    if found {
        let recovered = Recovered {
            damaged: recovery.damaged.clone(),
            interrupted: recovery.open.len() as u64,
            truncated_bytes: recovery.truncated_bytes,
        };
        recorder.record(&Entry::Recovered(recovered)).await?;
    }
    for exchange in &recovery.open {
        recorder.record(&Entry::Closed(Box::new(interrupted(exchange)))).await?;
    }
    let shown: String =
        config.settings.iter().map(|s| format!("{}={}\n", s.key, s.value)).collect();
    let by_uid = rustix::process::getuid().as_raw();
    let payers = keys::digest(&config.ledger.dir)?;
    let started = Started {
        config: leaf_hash(shown.as_bytes()).to_string(),
        payers: Some(payers.hash.clone()),
        pricing: recorder.prices().version().to_owned(),
        previous: recovery.previous.name().to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        uid: Some(by_uid),
    };
    recorder.record(&Entry::Started(started.clone())).await?;
    let Some(before) = recovery.in_force.clone() else { return Ok(()) };
    if before.config != started.config {
        let (before, after) = (before.config, started.config);
        recorder.record(&Entry::ConfigChanged(Changed { after, before, by_uid })).await?;
    }
    if before.pricing != started.pricing {
        let (before, after) = (before.pricing, started.pricing);
        recorder.record(&Entry::PricesChanged(PricesChanged { after, before })).await?;
    }
    if let Some(before) = before.payers.filter(|before| *before != payers.hash) {
        let (after, by_uid) = (payers.hash, payers.uid.unwrap_or(by_uid));
        recorder.record(&Entry::PayersChanged(Changed { after, before, by_uid })).await?;
    }
    Ok(())
}

/// The closing of an exchange that a crash left open: everything about it is unknown, not zero.
fn interrupted(exchange: &str) -> Closing {
    Closing {
        batch: None,
        charge: None,
        duration_us: 0,
        error_class: None,
        error_type: None,
        exchange: exchange.to_owned(),
        flags: vec![crate::accounting::Flag::UsageUnknown],
        first_token_us: None,
        model: None,
        outcome: Outcome::Interrupted,
        request_id: None,
        response_bytes: 0,
        status: None,
        stop_reason: None,
        usage: None,
    }
}

fn open_ledger(config: &Config, origin: Origin, clock: Clock) -> Result<(Ledger, Recovery)> {
    let options = ledger::Options {
        dir: config.ledger.dir.clone(),
        durability: match config.ledger.durability {
            DurabilityName::Process => ledger::Durability::Process,
            DurabilityName::Power => ledger::Durability::Power,
        },
        mode: match config.ledger.mode {
            LedgerModeName::Closed => ledger::Mode::Closed,
            LedgerModeName::Strict => ledger::Mode::Strict,
            LedgerModeName::Observe => ledger::Mode::Observe,
        },
        segment_bytes_max: config.ledger.segment_bytes,
    };
    Ok(Ledger::open(options, origin, move || clock.stamp())?)
}

/// The index follows the ledger on a thread of its own: SQLite blocks.
fn follow(
    recorder: &Arc<Recorder>,
    dir: &Path,
    stop: &Arc<AtomicBool>,
    operator: &Arc<Operator>,
) -> Result<std::thread::JoinHandle<()>> {
    let builder = index::Builder::open(dir)?;
    let doorbell = recorder.ledger().doorbell();
    let stop = Arc::clone(stop);
    let operator = Arc::clone(operator);
    let thread = std::thread::Builder::new().name("index".to_owned());
    let running = move || {
        index::follow(builder, doorbell, &operator.indexed, || stop.load(Ordering::Relaxed))
    };
    Ok(thread.spawn(running)?)
}

/// How connections leave this machine.
fn route(config: &Config) -> Result<Route> {
    let upstream = &config.upstream;
    let read = |path: &PathBuf| {
        fs::read(path).with_context(|| format!("upstream.ca_file {}", path.display()))
    };
    Ok(Route {
        proxy: upstream.proxy.clone(),
        no_proxy: upstream.no_proxy.clone(),
        authorities: upstream.ca_file.as_ref().map(read).transpose()?,
        connect_timeout: upstream.connect_timeout,
    })
}

fn gate(
    config: &Config,
    (recorder, rules, capture): (&Arc<Recorder>, Arc<LiveRules>, Option<Arc<Capture>>),
    tasks: &TaskTracker,
    force: &CancellationToken,
) -> Result<Arc<Gate>> {
    let key = config.upstream.key.as_ref();
    let key = key.map(|key| secret_value("upstream.key", key)).transpose()?;
    let upstream = Upstream::new(&config.upstream, key, &route(config)?)?;
    Ok(Arc::new(Gate {
        capture,
        recorder: Arc::clone(recorder),
        keys: Arc::new(LiveKeys::open(&config.ledger.dir)?),
        rules,
        upstream,
        require_key: config.listen.require_key,
        body_bytes_max: config.listen.body_bytes_max,
        held_bodies: Arc::default(),
        tasks: tasks.clone(),
        force: force.clone(),
        attempts: Mutex::new(Attempts::default()),
        hashes: std::hash::RandomState::new(),
        seed: random_seed(),
    }))
}

/// Where contents are kept, if any team asks for it.
fn capture(config: &Config, recorder: &Arc<Recorder>) -> Result<Option<Capture>> {
    let dir = &config.ledger.dir;
    if !config.capture.keeps_anything() {
        return Ok(None);
    }
    let identifiers = HashKey::new(&secret_file(dir, "identifier.key")?);
    let key = content_key(dir)?;
    let levels = (&config.capture, &config.redaction);
    Ok(Capture::start(
        dir,
        levels,
        key,
        &recorder.shared_metrics(),
        (identifiers, recorder.clock(), told(recorder)),
    )?)
}

/// Writes down what was kept, on the thread that keeps it.
fn told(recorder: &Arc<Recorder>) -> Told {
    let (recorder, runtime) = (Arc::clone(recorder), Handle::current());
    Box::new(move |kept| {
        let recorded = runtime.block_on(recorder.record(&Entry::ContentKept(Box::new(kept))));
        if let Err(error) = recorded {
            tracing::error!(%error, "what was kept of a call is not in the ledger");
        }
    })
}

/// Random at every start, so that nobody outside can choose colliding keys.
fn random_seed() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)
}
