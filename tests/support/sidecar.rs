//! The real binary, started as a user starts it, with nothing of the surrounding environment.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::client::{self, Request, Response};

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_weighbridge");

/// A data directory, a home and configuration that outlive the processes started on them.
#[derive(Debug)]
pub struct Site {
    root: TempDir,
    /// Where the ledger is.
    pub data: PathBuf,
    environment: Vec<(String, String)>,
}

impl Site {
    pub fn new() -> Site {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        fs::create_dir(root.path().join("home")).unwrap();
        Site { root, data, environment: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file and gives its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// An environment variable for every command from now on.
    pub fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A command with an empty environment and an empty home.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_through(&[], arguments)
    }

    fn command_through(&self, through: &[String], arguments: &[&str]) -> Command {
        let mut words = through.iter().map(String::as_str).chain([BINARY]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(arguments)
            .env_clear()
            .env("HOME", self.path("home"))
            .stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.root.path());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command on this data directory that must succeed; gives its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let mut all = arguments.to_vec();
        let data = self.data.to_str().unwrap().to_owned();
        all.extend(["--data-dir", &data]);
        let output = self.run(&all);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{all:?}: {} {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every recorded call.
    pub fn exchanges(&self) -> Vec<Value> {
        let lines = self.ok(&["exchanges", "--format", "jsonl"]);
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
    }

    /// One recorded call.
    pub fn exchange(&self, id: &str) -> Value {
        let found = self.exchanges().into_iter().find(|e| e["id"] == id);
        found.unwrap_or_else(|| panic!("exchange {id} is not recorded"))
    }

    /// A report.
    pub fn report(&self, by: &str) -> Value {
        let text = self.ok(&["report", "--by", by, "--format", "json"]);
        serde_json::from_str(&text).expect("the report is JSON")
    }

    /// Creates a virtual key; gives the key itself.
    pub fn add_key(&self, arguments: &[&str]) -> String {
        let output = self.ok(&[&["keys", "add"], arguments].concat());
        let word = output.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        let key = word.into_iter().find(|w| w.starts_with("wbk_")).expect("the key is shown");
        key.to_owned()
    }

    /// The lines of all segments, in order, as bytes without their newlines.
    pub fn ledger_lines(&self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for path in self.segments() {
            let bytes = fs::read(&path).unwrap();
            let whole = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
            lines.extend(whole.filter(|line| line[0] == b'{').map(<[u8]>::to_vec));
        }
        lines
    }

    /// The segment files, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files(&self.data, &mut found);
        found.retain(|p| p.extension().is_some_and(|e| e == "jsonl"));
        found.sort();
        found
    }
}

/// All files below a folder.
pub fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// How to start a sidecar.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub upstream: String,
    /// `weighbridge.toml`.
    pub config: String,
    pub arguments: Vec<String>,
    /// A program, with its arguments, that sets something and becomes the sidecar: `prlimit`, …
    pub through: Vec<String>,
}

impl Options {
    pub fn to(upstream: &str) -> Options {
        Options { upstream: upstream.to_owned(), ..Options::default() }
    }

    pub fn config(mut self, text: &str) -> Options {
        self.config.push_str(text);
        self
    }

    pub fn through(mut self, words: &[&str]) -> Options {
        self.through = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }
}

/// A running `weighbridge serve`. Dropping it kills it.
#[derive(Debug)]
pub struct Sidecar {
    child: Child,
    /// The content of the ready file.
    pub ready: Value,
    pub ready_file: PathBuf,
    /// Where calls go.
    pub address: SocketAddr,
    log: PathBuf,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the sidecar said:\n{}", self.said());
        }
    }
}

/// The longest start that is not a hang; how long it really takes is asserted where it matters.
const START_MAX: Duration = Duration::from_secs(30);

impl Sidecar {
    /// Starts on the site; panics with what it said where it does not get ready.
    pub fn start(site: &Site, options: &Options) -> Sidecar {
        Sidecar::try_start(site, options)
            .unwrap_or_else(|(status, said)| panic!("it ended with {status}: {said}"))
    }

    /// Starts on the site; where it ends before it is ready: its status and what it said.
    pub fn try_start(site: &Site, options: &Options) -> Result<Sidecar, (ExitStatus, String)> {
        let config = site.file("weighbridge.toml", &options.config);
        let ready_file = site.path("ready.json");
        let _ = fs::remove_file(&ready_file);
        let log = site.path("said.txt");
        let output = fs::File::options().create(true).append(true).open(&log).unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        let mut command = site.command_through(&options.through, &serve);
        command.args(["--admin", "127.0.0.1:0", "--telemetry", "127.0.0.1:0"]);
        command.args(["--upstream", &options.upstream]);
        command.arg("--config").arg(config).arg("--data-dir").arg(&site.data);
        command.arg("--ready-file").arg(&ready_file).args(&options.arguments);
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let mut child = command.spawn().unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return Err((status, fs::read_to_string(&log).unwrap_or_default()));
            }
            let ready = fs::read(&ready_file).ok().filter(|bytes| !bytes.is_empty());
            if let Some(ready) = ready.and_then(|b| serde_json::from_slice::<Value>(&b).ok()) {
                let address = socket(&ready["listen"]);
                return Ok(Sidecar { child, ready, ready_file, address, log });
            }
            if start.elapsed() > START_MAX {
                let _ = child.kill();
                panic!("not ready: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The base URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < START_MAX, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, and waits; it must end with 0.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.said());
    }

    /// The same; gives what it said until its end.
    pub fn stop_and_say(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.said());
        self.said()
    }

    /// One call through it.
    pub async fn call(&self, request: &Request) -> Response {
        client::call(self.address, request).await
    }

    /// Something from the telemetry listener.
    pub async fn telemetry(&self, path: &str) -> Response {
        let address = socket(&self.ready["telemetry"]);
        client::call(address, &Request::new("GET", path)).await
    }

    /// All samples of `/metrics`: `name{labels}` with its value as text.
    pub async fn metrics(&self) -> Metrics {
        let response = self.telemetry("/metrics").await;
        assert_eq!(response.status, 200);
        let text = String::from_utf8(response.body).unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Metrics(
            samples
                .filter_map(|line| line.rsplit_once(' '))
                .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
                .collect(),
        )
    }
}

/// The samples of one scrape.
#[derive(Debug)]
pub struct Metrics(pub BTreeMap<String, f64>);

impl Metrics {
    /// The sum of a family's samples whose labels contain all of `labels` (`name="value"`).
    pub fn sum(&self, family: &str, labels: &[&str]) -> f64 {
        let matches = |name: &str| {
            name.split('{').next() == Some(family) && labels.iter().all(|l| name.contains(l))
        };
        self.0.iter().filter(|(name, _)| matches(name)).map(|(_, value)| value).sum()
    }
}

fn socket(url: &Value) -> SocketAddr {
    let text = url.as_str().unwrap_or_else(|| panic!("not a URL: {url}"));
    let host = text.split("://").last().unwrap_or(text).trim_end_matches('/');
    host.parse().unwrap_or_else(|_| panic!("not an address: {text}"))
}
