//! `weighbridge demo`: what the product is, in a few seconds, without a key and without a network.
//!
//! A simulated API and simulated teams stand around a real sidecar: the calls are real HTTP, the
//! ledger is a real ledger, the reports are the commands that anybody can type. The API keeps its
//! own bill, and the demo fails where the ledger does not say the same to the last digit.

mod answer;
mod api;
mod bill;
mod ink;
mod prompt;
mod recorded;
mod script;
mod story;
mod traffic;
mod verdict;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, DirBuilder};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::api::Api;
use self::ink::Ink;
use self::script::Script;
use self::story::{Happened, Story};
use self::traffic::Road;
use super::keys::{new_key, now};
use super::serve::Signals;
use super::{CliError, failed, runtime};
use crate::accounting::attribution::CostCentre;
use crate::app::{self, App, random_hex};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::keys;

/// The whole traffic is over by then, or something is wrong.
const TRAFFIC_DEADLINE: Duration = Duration::from_secs(60);
/// How often the line that shows progress changes.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(80);
/// Nothing of the simulated API is left after this.
const API_STOP_DEADLINE: Duration = Duration::from_secs(2);
/// Where the organisation's key is, in the data directory, until the sidecar has read it.
const KEY_FILE: &str = "demo.key";

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weighbridge demo --data-dir ./demo\n  \
                        weighbridge exchanges --data-dir ./demo")]
pub struct DemoArgs {
    /// Keep the data in this new directory, to ask it more [default: a temporary one, removed]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// The data directory; a temporary one goes when this goes.
struct DataDir {
    path: PathBuf,
    kept: bool,
}

impl DataDir {
    fn make(kept: Option<&PathBuf>) -> Result<DataDir, CliError> {
        let path = match kept {
            Some(dir) => dir.clone(),
            None => std::env::temp_dir().join(format!("weighbridge-demo-{}", random_hex(8))),
        };
        let shown = path.display().to_string();
        // What is counted must be this demo's alone.
        if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(CliError::Usage(format!(
                "--data-dir {shown} is not empty; name a new directory"
            )));
        }
        let made = DirBuilder::new().recursive(kept.is_some()).mode(0o700).create(&path);
        made.map_err(|error| CliError::Failed(format!("{shown} cannot be made: {error}")))?;
        Ok(DataDir { path, kept: kept.is_some() })
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl DemoArgs {
    pub(super) fn run(&self, output: &mut dyn Write, terminal: bool) -> Result<(), CliError> {
        let ink = Ink(terminal);
        let dir = DataDir::make(self.data_dir.as_ref())?;
        CliError::written(output.write_all(story::welcome(ink).as_bytes()))?;
        CliError::written(output.flush())?;
        let happened = runtime()?.block_on(play(&dir.path)).map_err(|error| failed(&error))?;
        let kept = dir.kept.then_some(dir.path.as_path());
        let story = Story { happened, dir: &dir.path, kept, ink };
        story.tell(output)
    }
}

/// Starts everything, plays the script, stops everything.
async fn play(dir: &Path) -> Result<Happened> {
    let mut signals = Signals::listen()?;
    let key = format!("simulated-{}", random_hex(16));
    let api = Arc::new(Api::new(key.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for a simulated API")?;
    let upstream = format!("http://{}", listener.local_addr()?);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(api::serve(Arc::clone(&api), listener, tasks.clone(), stop.clone()));

    let keys = make_keys(dir)?;
    let app = start(dir, &upstream, &key).await?;
    let (session, agent) = (Uuid::now_v7().to_string(), random_hex(4));
    let address = app.ready.api.clone();
    let clock = Clock::start();
    let played = {
        let road = Road::new(&address);
        let script = Script { road: &road, keys: &keys, session: &session, agent: &agent };
        let playing = tokio::time::timeout(TRAFFIC_DEADLINE, script.play());
        tokio::select! {
            played = playing => played.unwrap_or_else(|_| Err(anyhow!("the traffic stood still"))),
            never = show_progress(&road, &api) => match never {},
            () = signals.stop() => Err(anyhow!("stopped; start it again at any time")),
        }
    };
    let took = Duration::from_nanos(clock.mono_ns());
    clear_progress();
    let stopped = app.stop(signals.stop()).await;
    stop.cancel();
    tasks.close();
    let _ = tokio::time::timeout(API_STOP_DEADLINE, tasks.wait()).await;
    played?;
    stopped?;
    let bill = api.bill();
    let (charges, charged) = (bill.charges(), bill.total());
    Ok(Happened { address, took, session, charges, charged })
}

/// A virtual key for each team, as `weighbridge keys add` makes them.
fn make_keys(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut secrets = BTreeMap::new();
    let mut stored_keys = Vec::new();
    for (team, project) in script::TEAMS {
        let centre =
            CostCentre { team: team.to_owned(), user: None, project: Some(project.to_owned()) };
        let (secret, stored) = new_key(centre, now());
        secrets.insert(team.to_owned(), secret);
        stored_keys.push(stored);
    }
    keys::edit(dir, |file| file.keys.extend(stored_keys))?;
    Ok(secrets)
}

/// Starts the sidecar on free ports, configured as a file would.
async fn start(dir: &Path, upstream: &str, key: &str) -> Result<App> {
    let key_file = dir.join(KEY_FILE);
    app::write_private(&key_file, key.as_bytes())?;
    let config = configuration(dir, upstream, &key_file)?;
    let app = app::start(&config).await;
    // It has been read, and nothing else needs it.
    let _ = fs::remove_file(&key_file);
    app
}

fn configuration(dir: &Path, upstream: &str, key_file: &Path) -> Result<Config> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| anyhow!("--data-dir {} is not UTF-8; name another", path.display()))
    };
    let secret = format!("file:{}", text(key_file)?);
    let free = "127.0.0.1:0";
    let settings = serde_json::json!({
        "upstream": {"url": upstream, "key": secret},
        "listen": {"api": free, "admin": free, "drain_timeout": "5s"},
        "ledger": {"dir": text(dir)?},
    });
    let layer = config::parse_file("demo", &toml::to_string(&settings)?)?;
    Ok(Config::merge(&[layer], &config::Surroundings::default())?)
}

/// One line that changes, for whoever waits at a terminal. Never ends.
async fn show_progress(road: &Road, api: &Api) -> Infallible {
    let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
    loop {
        ticks.tick().await;
        if io::stderr().is_terminal() {
            let line = story::progress(road.progress(), &api.bill().total());
            let _ = write!(io::stderr(), "\r{line}");
        }
    }
}

fn clear_progress() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r{:100}\r", "");
    }
}
