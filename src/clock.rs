//! The one place that reads the clock. Everything else gets time as an argument.

use std::time::{Duration, Instant, SystemTime};

use crate::record::Stamp;

/// Wall time and monotonic time of this process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
    pub fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// Both times, now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
    pub fn stamp(&self) -> Stamp {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Stamp { wall_ns: nanoseconds(wall), mono_ns: nanoseconds(self.started.elapsed()) }
    }

    /// The UTC day, now.
    #[must_use]
    pub fn today(&self) -> jiff::civil::Date {
        let moment = jiff::Timestamp::from_nanosecond(self.stamp().wall_ns.into());
        moment.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    /// Monotonic nanoseconds since the clock was started.
    #[must_use]
    pub fn mono_ns(&self) -> u64 {
        nanoseconds(self.started.elapsed())
    }
}

/// Saturating: 584 years fit.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
