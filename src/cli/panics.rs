//! What a panic tells: where, and nothing else.

use std::io::{self, Write as _};

/// A panic's message may hold what was worked on, a prompt among them: `byte index 4 is not a char
/// boundary; it is inside …` quotes the text. From here on the thread and the place in the source
/// are written to standard error, never the message, and no trace.
pub(super) fn tell_the_place_only() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
        let _ = writeln!(io::stderr(), "weighbridge: thread {thread} panicked{place}");
    }));
}
