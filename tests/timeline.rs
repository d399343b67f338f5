//! Sessions as timelines, and reports by tool, server, skill, turn and agent.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod recorded;

use recorded::agents::{SESSION, session};
use recorded::{Log, run};

#[test]
fn look() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    session(&mut log);
    println!("{}", run(&[dir.path()], &format!("sessions {SESSION}")).unwrap());
    println!("{}", run(&[dir.path()], "sessions").unwrap());
    for by in ["tool", "mcp_server", "skill", "turn", "agent", "agent_type"] {
        println!("{}", run(&[dir.path()], &format!("report --by {by}")).unwrap());
    }
    println!("{}", run(&[dir.path()], "exchanges 01a2046c-c8f8-77e2-97cd-56c1b2499964").unwrap());
}
