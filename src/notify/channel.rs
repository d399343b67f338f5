//! One channel's deliveries: one at a time, each again until it is taken or not current any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Request, Uri};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::settled::Settled;
use super::{
    Channel, Context, Mailbox, PENDING_MAX, Pending, STANDING_MAX, Standing, is_current, payload,
};
use crate::config::ChannelKind;
use crate::outbound::Client;
use crate::record::{Notice, Noticed};

/// A whole attempt, connection and answer together.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// As much of an answer is read, so that its connection can be used again.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// How long the rest of an answer is waited for.
const BODY_WAIT: Duration = Duration::from_secs(1);
/// The wait after a first failure; it doubles with each.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);
/// How often an Alertmanager is told again what holds: it forgets with a restart.
const RESEND_INTERVAL: Duration = Duration::from_secs(60);
/// The path of Alertmanager's API.
const ALERTS: &str = "/api/v2/alerts";
/// The header that tells a repetition.
const ID_HEADER: &str = "idempotency-key";

/// Delivers to one channel.
pub(super) struct Courier {
    channel: Channel,
    address: Uri,
    client: Client<Full<Bytes>>,
    context: Context,
    mailbox: Mailbox,
    settled: Mutex<Settled>,
    /// Asks for what holds to be told again at once.
    refresh: AtomicBool,
}

impl Courier {
    pub(super) fn new(
        channel: Channel,
        client: Client<Full<Bytes>>,
        settled: Settled,
        context: Context,
    ) -> Courier {
        let address = match channel.kind {
            ChannelKind::Alertmanager => below(&channel.url, ALERTS),
            ChannelKind::Webhook | ChannelKind::Slack => channel.url.clone(),
        };
        let settled = Mutex::new(settled);
        let (mailbox, refresh) = (Mailbox::default(), AtomicBool::new(false));
        Courier { channel, address, client, context, mailbox, settled, refresh }
    }

    pub(super) fn ring(&self) {
        self.mailbox.bell.notify_one();
    }

    /// Past spend has moved: what holds is told again at once.
    pub(super) fn refresh(&self) {
        self.refresh.store(true, Ordering::Relaxed);
        self.ring();
    }

    /// Takes up what was recorded before this process.
    pub(super) fn resume(&self, noticed: &Noticed, now: i64) {
        let is_settled = {
            let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            settled.contains(noticed.sequence)
        };
        if !is_settled {
            self.tell(noticed);
        } else if self.channel.hears(&noticed.notice) && is_current(noticed, now) {
            self.stand(noticed);
        }
    }

    pub(super) fn tell(&self, noticed: &Noticed) {
        let heard = self.channel.hears(&noticed.notice);
        let mut waiting = self.mailbox.waiting();
        if waiting.pending.len() >= PENDING_MAX {
            drop(waiting);
            tracing::error!(
                channel = self.channel.name,
                "too many notifications wait: one is lost"
            );
            self.context.deliveries.dropped(&self.channel.name);
            return;
        }
        let pending = Pending { noticed: noticed.clone(), heard, attempts: 0, next_ns: 0 };
        waiting.pending.insert(noticed.sequence, pending);
        self.context.deliveries.pending(&self.channel.name, waiting.heard());
        drop(waiting);
        if heard {
            self.stand(noticed);
        }
    }

    /// Remembers an alert that is sent again as long as it holds.
    fn stand(&self, noticed: &Noticed) {
        let is_alert = self.channel.kind == ChannelKind::Alertmanager;
        if !is_alert || !matches!(noticed.notice, Notice::Crossed(_)) {
            return;
        }
        let mut waiting = self.mailbox.waiting();
        if waiting.standing.len() >= STANDING_MAX {
            waiting.standing.pop_first();
        }
        let standing = Standing { noticed: noticed.clone(), active: true };
        waiting.standing.insert(noticed.sequence, standing);
    }

