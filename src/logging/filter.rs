//! Which events are written. Ours by level; those of other crates from `warn` up, whatever is asked
//! for: their lower levels can hold heads and bodies of calls.

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Filter};

use crate::config::LogLevel;

/// What events of ours begin their target with.
const OWN: &str = "weighbridge";

/// What is asked for.
pub(super) enum Gate {
    /// One level for everything.
    Level(LevelFilter),
    /// Directives, as `RUST_LOG` has them.
    Asked(Box<EnvFilter>),
}

impl Gate {
    pub(super) fn level(level: LogLevel) -> Gate {
        Gate::Level(match level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        })
    }
}

/// Whether an event may ever be written.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata
        .target()
        .strip_prefix(OWN)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_ours || *metadata.level() <= Level::WARN
}

impl<S: Subscriber> Filter<S> for Gate {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        is_harmless(metadata)
            && match self {
                Gate::Level(level) => metadata.level() <= level,
                Gate::Asked(directives) => Filter::enabled(&**directives, metadata, context),
            }
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self {
            _ if !is_harmless(metadata) => Interest::never(),
            Gate::Level(level) if metadata.level() <= level => Interest::always(),
            Gate::Level(_) => Interest::never(),
            Gate::Asked(directives) => Filter::<S>::callsite_enabled(&**directives, metadata),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        match self {
            Gate::Level(level) => Some(*level),
            Gate::Asked(directives) => Filter::<S>::max_level_hint(&**directives),
        }
    }
}
