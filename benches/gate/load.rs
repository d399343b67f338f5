//! The four shapes of load. Each ends with figures: throughput, CPU, latency, memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use crate::{
    client::{Client, Seen},
    measure::{self, Reading},
    pace,
    request::Conversation,
    target::Running,
};

/// Name of a figure → its value, in the unit the name ends with.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// Arrivals that wait for the generator; the queue cannot be longer than a run.
const ARRIVALS_MAX: usize = 4096;
/// The longest wait for answers that are still under way when the load ends.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// The pause between two looks at memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A program that uses less of its CPU than this between two looks has no work left over.
const QUIET_CPU_SHARE: f64 = 0.03;
/// The longest wait for that; what works longer is measured no further.
const QUIET_MAX: Duration = Duration::from_secs(20);
/// So long without work: an index that commits every 5 s, an export that gathers for 1 s.
const QUIET_FOR: Duration = Duration::from_secs(6);

/// What came back, gathered from all tasks of one load.
#[derive(Default)]
struct Gathered {
    first_us: Vec<f64>,
    last_us: Vec<f64>,
    event_us: Vec<f64>,
    lost: u64,
    errors: u64,
    first_error: Option<String>,
}

impl Gathered {
    fn add(&mut self, outcome: Result<Seen, String>) {
        match outcome {
            Ok(seen) => {
                self.first_us.push(seen.first_byte.as_secs_f64() * 1e6);
                self.last_us.push(seen.last_byte.as_secs_f64() * 1e6);
                self.event_us.extend(seen.event_delays_ns.iter().map(|ns| *ns as f64 / 1e3));
                self.lost += seen.lost;
            }
            Err(why) => {
                self.errors += 1;
                self.first_error.get_or_insert(why);
            }
        }
    }

    fn whole(&self) -> f64 {
        self.last_us.len() as f64
    }

    fn figures(&mut self) -> Figures {
        if let Some(why) = &self.first_error {
            eprintln!("  {} failed, the first with: {why}", self.errors);
        }
        let mut figures = Figures::new();
        figures.insert("whole", self.whole());
        figures.insert("errors", self.errors as f64);
        figures.insert("lost", self.lost as f64);
        let series = [
            ("first_p50_us", "first_p99_us", &mut self.first_us),
            ("last_p50_us", "last_p99_us", &mut self.last_us),
            ("event_p50_us", "event_p99_us", &mut self.event_us),
        ];
        for (p50, p99, values) in series {
            if let (Some(half), Some(high)) =
                (measure::quantile(values, 0.5), measure::quantile(values, 0.99))
            {
                figures.insert(p50, half);
                figures.insert(p99, high);
            }
        }
        figures
    }
}