    /// Delivers until `stop`.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut failing = false;
        let mut resend_ns = 0;
        loop {
            // An attempt is not cut off at a stop: it would be told twice.
            let wait = self.deliver_due(&mut failing, &stop).await;
            if stop.is_cancelled() {
                return;
            }
            let wait = wait.min(self.resend_due(&mut resend_ns).await);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.mailbox.bell.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Delivers what is due, one after the other; gives the time until the next is.
    async fn deliver_due(&self, failing: &mut bool, stop: &CancellationToken) -> Duration {
        loop {
            self.settle_unsent().await;
            if stop.is_cancelled() {
                return Duration::ZERO;
            }
            let mono_ns = self.context.clock.mono_ns();
            let (next, soonest) = {
                let waiting = self.mailbox.waiting();
                // What is not for this channel may have come since it was looked for.
                let all = waiting.pending.values().filter(|one| one.heard);
                let due = all.clone().filter(|one| one.next_ns <= mono_ns);
                // What was tried least goes first: one that is never taken holds up no other.
                let next = due.min_by_key(|one| (one.attempts, one.noticed.sequence)).cloned();
                (next, all.map(|one| one.next_ns).min())
            };
            let Some(Pending { noticed, attempts, .. }) = next else {
                let until = soonest.map_or(u64::MAX, |soonest| soonest.saturating_sub(mono_ns));
                return Duration::from_nanos(until).min(BACKOFF_MAX);
            };
            match self.send(&self.body(&noticed), Some(noticed.sequence)).await {
                Ok(()) => {
                    if std::mem::take(failing) {
                        tracing::info!(channel = self.channel.name, "notifications go out again");
                    }
                    self.context.deliveries.delivered(&self.channel.name);
                    self.settle(noticed.sequence).await;
                }
                Err(problem) => {
                    if !std::mem::replace(failing, true) {
                        let channel = &self.channel.name;
                        tracing::warn!(
                            channel,
                            problem,
                            "a notification failed; it is tried again"
                        );
                    }
                    self.context.deliveries.failed(&self.channel.name);
                    self.postpone(noticed.sequence, attempts);
                }
            }
        }
    }

    fn postpone(&self, sequence: u64, attempts: u32) {
        let wait = backoff(attempts);
        let next_ns = self.context.clock.mono_ns().saturating_add(nanoseconds(wait));
        if let Some(pending) = self.mailbox.waiting().pending.get_mut(&sequence) {
            pending.attempts = attempts.saturating_add(1);
            pending.next_ns = next_ns;
        }
    }

    /// Gives up what nobody needs to hear any more, and passes over what is not for this channel.
    async fn settle_unsent(&self) {
        let now = self.context.now();
        let unsent: Vec<(u64, bool)> = {
            let waiting = self.mailbox.waiting();
            let all = waiting.pending.values();
            let unsent = all.filter(|one| !one.heard || !is_current(&one.noticed, now));
            unsent.map(|one| (one.noticed.sequence, one.heard)).collect()
        };
        for (sequence, heard) in unsent {
            if heard {
                let channel = &self.channel.name;
                tracing::error!(channel, sequence, "a notification was never taken: given up");
                self.context.deliveries.dropped(channel);
            }
            self.settle(sequence).await;
        }
    }

    /// Written down first: what does not wait any more is never told again.
    async fn settle(&self, sequence: u64) {
        let first = {
            let waiting = self.mailbox.waiting();
            waiting.pending.keys().copied().find(|other| *other != sequence)
        };
        let write = {
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            settled.settle(sequence, first)
        };
        let channel = &self.channel.name;
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            tracing::error!(channel, %error, "what was delivered cannot be written down");
        }
        let count = {
            let mut waiting = self.mailbox.waiting();
            waiting.pending.remove(&sequence);
            waiting.heard()
        };
        self.context.deliveries.pending(channel, count);
    }

    /// Tells an Alertmanager again what holds, and that something does not any more; gives the time
    /// until the next round.
    async fn resend_due(&self, resend_ns: &mut u64) -> Duration {
        if self.channel.kind != ChannelKind::Alertmanager {
            return BACKOFF_MAX;
        }
        let mono_ns = self.context.clock.mono_ns();
        if !self.refresh.swap(false, Ordering::Relaxed) && mono_ns < *resend_ns {
            return Duration::from_nanos(resend_ns.saturating_sub(mono_ns));
        }
        let (alerts, ended) = self.standing_alerts();
        let sent = alerts.is_empty() || self.send(&Value::Array(alerts), None).await.is_ok();
        if sent {
            let mut waiting = self.mailbox.waiting();
            for sequence in ended {
                if let Some(standing) = waiting.standing.get_mut(&sequence) {
                    standing.active = false;
                }
            }
        } else {
            self.context.deliveries.failed(&self.channel.name);
        }
        *resend_ns = mono_ns.saturating_add(nanoseconds(RESEND_INTERVAL));
        RESEND_INTERVAL
    }

