//! What the sidecar says on standard error: lines with stable names, without content or secrets,
//! and not too many of them. How much is said can be changed while it runs.
//!
//! There is one log in a process, so what [`start`] makes is found again by everybody ([`control`],
//! [`identify`], [`suppressed`]).

mod control;
mod filter;
mod limit;
mod line;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

use limit::{Limiter, Verdict};
use line::{Facts, Frame, Said, level_name};

pub use control::{Control, InForce, LevelError, Wanted, in_force, leave};
pub use limit::{INTERVAL_NS, LINES_MAX, PLACES_MAX};

use crate::clock::Clock;
use crate::config::{LogConfig, LogFormat, LogLevel};

/// The target of events that carry a record which is nowhere else: they are never left out.
pub const LOST: &str = "weighbridge::lost";

/// The target of the lines about tools: one for each call and each result, none left out.
pub const TOOLS: &str = "weighbridge::tools";

static CONTROL: OnceLock<Control> = OnceLock::new();
/// Lines left out, by level: error, warn, info, debug, trace.
static LEFT_OUT: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

/// Begins to log to standard error. `asked` is what `RUST_LOG` says: it takes the place of the
/// configured level. `may_colour`: a terminal may be painted on.
pub fn start(config: &LogConfig, asked: Option<&str>, may_colour: bool) {
    let is_terminal = io::stderr().is_terminal();
    let is_json = match config.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let directives = asked.map(|asked| (asked, EnvFilter::try_new(asked)));
    let asked = match &directives {
        Some((asked, Ok(_))) => Some((*asked).to_owned()),
        _ => None,
    };
    let (gate, handle) = reload::Layer::new(control::gate(config.level, asked.as_deref()));
    let lines = Arc::new(Lines {
        clock: Clock::start(),
        is_json,
        is_coloured: is_terminal && may_colour,
        identity: OnceLock::new(),
        limiter: Mutex::new(Limiter::new()),
    });
    let layer = LinesLayer(Arc::clone(&lines)).with_filter(gate);
    if tracing_subscriber::registry().with(layer).try_init().is_ok() {
        let _ = CONTROL.set(Control::new(config.level, asked, handle, lines));
    }
    if let Some((asked, Err(error))) = directives {
        tracing::warn!(asked, %error, "RUST_LOG is not understood; log.level holds");
    }
}

/// What changes the log while it runs; `None` before [`start`].
#[must_use]
pub fn control() -> Option<&'static Control> {
    CONTROL.get()
}

/// Names the instance and this process in all lines from now on.
pub fn identify(instance: &str, boot: &str) {
    if let Some(control) = CONTROL.get() {
        let _ = control.lines.identity.set((instance.to_owned(), boot.to_owned()));
    }
}

/// Lines left out by the rate limit since the start, by the name of their level.
#[must_use]
pub fn suppressed() -> [(&'static str, u64); 5] {
    let mut counts = LogLevel::ALL.map(|level| (level.name(), 0));
    for ((_, count), left_out) in counts.iter_mut().zip(&LEFT_OUT) {
        *count = left_out.load(Ordering::Relaxed);
    }
    counts
}

/// Writes lines.
pub(crate) struct Lines {
    clock: Clock,
    is_json: bool,
    is_coloured: bool,
    /// Instance and boot.
    identity: OnceLock<(String, String)>,
    limiter: Mutex<Limiter<Identifier>>,
}

impl Lines {
    fn limiter(&self) -> std::sync::MutexGuard<'_, Limiter<Identifier>> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        match self.verdict(metadata) {
            Verdict::LeaveOut => {
                if let Some(count) = LEFT_OUT.get(place(*metadata.level())) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
            Verdict::Write(0) => {}
            Verdict::Write(left_out) => self.tell(Some(metadata), left_out),
        }
        self.write(*metadata.level(), metadata.target(), &Facts::of(event));
    }

    fn verdict(&self, metadata: &Metadata<'_>) -> Verdict {
        if [LOST, TOOLS].contains(&metadata.target()) {
            return Verdict::Write(0);
        }
        self.limiter().line(&metadata.callsite(), self.clock.mono_ns())
    }

    /// Says how many lines of a place were left out.
    fn tell(&self, metadata: Option<&Metadata<'_>>, left_out: u64) {
        let mut facts = Facts::saying("lines like others before were left out");
        facts.fields.push(("left_out".to_owned(), Said::Number(left_out.into())));
        if let Some(metadata) = metadata {
            let line = metadata.line().unwrap_or_default();
            let place = format!("{}:{line}", metadata.file().unwrap_or_default());
            facts.fields.push(("place".to_owned(), Said::Name(place)));
        }
        let level = metadata.map_or(Level::WARN, |metadata| *metadata.level());
        let target = metadata.map_or(module_path!(), |metadata| metadata.target());
        self.write(level, target, &facts);
    }

    /// Says so of places that have been silent since.
    fn tell_all(&self) {
        let over = self.limiter().over(self.clock.mono_ns());
        for (place, left_out) in over {
            self.tell(place.map(|place| place.0.metadata()), left_out);
        }
    }

    fn write(&self, level: Level, target: &str, facts: &Facts) {
        let wall_ns = self.clock.stamp().wall_ns;
        let frame = Frame { wall_ns, level, target, identity: self.identity.get() };
        let line = match self.is_json {
            true => line::json(&frame, facts),
            false => line::text(&frame, facts, self.is_coloured),
        };
        // Whoever closed standard error does not want to know.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Where a level's count stands.
fn place(level: Level) -> usize {
    let name = level_name(level);
    LogLevel::ALL.iter().position(|known| known.name() == name).unwrap_or_default()
}

struct LinesLayer(Arc<Lines>);

impl<S: Subscriber> Layer<S> for LinesLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        self.0.event(event);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// Counts what would be written: of a plain place, and of the one for lost records.
    #[derive(Default)]
    struct Counts {
        plain: AtomicU32,
        lost: AtomicU32,
    }

    struct Probe(Lines, Arc<Counts>);

    impl<S: Subscriber> Layer<S> for Probe {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            if self.0.verdict(event.metadata()) != Verdict::LeaveOut {
                let is_lost = event.metadata().target() == LOST;
                let count = if is_lost { &self.1.lost } else { &self.1.plain };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn a_lost_record_is_never_left_out() {
        let counts = Arc::new(Counts::default());
        let lines = Lines {
            clock: Clock::start(),
            is_json: true,
            is_coloured: false,
            identity: OnceLock::new(),
            limiter: Mutex::new(Limiter::new()),
        };
        let log = tracing_subscriber::registry().with(Probe(lines, Arc::clone(&counts)));
        tracing::subscriber::with_default(log, || {
            for n in 0..10 * LINES_MAX {
                tracing::error!(n, "plain");
                tracing::error!(target: LOST, n, "lost");
            }
        });
        assert_eq!(counts.lost.load(Ordering::Relaxed), 10 * LINES_MAX);
        assert_eq!(counts.plain.load(Ordering::Relaxed), LINES_MAX);
    }
}
