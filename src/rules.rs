//! The rules of a running sidecar: which layers hold for whom.
//!
//! What the configuration says is fixed at the start. A project's own file is read once for each
//! session, when its first hook names the directory, and holds for the session's life: an agent
//! that edits it changes nothing for itself.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
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
    files: HashMap<String, Arc<Vec<Layer>>>,
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
        let files = session.and_then(|session| remembered.files.get(session)).cloned();
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

    /// Reads the files of the project in which a session works, once. Reads from the disk: not for
    /// the path of a call.
    pub fn pin(&self, session: &str, cwd: &Path, team: &str) {
        if !self.config.trust_project_files || self.remembered().files.contains_key(session) {
            return;
        }
        let (layers, ignored) = project_files(cwd, team);
        for (title, problem) in ignored {
            tracing::warn!(file = title, problem, "a project's rules are not read");
        }
        let mut remembered = self.remembered();
        if remembered.files.len() >= REMEMBERED_MAX {
            remembered.files.clear();
        }
        remembered.files.entry(session.to_owned()).or_insert_with(|| Arc::new(layers));
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layers that a project keeps beside its code: its own file, the first one found from `cwd`
/// upwards, and the team's below it. And files that are none, with what is wrong.
#[must_use]
pub fn project_files(cwd: &Path, team: &str) -> (Vec<Layer>, Vec<(&'static str, String)>) {
    let (mut layers, mut ignored) = (Vec::new(), Vec::new());
    let found = cwd.ancestors().take(ABOVE_MAX).find(|dir| dir.join(PROJECT_FILE).is_file());
    let Some(root) = found.filter(|_| cwd.is_absolute()) else { return (layers, ignored) };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let is_name = !team.is_empty() && !team.starts_with('.') && team.bytes().all(plain);
    let own = ("project file", Some(root.join(PROJECT_FILE)));
    let of_team = is_name.then(|| root.join("teams").join(team).join(PROJECT_FILE));
    for (title, path) in [own, ("team file", of_team)] {
        let Some(path) = path.filter(|path| path.is_file()) else { continue };
        match read(&path).and_then(|text| parse_project_file(title, &text)) {
            Ok(layer) => layers.push(layer),
            Err(problem) => ignored.push((title, problem)),
        }
    }
    (layers, ignored)
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
