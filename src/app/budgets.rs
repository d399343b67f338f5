//! Budgets in a running sidecar: their sums are read, what is crossed is written down, and whoever
//! is to hear of it is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use anyhow::{Context as _, Result, anyhow};
use hyper::Uri;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::route;
use super::secrets::{header_value, secret_text};
use crate::accounting::budget::Change;
use crate::budgets::{BudgetFamilies, Budgets, Deliveries, DeliveryFamilies, Due, Loaded};
use crate::clock::Clock;
use crate::config::{ChannelConfig, ChannelUrl, Config, check_kept_url};
use crate::index::IndexError;
use crate::ledger::State;
use crate::metrics::Metrics;
use crate::notify::{Channel, Context, Notifier};
use crate::record::{BudgetCrossed, BudgetRearmed, Entry, Notice, Noticed};
use crate::recorder::Recorder;

/// Crossings written down in one look; the others wait for the next.
const CROSSINGS_MAX: usize = 64;
/// Looks to let pass after sums could not be read.
const PAUSE: u32 = 5;

/// Looks after budgets once a second.
pub(super) struct BudgetWatch {
    budgets: Arc<Budgets>,
    deliveries: Arc<Deliveries>,
    notifier: Notifier,
    data_dir: PathBuf,
    /// The sums that are being read.
    reading: Option<Receiver<Result<Loaded, IndexError>>>,
    pause: u32,
    /// Whether they could not be read the last time: said once.
    unread: bool,
    resumed: bool,
    /// Whether the ledger refused the last crossing: said once.
    refused: bool,
}

