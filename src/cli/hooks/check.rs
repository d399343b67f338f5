//! `weighbridge hooks check`: what the settings say, and whether a real event arrives that way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use hyper::Uri;
use tokio::io::AsyncWriteExt as _;

use super::super::post::{self, Answer};
use super::super::{CliError, Surroundings, runtime};
use super::files::{self, Places};
use super::program;
use crate::hooks::settings::{
    COMMAND_EVENTS, HTTP_EVENTS, Settings, TOKEN_VARIABLE, Target, allows, read,
};

/// The event that is sent; a client has none of this name.
const EVENT: &str = "WeighbridgeCheck";
/// How long one delivery may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// A settings file that is there.
struct File {
    scope: Scope,
    path: PathBuf,
    settings: Settings,
}

/// Whose settings; a later one's `env` wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    User,
    Project,
    Local,
    Managed,
}

impl Scope {
    const fn name(self) -> &'static str {
        match self {
            Scope::User => "user",
            Scope::Project => "project",
            Scope::Local => "local",
            Scope::Managed => "managed",
        }
    }
}

/// What was found, line by line.
#[derive(Default)]
struct Findings {
    lines: Vec<String>,
    problems: usize,
}

impl Findings {
    fn good(&mut self, line: String) {
        self.lines.push(format!("ok       {line}"));
    }

    fn note(&mut self, line: String) {
        self.lines.push(format!("note     {line}"));
    }

    fn bad(&mut self, line: String) {
        self.problems += 1;
        self.lines.push(format!("problem  {line}"));
    }
}

pub(super) fn run(
    output: &mut dyn Write,
    surroundings: &Surroundings,
    asked: Option<&str>,
) -> Result<(), CliError> {
    let mut findings = Findings::default();
    let files = load(&Places::of(surroundings)?, &mut findings);
    let active = active(&files, &mut findings);
    coverage(&active, &mut findings);
    let mut env: BTreeMap<String, String> = surroundings.variables.iter().cloned().collect();
    for file in &files {
        env.extend(file.settings.env.clone());
    }
    let targets: BTreeSet<(Scope, &Target)> = active
        .iter()
        .flat_map(|file| file.settings.hooks.iter().map(|hook| (file.scope, &hook.target)))
        .collect();
    runtime()?.block_on(async {
        rejected(&targets, asked, &mut findings).await;
        for (scope, target) in &targets {
            if let Some(asked) = asked.filter(|asked| *asked != target.url()) {
                findings.bad(format!(
                    "{} settings post to {}, not to {asked}: `weighbridge hooks install --admin URL`",
                    scope.name(),
                    target.url()
                ));
                continue;
            }
            let way = Way { scope: *scope, target, env: &env, asked };
            way.try_it(&files, &mut findings).await;
        }
    });
    for line in &findings.lines {
        CliError::written(writeln!(output, "{line}"))?;
    }
    match findings.problems {
        0 => Ok(()),
        1 => Err(CliError::Failed("one thing is not in order, see above".to_owned())),
        many => Err(CliError::Failed(format!("{many} things are not in order, see above"))),
    }
}

/// The files that are there, in the order in which the client merges them.
fn load(places: &Places, findings: &mut Findings) -> Vec<File> {
    let own = [
        (Scope::User, &places.user),
        (Scope::Project, &places.project),
        (Scope::Local, &places.local),
    ];
    let managed = places.managed().into_iter().map(|path| (Scope::Managed, path));
    let all = own.into_iter().map(|(scope, path)| (scope, path.clone())).chain(managed);
    let mut found: Vec<File> = Vec::new();
    for (scope, path) in all {
        // In the home folder, the project's file is the user's.
        if found.iter().any(|file| file.path == path) {
            continue;
        }
        let (name, shown) = (scope.name(), path.display());
        match files::read(&path).map(|text| text.map(|text| read(&text))) {
            Ok(None) => {}
            Ok(Some(Ok(settings))) => {
                let count = settings.hooks.len();
                if count > 0 {
                    findings.good(format!("{name} settings hook {count} events ({shown})"));
                }
                found.push(File { scope, path, settings });
            }
            Ok(Some(Err(error))) => findings.bad(format!("{name} settings: {shown} {error}")),
            Err(error) => findings.bad(format!("{name} settings: {shown}: {error}")),
        }
    }
    found
}