    /// The alerts of running periods that were delivered, and which of them have ended.
    fn standing_alerts(&self) -> (Vec<Value>, Vec<u64>) {
        let now = self.context.now();
        let standing: Vec<Standing> = {
            let mut waiting = self.mailbox.waiting();
            waiting.standing.retain(|_, standing| is_current(&standing.noticed, now));
            let pending =
                |standing: &&Standing| !waiting.pending.contains_key(&standing.noticed.sequence);
            waiting.standing.values().filter(pending).cloned().collect()
        };
        let (mut alerts, mut ended) = (Vec::new(), Vec::new());
        let instance = &self.context.instance;
        for Standing { noticed, active } in standing {
            let Notice::Crossed(crossed) = &noticed.notice else { continue };
            match self.context.budgets.holds(crossed, now) {
                Some(true) => alerts.push(payload::alert(&noticed, instance, now)),
                // Until the ledger's sums are there nobody knows.
                None => {}
                Some(false) if active => {
                    alerts.push(payload::resolved(&noticed, instance, now));
                    ended.push(noticed.sequence);
                }
                Some(false) => {}
            }
        }
        (alerts, ended)
    }

    fn body(&self, noticed: &Noticed) -> Value {
        let instance = &self.context.instance;
        match self.channel.kind {
            ChannelKind::Webhook => payload::webhook(noticed, instance),
            ChannelKind::Slack => payload::slack(noticed, instance),
            ChannelKind::Alertmanager => {
                Value::Array(vec![payload::alert(noticed, instance, self.context.now())])
            }
        }
    }

    /// One attempt. What went wrong is said without the address, which may hold a secret.
    async fn send(&self, body: &Value, sequence: Option<u64>) -> Result<(), String> {
        let mut request = Request::post(&self.address)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("weighbridge/", env!("CARGO_PKG_VERSION")));
        if let Some(sequence) = sequence {
            request = request.header(ID_HEADER, payload::id(&self.context.instance, sequence));
        }
        if let Some(token) = &self.channel.token {
            request = request.header(AUTHORIZATION, token);
        }
        let body = Full::new(Bytes::from(body.to_string()));
        let request = request.body(body).map_err(|_| "it cannot be made up".to_owned())?;
        let sending = async {
            let response = self.client.request(request).await.map_err(|error| {
                let what = if error.is_connect() { "no connection" } else { "no answer" };
                what.to_owned()
            })?;
            // The status is the answer. The body is read as far as it comes at once, so that the
            // connection can be used again.
            let status = response.status();
            let reading = drain(response.into_body());
            let _ = tokio::time::timeout(BODY_WAIT, reading).await;
            // A redirect is not followed: it could lead a secret anywhere.
            if status.is_success() { Ok(()) } else { Err(format!("status {}", status.as_u16())) }
        };
        let late = || format!("no answer within {} s", DELIVERY_TIMEOUT.as_secs());
        tokio::time::timeout(DELIVERY_TIMEOUT, sending).await.map_err(|_| late())?
    }
}

/// The wait after so many attempts before this one.
fn backoff(attempts: u32) -> Duration {
    let doubled = 2_u32.checked_pow(attempts).and_then(|times| BACKOFF_MIN.checked_mul(times));
    doubled.unwrap_or(BACKOFF_MAX).min(BACKOFF_MAX)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// An address with a path after its own.
fn below(url: &Uri, path: &str) -> Uri {
    let mut parts = url.clone().into_parts();
    let whole = format!("{}{path}", url.path().trim_end_matches('/'));
    // Two paths that are valid make one that is.
    parts.path_and_query = whole.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
}

/// Reads an answer's body and throws it away.
async fn drain(mut body: Incoming) {
    let mut read = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if read > RESPONSE_BYTES_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes() {
        let seconds: Vec<u64> = (0..12).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn a_path_goes_after_the_one_that_is_there() {
        let below = |url: &str| below(&url.parse().unwrap(), ALERTS).to_string();
        assert_eq!(below("http://127.0.0.1:9093"), "http://127.0.0.1:9093/api/v2/alerts");
        assert_eq!(below("https://a.example/am/"), "https://a.example/am/api/v2/alerts");
    }
}
