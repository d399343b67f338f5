//! The programs of a run: how each is started, pinned to its CPU, found ready, and ended.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{CPU_LOAD, CPU_TARGET, OUT_DIR};

/// How long a program may take until it is ready, and until it has ended.
const WAIT_MAX: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Which program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Upstream,
    Passthrough,
    Nginx,
    Weighbridge,
    /// The same with traces, metrics and logs exported to a collector.
    Exporting,
    /// The pass-through once more: what a figure is worth shows in how far it is from itself.
    Control,
}

impl Kind {
    pub(crate) const UNDER_TEST: [Self; 5] =
        [Self::Passthrough, Self::Nginx, Self::Weighbridge, Self::Exporting, Self::Control];

    /// Whether the case says something about it: what the export costs shows in short calls.
    pub(crate) fn visits(self, case: &str) -> bool {
        self != Self::Exporting || case == "sat2k"
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Passthrough => "passthrough",
            Self::Nginx => "nginx",
            Self::Weighbridge => "weighbridge",
            Self::Exporting => "exporting",
            Self::Control => "control",
        }
    }
}

/// A program that was started and is ready; it is ended when this goes out of scope.
pub(crate) struct Running {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    /// Asks first, so that a program with children or a ledger can end in order.
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
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

/// Starts a program in front of `upstream`, with an empty environment and a directory of its own,
/// and waits until it is ready; or says why it cannot be had.
pub(crate) fn start(kind: Kind, upstream: Option<SocketAddr>) -> Result<Running, String> {
    let path = fs::canonicalize(OUT_DIR).map_err(|error| error.to_string())?;
    let directory = tempfile::tempdir_in(path).map_err(|error| error.to_string())?;
    let myself = env::current_exe().map_err(|error| error.to_string())?;
    let upstream = upstream.map(|address| address.to_string()).unwrap_or_default();
    match kind {
        Kind::Upstream => first_line(kind, pinned(CPU_LOAD, &myself, &["upstream"]), directory),
        Kind::Passthrough | Kind::Control => {
            let command = pinned(CPU_TARGET, &myself, &["passthrough", &upstream]);
            first_line(kind, command, directory)
        }
        Kind::Nginx => nginx(&upstream, directory),
        Kind::Weighbridge | Kind::Exporting => weighbridge(kind, &upstream, directory),
    }
}

fn pinned(cpu: &str, program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpu]).arg(program).args(words).env_clear().stdin(Stdio::null());
    command
}

/// Our own roles say on their first line where they listen.
fn first_line(kind: Kind, mut command: Command, directory: TempDir) -> Result<Running, String> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("taskset: {error}"))?;
    let mut line = String::new();
    let read = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
    let Ok(address) = line.trim().parse() else {
        end(&mut child);
        return Err(format!("said {line:?} in place of its address ({read:?})"));
    };
    Ok(Running { kind, address, child, _directory: directory })
}

/// One worker, nothing logged, nothing buffered, connections kept on both sides.
fn nginx(upstream: &str, directory: TempDir) -> Result<Running, String> {
    let program = in_path("nginx").ok_or("nginx is not installed (Debian: nginx-light)")?;
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(|error| error.to_string())?;
    let configuration = format!(
        "daemon off; worker_processes 1; pid nginx.pid; error_log error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000;
  client_max_body_size 64m; client_body_buffer_size 2m;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream api {{ server {upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen {address} backlog=4096;
    location / {{
      proxy_pass http://api; proxy_http_version 1.1; proxy_set_header Connection \"\";
      proxy_buffering off; proxy_request_buffering off;
    }}
  }}
}}
"
    );
    let file = directory.path().join("nginx.conf");
    fs::write(&file, configuration).map_err(|error| error.to_string())?;
    let mut command = pinned(CPU_TARGET, &program, &["-e", "stderr", "-p"]);
    command.arg(directory.path()).arg("-c").arg(&file).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| format!("taskset: {error}"))?;
    ready(child, || TcpStream::connect(address).ok().map(|_| address), Kind::Nginx, directory)
}

/// The program as it is shipped, with everything on and no configuration.
fn weighbridge(kind: Kind, upstream: &str, directory: TempDir) -> Result<Running, String> {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_weighbridge"));
    let program = env::var_os("WEIGHBRIDGE_BIN").map_or_else(built, PathBuf::from);
    if !program.is_file() {
        return Err("the binary is missing (cargo build --release, or set WEIGHBRIDGE_BIN)".into());
    }
    let ready_file = directory.path().join("ready.json");
    let url = format!("http://{upstream}");
    let words = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", &url];
    let mut command = pinned(CPU_TARGET, &program, &words);
    command.arg("--data-dir").arg(directory.path().join("data"));
    command.arg("--ready-file").arg(&ready_file);
    if kind == Kind::Exporting {
        // The made-up API answers 200 to whatever is posted, which is all a collector has to do.
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    }
    let log = fs::File::create(directory.path().join("log")).map_err(|error| error.to_string())?;
    let errors = log.try_clone().map_err(|error| error.to_string())?;
    let spawned = command.stdout(log).stderr(errors).spawn();
    let child = spawned.map_err(|error| format!("taskset: {error}"))?;
    let listening = || {
        let text = fs::read_to_string(&ready_file).ok()?;
        let facts: serde_json::Value = serde_json::from_str(&text).ok()?;
        facts.get("listen")?.as_str()?.strip_prefix("http://")?.parse().ok()
    };
    ready(child, listening, kind, directory)
}

fn ready(
    mut child: Child,
    listening: impl Fn() -> Option<SocketAddr>,
    kind: Kind,
    directory: TempDir,
) -> Result<Running, String> {
    let since = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended before it was ready ({status})"));
        }
        if let Some(address) = listening() {
            return Ok(Running { kind, address, child, _directory: directory });
        }
        if since.elapsed() > WAIT_MAX {
            end(&mut child);
            return Err(format!("it was not ready after {} s", WAIT_MAX.as_secs()));
        }
        sleep(LOOK_EVERY);
    }
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
