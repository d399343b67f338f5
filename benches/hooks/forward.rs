//! What the command forwarder takes from its start to its exit, beside a program that does nothing.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::Value;

use crate::{
    event::{Session, Templates},
    process,
};

/// The round of the forwarder's session; the load's rounds are below.
const ROUND: u32 = 0xf0;

/// Durations of all runs, and how many said that something went wrong.
#[derive(Default)]
pub(crate) struct Forwards {
    pub(crate) ours_us: Vec<f64>,
    pub(crate) nothing_us: Vec<f64>,
    pub(crate) failed: u64,
}

pub(crate) fn run(facts: &Value, templates: &Templates, runs: u32) -> Forwards {
    let program = process::binary().unwrap();
    let url = format!("{}/hooks", facts["admin"].as_str().unwrap());
    let mut session = Session::new(ROUND, 0);
    let mut forwards = Forwards::default();
    for _ in 0..runs {
        let event = session.next_event(templates);
        forwards.nothing_us.push(timed(&mut Command::new("/bin/true"), &event).0);
        let mut command = Command::new(&program);
        command.args(["hook", "--url", &url]).env_clear();
        command.env("WEIGHBRIDGE_HOOK_TOKEN", facts["hook_token"].as_str().unwrap());
        let (took_us, complaint) = timed(&mut command, &event);
        forwards.ours_us.push(took_us);
        if !complaint.is_empty() {
            eprintln!("  {}", complaint.trim_end());
            forwards.failed += 1;
        }
    }
    forwards
}

/// From before its start until it is gone, and what it complained of.
fn timed(command: &mut Command, event: &[u8]) -> (f64, String) {
    let since = Instant::now();
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A program that does not read may be gone already.
    let _ = child.stdin.take().unwrap().write_all(event);
    let output = child.wait_with_output().unwrap();
    let took_us = since.elapsed().as_secs_f64() * 1e6;
    (took_us, String::from_utf8_lossy(&output.stderr).into_owned())
}
