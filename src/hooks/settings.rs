//! The hooks that Claude Code is to run for us, in the form of its settings files.
//!
//! Text in, text out: reading and writing files is for the commands. What the client does with a
//! setting was measured with Claude Code 2.1.330 and is in `docs/hooks.md`.

mod edit;
mod reading;

use serde_json::{Value, json};

pub use edit::{with_hooks, with_rules, with_token, without};
pub use reading::{Found, Settings, Target, allows, read};

/// The variable that holds the hook token.
pub const TOKEN_VARIABLE: &str = "WEIGHBRIDGE_HOOK_TOKEN";
/// The variable that says where events go.
pub const URL_VARIABLE: &str = "WEIGHBRIDGE_HOOK_URL";
/// The variable that holds the token of the sidecar of one run. It has a name of its own because
/// the `env` block of a user's settings beats the process's environment.
pub const RUN_TOKEN_VARIABLE: &str = "WEIGHBRIDGE_RUN_HOOK_TOKEN";

/// Events that the client posts by itself.
///
/// `WorktreeCreate` is left out on purpose: a hook there takes the place of the client's own way to
/// make a worktree, and one that names no folder makes `claude --worktree` fail.
pub const HTTP_EVENTS: [&str; 30] = [
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "PermissionRequest",
    "PermissionDenied",
    "UserPromptSubmit",
    "UserPromptExpansion",
    "Stop",
    "StopFailure",
    "SubagentStart",
    "SubagentStop",
    "SessionEnd",
    "PreCompact",
    "PostCompact",
    "PreModelSwitch",
    "PostModelSwitch",
    "Notification",
    "MessageDisplay",
    "InstructionsLoaded",
    "ConfigChange",
    "CwdChanged",
    "DirectoryAdded",
    "FileChanged",
    "Elicitation",
    "ElicitationResult",
    "TaskCreated",
    "TaskCompleted",
    "TeammateIdle",
    "WorktreeRemove",
];
/// Events for which the client runs commands only.
pub const COMMAND_EVENTS: [&str; 2] = ["SessionStart", "Setup"];
/// Events where a failing hook can hold the agent up, and where it must not be able to: on others
/// `onFailure` does nothing, or (`PostToolBatch`) ends the session without a word.
pub const ENFORCED_EVENTS: [&str; 2] = ["PreToolUse", "UserPromptSubmit"];

/// Seconds the client waits for an answer before it goes on without.
const TIMEOUT_S: u64 = 1;
/// The same where it does not go on without.
const ENFORCED_TIMEOUT_S: u64 = 5;
/// The command gives up by itself before.
const COMMAND_TIMEOUT_S: u64 = 2;

/// What is wrong with a settings file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The client would not read it either.
    #[error(
        "is not JSON ({0}); Claude Code ignores such a file whole, and one with comments or \
         trailing commas too: mend it first"
    )]
    NotJson(String),
    /// A key that is needed holds something else.
    #[error("{0} is not {1}: mend it first")]
    Shape(String, &'static str),
    /// It cannot be said which of the two counts.
    #[error("names a key twice in one object: mend it first")]
    Twice,
}

/// Where hooks send what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// Where events are posted, `…/hooks`.
    pub url: String,
    /// This program's path, for the events that need a command.
    pub program: String,
    /// The variable that the token comes from.
    pub variable: &'static str,
    /// Where an event cannot be delivered, the tool or the prompt is blocked.
    pub enforce: bool,
}

impl Hooks {
    /// The hook for one event, its fields in the order to write them in.
    fn hook(&self, event: &str) -> Vec<(&'static str, Value)> {
        if COMMAND_EVENTS.contains(&event) {
            return vec![
                ("type", json!("command")),
                ("command", json!(self.command())),
                ("timeout", json!(COMMAND_TIMEOUT_S)),
            ];
        }
        let enforced = self.enforce && ENFORCED_EVENTS.contains(&event);
        let timeout = if enforced { ENFORCED_TIMEOUT_S } else { TIMEOUT_S };
        let mut fields = vec![
            ("type", json!("http")),
            ("url", json!(self.url)),
            ("headers", json!({"Authorization": format!("Bearer ${}", self.variable)})),
            ("allowedEnvVars", json!([self.variable])),
            ("timeout", json!(timeout)),
        ];
        if enforced {
            fields.push(("onFailure", json!("block")));
        }
        fields
    }

    /// The command that forwards an event, for a shell.
    fn command(&self) -> String {
        let forward = format!("{} hook --url {}", quoted(&self.program), self.url);
        if self.variable == TOKEN_VARIABLE {
            return forward;
        }
        format!("{TOKEN_VARIABLE}=\"${}\" {forward}", self.variable)
    }
}

/// Every event that is hooked.
fn events() -> impl Iterator<Item = &'static str> {
    HTTP_EVENTS.into_iter().chain(COMMAND_EVENTS)
}

/// A path as one word of a shell.
fn quoted(path: &str) -> String {
    let mut word = String::from("\"");
    for character in path.chars() {
        if "\"\\$`".contains(character) {
            word.push('\\');
        }
        word.push(character);
    }
    word.push('"');
    word
}

/// Program and address of a command that [`Hooks::command`] wrote; `None` for any other.
fn forwarder(command: &str) -> Option<(String, &str)> {
    let assigned = command.strip_prefix(TOKEN_VARIABLE).and_then(|rest| rest.split_once(' '));
    let command = assigned.map_or(command, |(_, rest)| rest);
    let mut program = String::new();
    let mut characters = command.strip_prefix('"')?.chars();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => program.push(characters.next()?),
            character => program.push(character),
        }
    }
    let url = characters.as_str().strip_prefix(" hook --url ")?;
    (!url.contains(char::is_whitespace)).then_some((program, url))
}

/// Where an object of the client's settings is a hook of ours: what it does.
fn ours(hook: &Value) -> Option<Target> {
    let text = |key: &str| hook.get(key).and_then(Value::as_str);
    match text("type")? {
        "http" => {
            let header = hook.get("headers")?.get("Authorization")?.as_str()?;
            let variable = header.strip_prefix("Bearer $")?;
            let known = [TOKEN_VARIABLE, RUN_TOKEN_VARIABLE].contains(&variable);
            known.then(|| Target::Http { url: text("url").unwrap_or_default().to_owned() })
        }
        "command" => {
            let line = text("command")?;
            let (program, url) = forwarder(line)?;
            Some(Target::Command { program, url: url.to_owned(), line: line.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
