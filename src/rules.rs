//! The rules of a running sidecar: which layers hold for whom.
//!
//! What the configuration says is fixed at the start. A project's own file is read once for each
//! session, when its first hook names the directory, and holds for the session's life: an agent
//! that edits it changes nothing for itself.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::accounting::Money;
use crate::agent::session::Payer;
use crate::config::{PolicyConfig, parse_project_file};
use crate::policy::{Layer, Rules};

/// Callers and sessions whose layers are remembered.
const REMEMBERED_MAX: usize = 10_000;
/// The longest file of a project that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Directories above the one that is named, at most, in which the file is looked for.
const ABOVE_MAX: usize = 32;
/// The file that a project keeps beside its code.
pub const PROJECT_FILE: &str = ".weighbridge.toml";

#[derive(Default)]
struct Remembered {
    rules: HashMap<(Payer, Option<String>), Arc<Rules>>,
    files: HashMap<String, Pinned>,
    /// The sessions with files, the oldest first.
    order: VecDeque<String>,
}

/// What a session's project says, as it stood when it was read.
#[derive(Clone)]
struct Pinned {
    layers: Arc<Vec<Layer>>,
    /// Where the team's own file is looked for once the team is known.
    waits: Option<PathBuf>,
}

/// Which layers hold for whom.
pub struct LiveRules {
    config: PolicyConfig,
    upstream: String,
    remembered: Mutex<Remembered>,
}

impl LiveRules {
    /// The rules of the configuration. `upstream`: where calls go.
    #[must_use]
    pub fn new(config: PolicyConfig, upstream: String) -> LiveRules {
        LiveRules { config, upstream, remembered: Mutex::default() }
    }

    /// Whether nothing is ever denied.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.config.is_empty()
    }

    /// Where calls go.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// What one run may cost.
    #[must_use]
    pub fn run_usd_max(&self) -> Option<Money> {
        self.config.run_usd_max
    }

    /// The rules for a caller in a session.
    #[must_use]
    pub fn of(&self, payer: &Payer, session: Option<&str>) -> Arc<Rules> {
        let mut remembered = self.remembered();
        let files = session.and_then(|session| remembered.files.get(session));
        let files = files.map(|pinned| Arc::clone(&pinned.layers));
        // A session counts only where it has files of its own.
        let key = (payer.clone(), files.as_ref().and(session).map(str::to_owned));
        if let Some(known) = remembered.rules.get(&key) {
            return Arc::clone(known);
        }
        let (project, task) = (payer.project.as_deref(), payer.task.as_deref());
        let files = files.as_deref().map_or(&[][..], Vec::as_slice);
        let rules = Arc::new(self.config.rules_for(project, &payer.team, task, files));
        if remembered.rules.len() >= REMEMBERED_MAX {
            remembered.rules.clear();
        }
        remembered.rules.insert(key, Arc::clone(&rules));
        rules
    }

    /// Reads the files of the project in which a session works, each once: the project's own with
    /// the first hook, the team's once a call has shown which team pays. Reads from the disk: not
    /// for the path of a call.
    pub fn pin(&self, session: &str, cwd: &Path, team: Option<&str>) {
        if !self.config.trust_project_files {
            return;
        }
        let known = self.remembered().files.get(session).cloned();
        let (mut layers, root) = match known {
            Some(Pinned { waits: None, .. }) => return,
            Some(Pinned { waits: Some(root), layers }) => (layers.to_vec(), Some(root)),
            None => {
                let root = project_root(cwd);
                let own = root.as_deref().and_then(own_file).and_then(told);
                (own.into_iter().collect(), root)
            }
        };
        let team_file = team.zip(root.as_deref()).and_then(|(team, root)| team_file(root, team));
        layers.extend(team_file.and_then(told));
        let waits = root.filter(|_| team.is_none());
        let mut remembered = self.remembered();
        let pinned = Pinned { layers: Arc::new(layers), waits };
        if remembered.files.insert(session.to_owned(), pinned).is_none() {
            remembered.order.push_back(session.to_owned());
        }
        // What was made of the files before is not what holds now.
        remembered.rules.retain(|(_, of), _| of.as_deref() != Some(session));
        if remembered.order.len() > REMEMBERED_MAX
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.files.remove(&oldest);
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file's layer, or its title and what is wrong with it.
type FileRules = Result<Layer, (&'static str, String)>;

/// The layers that a project keeps beside its code: its own file, the first one found from `cwd`
/// upwards, and the team's below it. And files that are none, with what is wrong.
#[must_use]
pub fn project_files(cwd: &Path, team: &str) -> (Vec<Layer>, Vec<(&'static str, String)>) {
    let Some(root) = project_root(cwd) else { return Default::default() };
    let (mut layers, mut ignored) = (Vec::new(), Vec::new());
    for file in [own_file(&root), team_file(&root, team)].into_iter().flatten() {
        match file {
            Ok(layer) => layers.push(layer),
            Err(problem) => ignored.push(problem),
        }
    }
    (layers, ignored)
}

/// The directory that holds the project's own file.
fn project_root(cwd: &Path) -> Option<PathBuf> {
    let found = cwd.ancestors().take(ABOVE_MAX).find(|dir| dir.join(PROJECT_FILE).is_file());
    found.filter(|_| cwd.is_absolute()).map(Path::to_owned)
}

fn own_file(root: &Path) -> Option<FileRules> {
    file_rules("project file", &root.join(PROJECT_FILE))
}

fn team_file(root: &Path, team: &str) -> Option<FileRules> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let is_name = !team.is_empty() && !team.starts_with('.') && team.bytes().all(plain);
    let path = is_name.then(|| root.join("teams").join(team).join(PROJECT_FILE));
    file_rules("team file", &path?)
}

fn file_rules(title: &'static str, path: &Path) -> Option<FileRules> {
    let parsed = || read(path).and_then(|text| parse_project_file(title, &text));
    path.is_file().then(|| parsed().map_err(|problem| (title, problem)))
}

fn told(file: FileRules) -> Option<Layer> {
    file.inspect_err(|(title, problem)| {
        tracing::warn!(file = title, problem, "a project's rules are not read");
    })
    .ok()
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| error.kind().to_string())?;
    let mut bounded = file.take(FILE_BYTES_MAX + 1);
    bounded.read_to_string(&mut text).map_err(|error| error.kind().to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is longer than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}