/// As many requests as the target takes: `connections` at a time, each sent when the one before it
/// was answered. Throughput is that of the window after `warm`; CPU is all that was used from the
/// first request until the target had no work left over, shared by all answers.
pub(crate) async fn closed(
    target: &Running,
    conversation: Conversation,
    connections: usize,
    [warm, measured]: [Duration; 2],
) -> Figures {
    let client = Arc::new(Client::new(target.address));
    let conversation = Arc::new(conversation);
    let gathered = Arc::new(Mutex::new(Gathered::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let before = Reading::of(target.pid());
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (client, conversation) = (client.clone(), conversation.clone());
        let (gathered, stop) = (gathered.clone(), stop.clone());
        tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let outcome = client.exchange(&conversation, Instant::now()).await;
                let failed = outcome.is_err();
                gathered.lock().unwrap().add(outcome);
                if failed {
                    sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    sleep(warm).await;
    let (since, whole_before) = (Instant::now(), gathered.lock().unwrap().whole());
    let peak_mb = peak_rss_mb(target, measured).await;
    let per_s = (gathered.lock().unwrap().whole() - whole_before) / since.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    drain(&mut tasks).await;
    let (after, quiet_s) = quiet(target).await;
    let mut gathered = gathered.lock().unwrap();
    let mut figures = gathered.figures();
    figures.insert("per_s", per_s);
    figures.insert("cpu_us", after.cpu_s_since(&before) * 1e6 / gathered.whole().max(1.0));
    figures.insert("quiet_s", quiet_s);
    figures.insert("peak_mb", peak_mb);
    figures
}

/// `count` requests, `rate` a second whatever the target does. Latency counts from the moment a
/// request was due, so a target that stalls pays for the queue behind it. CPU is counted as in
/// [`closed`].
pub(crate) async fn open(
    target: &Running,
    conversation: Conversation,
    rate: u32,
    count: u32,
) -> Figures {
    let client = Arc::new(Client::new(target.address));
    let conversation = Arc::new(conversation);
    let gathered = Arc::new(Mutex::new(Gathered::default()));
    // The first exchanges open connections and fault pages in; they are not measured.
    for _ in 0..3 {
        let _ = client.exchange(&conversation, Instant::now()).await;
    }
    let before = Reading::of(target.pid());
    let (arrivals, mut due) = mpsc::channel(ARRIVALS_MAX);
    let timekeeper = std::thread::spawn(move || {
        pace::keep_time((0..count).map(|index| Duration::from_secs(1) * index / rate), &arrivals);
    });
    let mut tasks = JoinSet::new();
    while let Some(due) = due.recv().await {
        let (client, conversation) = (client.clone(), conversation.clone());
        let gathered = gathered.clone();
        tasks.spawn(async move {
            let outcome = client.exchange(&conversation, due).await;
            gathered.lock().unwrap().add(outcome);
        });
    }
    timekeeper.join().unwrap();
    drain(&mut tasks).await;
    let (after, quiet_s) = quiet(target).await;
    let mut gathered = gathered.lock().unwrap();
    let mut figures = gathered.figures();
    figures.insert("cpu_us", after.cpu_s_since(&before) * 1e6 / gathered.whole().max(1.0));
    figures.insert("quiet_s", quiet_s);
    unanswered(&mut figures, f64::from(count));
    figures
}

/// `streams` open at once, started a millisecond apart; the peak of memory while all are open.
pub(crate) async fn hold(
    target: &Running,
    conversation: Conversation,
    streams: u32,
    watch: Duration,
) -> Figures {
    let idle_mb = Reading::of(target.pid()).rss_mb;
    let client = Arc::new(Client::new(target.address));
    let conversation = Arc::new(conversation);
    let gathered = Arc::new(Mutex::new(Gathered::default()));
    let mut tasks = JoinSet::new();
    let opening = Duration::from_millis(u64::from(streams));
    for index in 0..streams {
        let (client, conversation) = (client.clone(), conversation.clone());
        let gathered = gathered.clone();
        tasks.spawn(async move {
            sleep(Duration::from_millis(u64::from(index))).await;
            let outcome = client.exchange(&conversation, Instant::now()).await;
            gathered.lock().unwrap().add(outcome);
        });
    }
    sleep(opening + Duration::from_secs(1)).await;
    let ended_early = gathered.lock().unwrap().whole();
    let before = Reading::of(target.pid());
    let peak_mb = peak_rss_mb(target, watch).await;
    let cpu_s = Reading::of(target.pid()).cpu_s_since(&before);
    drain(&mut tasks).await;
    let mut figures = gathered.lock().unwrap().figures();
    figures.insert("idle_mb", idle_mb);
    figures.insert("peak_mb", peak_mb);
    figures.insert("ended_early", ended_early);
    figures.insert("cpu_percent", cpu_s * 100.0 / watch.as_secs_f64());
    unanswered(&mut figures, f64::from(streams));
    figures
}

/// Megabytes in flight, then rest: the peak, and how long memory takes to come back to twice what
/// it was before.
pub(crate) async fn memory(
    target: &Running,
    conversation: Conversation,
    connections: usize,
    windows: [Duration; 2],
    rest_max: Duration,
) -> Figures {
    let idle_mb = Reading::of(target.pid()).rss_mb;
    let mut figures = closed(target, conversation, connections, windows).await;
    let since = Instant::now();
    let mut rss_mb = Reading::of(target.pid()).rss_mb;
    while rss_mb > idle_mb * 2.0 && since.elapsed() < rest_max {
        sleep(LOOK_EVERY).await;
        rss_mb = Reading::of(target.pid()).rss_mb;
    }
    figures.insert("idle_mb", idle_mb);
    figures.insert("rest_mb", rss_mb);
    figures.insert("rest_x_idle", rss_mb / idle_mb);
    figures.insert("rest_s", since.elapsed().as_secs_f64());
    figures
}

async fn peak_rss_mb(target: &Running, watch: Duration) -> f64 {
    let (since, mut peak_mb) = (Instant::now(), 0.0_f64);
    while since.elapsed() < watch {
        sleep(LOOK_EVERY.min(watch.saturating_sub(since.elapsed()))).await;
        peak_mb = peak_mb.max(Reading::of(target.pid()).rss_mb);
    }
    peak_mb
}

/// Waits until the target has done what it put off (an index, a flush): that work belongs to this
/// load, and must not disturb the next target. Also says how long it took.
async fn quiet(target: &Running) -> (Reading, f64) {
    let since = Instant::now();
    let (mut last, mut worked) = (Reading::of(target.pid()), Instant::now());
    loop {
        sleep(LOOK_EVERY).await;
        let now = Reading::of(target.pid());
        let share = now.cpu_s_since(&last) / LOOK_EVERY.as_secs_f64();
        if share >= QUIET_CPU_SHARE {
            worked = Instant::now();
        }
        if worked.elapsed() >= QUIET_FOR || since.elapsed() > QUIET_MAX {
            return (now, (worked - since).as_secs_f64());
        }
        last = now;
    }
}

async fn drain(tasks: &mut JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN_MAX, all).await;
}

/// What had no answer when the wait was over counts as an error.
fn unanswered(figures: &mut Figures, sent: f64) {
    let missing = sent - figures["whole"] - figures["errors"];
    *figures.entry("errors").or_default() += missing;
}
