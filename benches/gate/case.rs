//! The cases: which load each puts on a target.

use std::time::Duration;

use crate::{
    load::{self, Figures},
    measure,
    request::{Answer, Conversation},
    target::Running,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// The only message of a short call is most of it, and new.
const FRESH_SHORT: usize = 1560;
/// The new message of a long conversation.
const FRESH_LONG: usize = 4 * KIB;
/// How long memory may take to come back after a load.
const REST_MAX: Duration = Duration::from_secs(60);
/// A freshly started program is left alone so long before its idle memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// One case of the run.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What it shows, for the page.
    pub(crate) about: &'static str,
    /// Whether it looks at memory and so needs a program without a past.
    pub(crate) fresh_start: bool,
    load: Load,
}

enum Load {
    Closed { bytes: usize, fresh: usize, answer: Answer, connections: usize, ms: [u64; 2] },
    Open { answer: Answer, rate: u32, count: u32 },
    Hold { streams: u32, answer: Answer, watch_ms: u64 },
    Memory { connections: usize, ms: [u64; 2] },
}

/// All cases, in the order in which they run.
pub(crate) fn all(quick: bool) -> Vec<Case> {
    let ms = |full: [u64; 2]| if quick { [300, 700] } else { full };
    let count = |full: u32| if quick { full / 3 } else { full };
    let burst = Answer::Events { events: 200, gap_us: 0 };
    let paced = Answer::Events { events: 200, gap_us: 5000 };
    let held = Answer::Events { events: 30, gap_us: 250_000 };
    let closed = |bytes, fresh, answer, connections, full| Load::Closed {
        bytes,
        fresh,
        answer,
        connections,
        ms: ms(full),
    };
    let case = |name, about, load| Case {
        name,
        about,
        fresh_start: matches!(load, Load::Hold { .. } | Load::Memory { .. }),
        load,
    };
    let message = Answer::Message;
    vec![
        case(
            "hold",
            "1,000 open streams, an event each every 250 ms; memory",
            Load::Hold { streams: 1000, answer: held, watch_ms: 3000 },
        ),
        case(
            "mem1m",
            "8 requests of 1 MB in flight at all times, then rest; memory",
            Load::Memory { connections: 8, ms: ms([500, 3000]) },
        ),
        case(
            "sat2k",
            "2 KB requests, JSON answers, 32 connections, as fast as they are answered",
            closed(2 * KIB, FRESH_SHORT, message, 32, [700, 2500]),
        ),
        case(
            "sat100k",
            "the same with 100 KB, of which 4 KB are new in each",
            closed(100 * KIB, FRESH_LONG, message, 32, [500, 2000]),
        ),
        case(
            "sat1m",
            "the same with 1 MB, of which 4 KB are new in each, 8 connections",
            closed(MIB, FRESH_LONG, message, 8, [500, 2000]),
        ),
        case(
            "open2k",
            "2 KB requests, 100 a second; latency from the moment a request was due",
            Load::Open { answer: message, rate: 100, count: count(300) },
        ),
        case(
            "sse",
            "streams of 200 events about 5 ms apart, 8 new streams a second",
            Load::Open { answer: paced, rate: 8, count: count(24) },
        ),
        case(
            "ssesat",
            "streams of 200 events without a pause, 16 at a time",
            closed(2 * KIB, FRESH_SHORT, burst, 16, [500, 2000]),
        ),
    ]
}

/// The names of all cases, for a message.
pub(crate) fn names() -> String {
    all(true).iter().map(|case| case.name).collect::<Vec<_>>().join(", ")
}

impl Case {
    /// Puts the load on the target.
    pub(crate) async fn run(&self, target: &Running) -> Figures {
        if self.fresh_start {
            tokio::time::sleep(SETTLE).await;
        }
        let windows = |ms: [u64; 2]| ms.map(Duration::from_millis);
        let short = |answer| Conversation::new(2 * KIB, FRESH_SHORT, answer);
        let mut figures = match self.load {
            Load::Closed { bytes, fresh, answer, connections, ms } => {
                let conversation = Conversation::new(bytes, fresh, answer);
                load::closed(target, conversation, connections, windows(ms)).await
            }
            Load::Open { answer, rate, count } => {
                load::open(target, short(answer), rate, count).await
            }
            Load::Hold { streams, answer, watch_ms } => {
                load::hold(target, short(answer), streams, Duration::from_millis(watch_ms)).await
            }
            Load::Memory { connections, ms } => {
                let conversation = Conversation::new(MIB, FRESH_LONG, Answer::Message);
                load::memory(target, conversation, connections, windows(ms), REST_MAX).await
            }
        };
        if let Some(load1) = measure::load_average() {
            figures.insert("load1", load1);
        }
        figures
    }
}