impl BudgetWatch {
    /// What the configuration asks for. `head` is the place in the ledger where this process
    /// begins.
    pub(super) fn open(
        config: &Config,
        instance: &str,
        head: u64,
        clock: Clock,
    ) -> Result<BudgetWatch> {
        let watched = config.budgets.iter().map(|one| Arc::clone(&one.budget)).collect();
        let mut classes: Vec<String> =
            config.channels.iter().flat_map(|channel| channel.errors.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        let budgets = Arc::new(Budgets::new(watched, classes, head, now(clock)));
        let deliveries = Arc::<Deliveries>::default();
        let context = Context {
            clock,
            instance: instance.to_owned(),
            budgets: Arc::clone(&budgets),
            deliveries: Arc::clone(&deliveries),
        };
        let of = |channel: &ChannelConfig| open_channel(config, channel);
        let channels = config.channels.iter().map(of).collect::<Result<Vec<_>>>()?;
        let data_dir = config.ledger.dir.clone();
        let way_out = if channels.is_empty() { None } else { Some(route(config)?) };
        let place: (&Path, u64) = (&data_dir, head);
        let notifier = Notifier::open(channels, context, place, &way_out.unwrap_or_default())?;
        let (reading, pause, unread, resumed, refused) = (None, 0, false, false, false);
        Ok(BudgetWatch {
            budgets,
            deliveries,
            notifier,
            data_dir,
            reading,
            pause,
            unread,
            resumed,
            refused,
        })
    }

    /// What the recorder counts in.
    pub(super) fn shared(&self) -> Arc<Budgets> {
        Arc::clone(&self.budgets)
    }

    /// Shows its families to scrapers.
    pub(super) fn expose(&self, metrics: &Metrics, clock: Clock) -> Result<()> {
        metrics.register(BudgetFamilies::new(Arc::clone(&self.budgets), clock)?)?;
        metrics.register(DeliveryFamilies::new(Arc::clone(&self.deliveries))?)?;
        Ok(())
    }

    /// Delivers until `stop`.
    pub(super) fn deliver(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        self.notifier.run(tasks, stop);
    }

    /// Takes in sums that were read, reads them where they are needed, and writes down what was
    /// crossed.
    pub(super) async fn step(&mut self, recorder: &Recorder) {
        if self.budgets.is_idle() {
            return;
        }
        let clock = recorder.clock();
        self.finish_reading(now(clock));
        self.pause = self.pause.saturating_sub(1);
        self.budgets.begin_load(|| recorder.ledger().head(), now(clock));
        if let Some(before) = self.budgets.loading().filter(|_| self.pause == 0) {
            self.begin_reading(before, now(clock));
        }
        // Thousands of subjects take some milliseconds: not on a thread that calls run on.
        let budgets = Arc::clone(&self.budgets);
        let due = tokio::task::spawn_blocking(move || budgets.due(now(clock))).await;
        let due = due.unwrap_or_default();
        // What would not be written is not tried: in `observe` mode each try would be a gap.
        if due.is_empty() || !is_writable(recorder) {
            return;
        }
        for due in due.into_iter().take(CROSSINGS_MAX) {
            if !self.write_down(recorder, &due).await {
                return;
            }
        }
    }

    /// On a thread of its own, that nobody waits for at the end: an index may take long.
    fn begin_reading(&mut self, before: u64, now: i64) {
        if self.reading.is_some() {
            return;
        }
        let (sender, receiver) = sync_channel(1);
        let (budgets, data_dir) = (Arc::clone(&self.budgets), self.data_dir.clone());
        let thread = std::thread::Builder::new().name("budgets".to_owned());
        let reading = thread.spawn(move || {
            let _ = sender.send(budgets.load(&data_dir, before, now));
        });
        match reading {
            Ok(_) => self.reading = Some(receiver),
            Err(error) => {
                tracing::error!(%error, "no thread to read the sums of budgets with");
                self.pause = PAUSE;
            }
        }
    }

    fn finish_reading(&mut self, now: i64) {
        let Some(reading) = &self.reading else { return };
        let read = match reading.try_recv() {
            Ok(read) => read,
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                (self.reading, self.pause) = (None, PAUSE);
                return;
            }
        };
        self.reading = None;
        match read {
            Ok(loaded) => {
                self.unread = false;
                if !std::mem::replace(&mut self.resumed, true) {
                    self.notifier.resume(&loaded.notices);
                }
                self.budgets.loaded(loaded, now);
                self.notifier.refresh();
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unread, true) {
                    tracing::warn!(%error, "the sums of budgets cannot be read; it is tried again");
                }
                self.pause = PAUSE;
            }
        }
    }

    /// The entry first, then memory, then whoever is to hear of it. `false` where the ledger does
    /// not take it: the same is due again at the next look.
    async fn write_down(&mut self, recorder: &Recorder, due: &Due) -> bool {
        let (entry, notice) = match due {
            Due::Budget(Change::Crossed(crossing)) => {
                let crossed = Box::new(BudgetCrossed::new(crossing));
                (Entry::BudgetCrossed(crossed.clone()), Notice::Crossed(crossed))
            }
            Due::Budget(change) => match BudgetRearmed::of(change) {
                Some(rearmed) => (Entry::BudgetRearmed(rearmed.clone()), Notice::Rearmed(rearmed)),
                None => return true,
            },
            Due::Error(seen) => (Entry::ErrorClassSeen(seen.clone()), Notice::Error(seen.clone())),
        };
        let written = match recorder.record(&entry).await {
            Ok(written) => written,
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    let kind = entry.kind();
                    tracing::error!(%error, kind, "the ledger does not take it; it is tried again");
                }
                return false;
            }
        };
        self.refused = false;
        // Without a place in the ledger (`observe`) there is no id to tell it under.
        let Some(sequence) = written.sequence else { return false };
        let at = i64::try_from(written.stamp.wall_ns).unwrap_or(i64::MAX);
        self.budgets.confirm(due, at);
        self.notifier.tell(&Noticed { sequence, at, notice });
        true
    }
}

fn is_writable(recorder: &Recorder) -> bool {
    matches!(recorder.ledger().health().state, State::Normal | State::Reserve)
}

/// A channel with its secrets, and the budgets that name it.
fn open_channel(config: &Config, channel: &ChannelConfig) -> Result<Channel> {
    let ChannelConfig { name, kind, url, token, errors } = channel;
    let setting = format!("notify.{name}.url");
    let address = match url {
        ChannelUrl::Plain(url) => url.clone(),
        ChannelUrl::Kept(kept) => {
            let text = secret_text(&setting, kept)?;
            check_kept_url(&text, token.is_some())
                .map_err(|problem| anyhow!("{setting} names a place, but {problem}"))?;
            text
        }
    };
    // What is wrong with it is not said: the address may be a secret.
    let url: Uri = address.parse().map_err(|_| anyhow!("{setting} is not an URL"))?;
    let key = format!("notify.{name}.token");
    let token = token.as_ref().map(|token| secret_text(&key, token)).transpose()?;
    let token = token.map(|token| header_value(&key, &format!("Bearer {token}"))).transpose();
    let named = config.budgets.iter().filter(|one| one.notify.contains(name));
    Ok(Channel {
        name: name.clone(),
        kind: *kind,
        url,
        token: token.context("it cannot be sent")?,
        errors: errors.clone(),
        budgets: named.map(|one| one.budget.name.clone()).collect(),
    })
}

fn now(clock: Clock) -> i64 {
    i64::try_from(clock.stamp().wall_ns).unwrap_or(i64::MAX)
}
