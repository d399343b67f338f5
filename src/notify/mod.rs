//! Tells people and alert managers what the ledger says: budgets that were crossed, classes of
//! errors that were seen.
//!
//! An entry comes first, its notification follows: a [`Notifier`] is given what was just recorded,
//! and at a start what the index says was recorded before. Which of them a channel has taken is in
//! a file of its own ([`settled`]), so that nothing is lost or forgotten over a `kill -9`. Delivery
//! is at least once, with an id that stays the same.
//!
//! Nothing here is on the path of a call, and nothing waits for it.

mod channel;
pub mod payload;
mod settled;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::Uri;
use hyper::header::HeaderValue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use channel::Courier;
use settled::Settled;

use crate::accounting::budget::NS_PER_SECOND;
use crate::budgets::{Budgets, Deliveries};
use crate::clock::Clock;
use crate::config::ChannelKind;
use crate::outbound::{Client, OutboundError, Route};
use crate::record::{Notice, Noticed};

/// Notifications that wait for one channel. Beyond it new ones are dropped and counted.
const PENDING_MAX: usize = 1000;
/// Alerts that are sent again and again to one Alertmanager. Beyond it the oldest are left out.
const STANDING_MAX: usize = 1000;
/// A crossing is worth telling until its period ends, but for an hour at least.
const CURRENT_SECONDS_MIN: i64 = 60 * 60;
/// What is about no period is worth telling for a day.
const CURRENT_SECONDS: i64 = 24 * 60 * 60;

/// A channel as it is used: secrets read.
pub struct Channel {
    /// Its name in the configuration.
    pub name: String,
    /// What the other side understands.
    pub kind: ChannelKind,
    /// Its address; never shown.
    pub url: Uri,
    /// `Authorization`.
    pub token: Option<HeaderValue>,
    /// The classes of errors that it hears of.
    pub errors: Vec<String>,
    /// The budgets that it hears of.
    pub budgets: Vec<String>,
}

impl Channel {
    /// Whether it hears of this.
    fn hears(&self, notice: &Notice) -> bool {
        match notice {
            Notice::Crossed(crossed) => self.budgets.contains(&crossed.budget),
            Notice::Error(seen) => self.errors.iter().any(|class| class == seen.class.as_str()),
            Notice::Rearmed(_) => false,
        }
    }
}

/// What all channels share.
#[derive(Clone)]
pub struct Context {
    /// The time.
    pub clock: Clock,
    /// This instance's id.
    pub instance: String,
    /// Whether a crossing still holds.
    pub budgets: Arc<Budgets>,
    /// What became of notifications.
    pub deliveries: Arc<Deliveries>,
}

impl Context {
    fn now(&self) -> i64 {
        i64::try_from(self.clock.stamp().wall_ns).unwrap_or(i64::MAX)
    }
}

/// What waits for one channel.
#[derive(Default)]
struct Mailbox {
    state: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Default)]
struct Waiting {
    pending: BTreeMap<u64, Pending>,
    /// Of an Alertmanager: the alerts of running periods, and whether it was told that they hold.
    standing: BTreeMap<u64, Standing>,
}

impl Waiting {
    /// How many wait to be told.
    fn heard(&self) -> usize {
        self.pending.values().filter(|one| one.heard).count()
    }
}

#[derive(Clone)]
struct Pending {
    noticed: Noticed,
    /// Whether the channel hears of it: what it does not is settled without a word, so that it is
    /// not told late once the configuration names the channel.
    heard: bool,
    attempts: u32,
    /// Not before this monotonic moment.
    next_ns: u64,
}

#[derive(Clone)]
struct Standing {
    noticed: Noticed,
    active: bool,
}

impl Mailbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands notices to the channels that hear of them.
pub struct Notifier {
    context: Context,
    couriers: Vec<Arc<Courier>>,
}

/// A channel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// No way out.
    #[error("notify.{channel}: {source}")]
    Outbound {
        /// The channel.
        channel: String,
        /// Why.
        source: OutboundError,
    },
    /// Its file cannot be read or written.
    #[error("{path} cannot be used: {source}; check its folder's permissions and space")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Notifier {
    /// Opens every channel's file in `data_dir`. A channel that is new begins at `head`, the end of
    /// the ledger: it does not hear of the past.
    ///
    /// # Errors
    ///
    /// A file cannot be used, or there is no way to set up a connection.
    pub fn open(
        channels: Vec<Channel>,
        context: Context,
        (data_dir, head): (&Path, u64),
        route: &Route,
    ) -> Result<Notifier, NotifyError> {
        let open = |channel: Channel| {
            let name = channel.name.clone();
            let client = Client::new(&channel.url, route)
                .map_err(|source| NotifyError::Outbound { channel: name.clone(), source })?;
            let settled = Settled::open(data_dir, &name, head)?;
            context.deliveries.pending(&name, 0);
            Ok(Arc::new(Courier::new(channel, client, settled, context.clone())))
        };
        let couriers = channels.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Notifier { context, couriers })
    }

    /// Delivers until `stop`.
    pub fn run(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        for courier in &self.couriers {
            tasks.spawn(Arc::clone(courier).run(stop.clone()));
        }
    }

    /// Takes up what was recorded before this process and is not settled yet.
    pub fn resume(&self, notices: &[Noticed]) {
        let now = self.context.now();
        for courier in &self.couriers {
            for noticed in notices {
                courier.resume(noticed, now);
            }
            courier.ring();
        }
    }

    /// The sums were made anew: tells again at once what holds and what does not any more.
    pub fn refresh(&self) {
        self.couriers.iter().for_each(|courier| courier.refresh());
    }

    /// Tells of what was just recorded.
    pub fn tell(&self, noticed: &Noticed) {
        for courier in &self.couriers {
            courier.tell(noticed);
            courier.ring();
        }
    }
}

/// Whether it is still worth telling at `now`.
fn is_current(noticed: &Noticed, now: i64) -> bool {
    let after = |seconds: i64| noticed.at.saturating_add(seconds.saturating_mul(NS_PER_SECOND));
    match &noticed.notice {
        Notice::Crossed(crossed) if crossed.is_of_period() => {
            now < crossed.period_end.max(after(CURRENT_SECONDS_MIN))
        }
        _ => now < after(CURRENT_SECONDS),
    }
}

#[cfg(test)]
mod tests;