/// The files whose hooks the client runs.
fn active<'f>(files: &'f [File], findings: &mut Findings) -> Vec<&'f File> {
    let managed = |file: &&File| file.scope == Scope::Managed;
    let (own, all) = (|file: &&File| file.scope != Scope::Managed, files.iter());
    if let Some(file) = all.clone().filter(managed).find(|file| file.settings.disabled) {
        findings.bad(format!("{} sets disableAllHooks: no hook runs", file.path.display()));
        return Vec::new();
    }
    let mut active: Vec<&File> = all.clone().filter(managed).collect();
    let has_hooks = |file: &&File| !file.settings.hooks.is_empty();
    if let Some(file) = all.clone().filter(managed).find(|file| file.settings.managed_only) {
        let ours = active.iter().any(has_hooks);
        let line = format!("{} sets allowManagedHooksOnly", file.path.display());
        if ours {
            findings.note(format!("{line}: user's and project's hooks do not run"));
        } else {
            findings
                .bad(format!("{line}: install ours with `weighbridge hooks install --managed`"));
        }
        return active;
    }
    if let Some(file) = all.clone().filter(own).find(|file| file.settings.disabled) {
        let line = format!("{} sets disableAllHooks: only managed hooks run", file.path.display());
        findings.bad(line);
        return active;
    }
    active.extend(all.filter(own));
    active
}

/// Which events are hooked.
fn coverage(active: &[&File], findings: &mut Findings) {
    let hooks = active.iter().flat_map(|file| &file.settings.hooks);
    let hooked: BTreeSet<&str> = hooks.map(|hook| hook.event.as_str()).collect();
    let all = HTTP_EVENTS.into_iter().chain(COMMAND_EVENTS);
    let missing: Vec<&str> = all.filter(|event| !hooked.contains(event)).collect();
    match (hooked.len(), missing.as_slice()) {
        (0, _) => findings.bad("no hook of ours runs: `weighbridge hooks install`".to_owned()),
        (_, []) => {}
        (_, missing) => findings.bad(format!(
            "these events are not hooked: {}: `weighbridge hooks install`",
            missing.join(", ")
        )),
    }
}

/// Posts that the sidecars have refused since they started.
async fn rejected(
    targets: &BTreeSet<(Scope, &Target)>,
    asked: Option<&str>,
    findings: &mut Findings,
) {
    let urls: BTreeSet<&str> = targets.iter().map(|(_, target)| target.url()).collect();
    for url in urls.into_iter().filter(|url| may_send(url, asked)) {
        let Some(base) = url.strip_suffix("/hooks") else { continue };
        let answer = post::get(&format!("{base}/metrics"), DELIVERY_TIMEOUT).await;
        let Some(page) = answer.ok().filter(|answer| answer.status == 200) else { continue };
        let page = String::from_utf8_lossy(&page.body).into_owned();
        let counts: Vec<String> = page.lines().filter_map(refused).collect();
        if !counts.is_empty() {
            findings.note(format!("posts refused since {base} started: {}", counts.join(", ")));
        }
    }
}

/// Reason and count of a sample of rejected posts.
fn refused(line: &str) -> Option<String> {
    let rest = line.strip_prefix("weighbridge_hook_posts_rejected_total{reason=\"")?;
    let (reason, count) = rest.split_once("\"} ")?;
    (count != "0").then(|| format!("{reason} {count}"))
}

/// The token goes to this machine, and to where the user says.
fn may_send(url: &str, asked: Option<&str>) -> bool {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let host = host.unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()) || asked == Some(url)
}

/// One way in which events are delivered.
struct Way<'w> {
    scope: Scope,
    target: &'w Target,
    env: &'w BTreeMap<String, String>,
    asked: Option<&'w str>,
}

