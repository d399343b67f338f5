//! What the black-box tests share: a scripted API, a raw client and the real binary.
//!
//! Nothing here uses the library: the tests see what a user sees, bytes on sockets and the output
//! of commands. [`api::Fake`] plays the Claude API, [`client::Raw`] a client whose every byte is
//! under control, [`sidecar::Sidecar`] is the program itself.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared by several test files")]
#![expect(clippy::disallowed_methods, reason = "tests run outside the process's own lifecycle")]

pub mod api;
pub mod batch;
pub mod client;
pub mod collector;
pub mod converse;
pub mod encoding;
pub mod eventstream;
pub mod h2;
pub mod hooks;
pub mod load;
pub mod message;
pub mod script;
pub mod sidecar;
pub mod stream;
pub mod wire;

use std::time::{Duration, Instant};

/// The deadline for everything that must happen "at once". Generous: it decides no test by itself.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks again until the answer is there; panics with `what` after [`SOON`].
pub async fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
