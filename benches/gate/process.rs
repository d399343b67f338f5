//! Programs of a run: how each is pinned to its CPU, found ready, and ended. Shared by the benches
//! that run the whole program.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde_json::Value;
use tempfile::TempDir;

use crate::{CPU_LOAD, CPU_TARGET, OUT_DIR};

/// How long a program may take until it is ready, and until it has ended.
const WAIT_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Open files a run needs at most: 1,000 streams have two ends in a proxy, and 3 proxies may run.
const OPEN_FILES: u64 = 16_384;

/// A program that was started and is ready; it is ended when this goes out of scope.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
    directory: TempDir,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in order; gives the directory with what it wrote, which goes with this.
    pub(crate) fn end(&mut self) -> &Path {
        end(&mut self.child);
        self.directory.path()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks first, so that a program with children or a ledger can end in order.
fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let since = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if since.elapsed() > WAIT_MAX {
            let _ = child.kill();
        }
        sleep(LOOK_EVERY);
    }
}

/// Enough file descriptors, and the orchestrator (and what it starts, unless pinned elsewhere) on
/// its own CPU.
pub(crate) fn prepare_machine() {
    let cpus = std::thread::available_parallelism().unwrap().get();
    assert!(cpus >= 2, "the run needs 2 CPUs: one for the load, one for the program under test");
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    let current = Some(limit.current.map_or(wanted, |now| now.max(wanted)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum }).unwrap();
    let me = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-a", "-c", "-p", CPU_LOAD, &me]).output();
    assert!(pinned.unwrap().status.success(), "taskset (util-linux) could not pin this program");
}

/// An empty directory for a program.
pub(crate) fn directory() -> Result<TempDir, String> {
    let path = fs::canonicalize(OUT_DIR).map_err(|error| error.to_string())?;
    tempfile::tempdir_in(path).map_err(|error| error.to_string())
}

/// A command on one CPU, with an empty environment.
pub(crate) fn pinned(cpu: &str, program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program).args(words).env_clear().stdin(Stdio::null());
    command
}

/// This program in another role, which says on its first line where it listens.
pub(crate) fn role(cpu: &str, words: &[&str]) -> Result<Process, String> {
    let directory = directory()?;
    let myself = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = pinned(cpu, &myself, words);
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("taskset: {error}"))?;
    let mut line = String::new();
    let read = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
    let Ok(address) = line.trim().parse() else {
        end(&mut child);
        return Err(format!("said {line:?} in place of its address ({read:?})"));
    };
    Ok(Process { address, child, directory })
}

/// The program under test.
pub(crate) fn binary() -> Result<PathBuf, String> {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_weighbridge"));
    let program = env::var_os("WEIGHBRIDGE_BIN").map_or_else(built, PathBuf::from);
    let is_there = program.is_file();
    let missing = "the binary is missing (cargo build --release, or set WEIGHBRIDGE_BIN)";
    is_there.then_some(program).ok_or_else(|| missing.to_owned())
}

/// The program as it is shipped, with everything on and no configuration but `variables`; also
/// what it says of itself when it is ready.
pub(crate) fn weighbridge(
    upstream: &str,
    variables: &[(&str, &str)],
) -> Result<(Process, Value), String> {
    let (program, directory) = (binary()?, directory()?);
    let ready_file = directory.path().join("ready.json");
    let words =
        ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", upstream];
    let mut command = pinned(CPU_TARGET, &program, &words);
    command.arg("--data-dir").arg(directory.path().join("data"));
    command.arg("--ready-file").arg(&ready_file).envs(variables.iter().copied());
    let log = fs::File::create(directory.path().join("log")).map_err(|error| error.to_string())?;
    let errors = log.try_clone().map_err(|error| error.to_string())?;
    let spawned = command.stdout(log).stderr(errors).spawn();
    let child = spawned.map_err(|error| format!("taskset: {error}"))?;
    let facts = || {
        let text = fs::read_to_string(&ready_file).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    };
    let listening = || address(&facts()?, "listen");
    let process = ready(child, listening, directory)?;
    let facts = facts().ok_or("its ready file is gone")?;
    Ok((process, facts))
}

/// An address that the program says it answers at.
pub(crate) fn address(facts: &Value, listener: &str) -> Option<SocketAddr> {
    facts.get(listener)?.as_str()?.strip_prefix("http://")?.parse().ok()
}

/// Waits until a program answers.
pub(crate) fn ready(
    mut child: Child,
    listening: impl Fn() -> Option<SocketAddr>,
    directory: TempDir,
) -> Result<Process, String> {
    let since = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended before it was ready ({status})"));
        }
        if let Some(address) = listening() {
            return Ok(Process { address, child, directory });
        }
        if since.elapsed() > WAIT_MAX {
            end(&mut child);
            return Err(format!("it was not ready after {} s", WAIT_MAX.as_secs()));
        }
        sleep(LOOK_EVERY);
    }
}
