//! The one place that reads the clock. Everything else gets time as an argument.

use std::time::{Duration, Instant, SystemTime};

use crate::record::Stamp;
use crate::record::entry::ClockJump;

/// The wall clock has jumped where it is this far from where the monotonic clock would have it.
/// Slewing, as time servers do it, stays far below that from look to look.
pub const CLOCK_JUMP_MIN: Duration = Duration::from_secs(2);

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

/// Compares the wall clock with the monotonic one, from look to look.
#[derive(Clone, Copy, Debug)]
pub struct JumpWatch {
    last: Stamp,
}

impl JumpWatch {
    /// Compares with what was true at `start`.
    #[must_use]
    pub const fn new(start: Stamp) -> JumpWatch {
        JumpWatch { last: start }
    }

    /// What the wall clock has jumped since the last look. Each jump is given once.
    pub fn look(&mut self, now: Stamp) -> Option<ClockJump> {
        let passed = now.mono_ns.saturating_sub(self.last.mono_ns);
        let from = self.last.wall_ns.saturating_add(passed);
        self.last = now;
        if now.wall_ns.abs_diff(from) < nanoseconds(CLOCK_JUMP_MIN) {
            return None;
        }
        let ms = (i128::from(now.wall_ns) - i128::from(from)) / NS_PER_MS;
        Some(ClockJump { from, ms: i64::try_from(ms).unwrap_or_default(), to: now.wall_ns })
    }
}

const NS_PER_MS: i128 = 1_000_000;

/// Saturating: 584 years fit.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn at(wall_s: u64, mono_s: u64) -> Stamp {
        Stamp { wall_ns: wall_s * S, mono_ns: mono_s * S }
    }

    #[test]
    fn a_jump_is_given_once_with_its_size() {
        let mut watch = JumpWatch::new(at(10_000, 0));
        assert_eq!(watch.look(at(10_001, 1)), None);
        let back = ClockJump { from: 10_002 * S, ms: -3_600_000, to: 6_402 * S };
        assert_eq!(watch.look(at(6_402, 2)), Some(back));
        assert_eq!(watch.look(at(6_403, 3)), None);
        let day = ClockJump { from: 6_404 * S, ms: 86_400_000, to: 92_804 * S };
        assert_eq!(watch.look(at(92_804, 4)), Some(day));
    }

    #[test]
    fn a_late_look_and_slewing_are_no_jumps() {
        let mut watch = JumpWatch::new(at(10_000, 0));
        assert_eq!(watch.look(at(17_200, 7_200)), None, "stopped for two hours");
        for n in 1..100 {
            assert_eq!(watch.look(at(17_200 + 2 * n, 7_200 + n)), None, "a second a second");
        }
        assert_eq!(watch.look(at(17_400, 7_299)).map(|jump| jump.ms), Some(2_000));
        assert_eq!(watch.look(at(0, 7_300)).map(|jump| jump.ms), Some(-17_401_000));
    }
}