impl Way<'_> {
    async fn try_it(&self, files: &[File], findings: &mut Findings) {
        let (url, name) = (self.target.url(), self.scope.name());
        let Some(token) = self.env.get(TOKEN_VARIABLE).filter(|token| !token.is_empty()) else {
            findings.bad(format!(
                "{name} settings: {TOKEN_VARIABLE} is set neither in an \"env\" block nor here: \
                 `weighbridge hooks install`"
            ));
            return;
        };
        if !may_send(url, self.asked) {
            findings.bad(format!(
                "{name} settings send events and the token to {url}, which is not this machine; \
                 nothing was sent: if that is right, `weighbridge hooks check --admin URL`"
            ));
            return;
        }
        let event = serde_json::json!({
            "hook_event_name": EVENT,
            "check_id": uuid::Uuid::now_v7().to_string(),
        });
        let event = Bytes::from(event.to_string());
        match self.target {
            Target::Http { .. } => {
                if let Some(why) = self.blocked(files) {
                    findings.bad(format!("{name} settings: {why}"));
                    return;
                }
                let answer = post::post(url, token, event, DELIVERY_TIMEOUT).await;
                self.arrived("HTTP hook", answer.map_err(|error| error.to_string()), findings);
            }
            Target::Command { program, line, .. } => {
                let said = match self.command(Path::new(program), line, &event).await {
                    Ok(said) => said,
                    Err(why) => {
                        findings.bad(format!("{name} settings: {why}"));
                        return;
                    }
                };
                // The same event again: the sidecar says whether and where it has it.
                let answer = post::post(url, token, event, DELIVERY_TIMEOUT).await;
                let answer = match answer {
                    Ok(answer) if answer.status == 200 && !answer.again => Err(said),
                    other => other.map_err(|error| error.to_string()),
                };
                self.arrived("command hook", answer, findings);
            }
        }
    }

    /// Why the client does not post.
    fn blocked(&self, files: &[File]) -> Option<String> {
        let counts = |file: &&File| {
            (self.scope == Scope::Managed) == (file.scope == Scope::Managed)
                || file.scope == Scope::Managed
        };
        let files = || files.iter().filter(counts).map(|file| &file.settings);
        let urls: Vec<_> = files().filter_map(|settings| settings.allowed_urls.clone()).collect();
        if !urls.is_empty() && !allows(&urls.concat(), self.target.url()) {
            let url = self.target.url();
            return Some(format!("allowedHttpHookUrls does not name {url}: add it there"));
        }
        let names: Vec<_> = files().filter_map(|s| s.allowed_variables.clone()).collect();
        let named = names.concat().iter().any(|name| name == TOKEN_VARIABLE);
        if !names.is_empty() && !named {
            let why =
                format!("httpHookAllowedEnvVars does not name {TOKEN_VARIABLE}: add it there");
            return Some(why);
        }
        None
    }

    /// Runs the command as the client does; gives what it said.
    async fn command(&self, path: &Path, line: &str, event: &[u8]) -> Result<String, String> {
        let shown = path.display();
        if !path.is_file() {
            return Err(format!("{shown} is not there: `weighbridge hooks install`"));
        }
        // A project's file comes from somebody else.
        let is_own = program().is_ok_and(|own| Path::new(&own) == path);
        if !is_own && matches!(self.scope, Scope::Project | Scope::Local) {
            return Err(format!(
                "its command is {shown}, which is not this program; it was not run"
            ));
        }
        let mut child = tokio::process::Command::new("sh")
            .args(["-c", line])
            .envs(self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("its command cannot be run: {error}"))?;
        let all = async {
            if let Some(mut input) = child.stdin.take() {
                let _ = input.write_all(event).await;
            }
            child.wait_with_output().await
        };
        let ended = tokio::time::timeout(DELIVERY_TIMEOUT, all).await;
        let ended = ended.map_err(|_| "its command does not end".to_owned())?;
        let output = ended.map_err(|error| format!("its command cannot be run: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let said = said.trim_start_matches("weighbridge: ").to_owned();
        Ok(if said.is_empty() { format!("it ended with {}", output.status) } else { said })
    }

    fn arrived(&self, what: &str, answer: Result<Answer, String>, findings: &mut Findings) {
        let (url, name) = (self.target.url(), self.scope.name());
        match answer {
            Ok(Answer { status: 200, sequence: Some(entry), .. }) => {
                findings.good(format!("{name} {what}: arrived at {url}, ledger entry {entry}"));
            }
            Ok(Answer { status: 200, .. }) => {
                findings.good(format!("{name} {what}: arrived at {url}, not in its ledger"));
            }
            Ok(Answer { status, .. }) => {
                let why = post::refusal(status);
                findings.bad(format!("{name} {what}: {url} refused it ({status}): {why}"));
            }
            Err(why) => findings.bad(format!("{name} {what}: not arrived at {url}: {why}")),
        }
    }
}
