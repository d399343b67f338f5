//! What a settings file says of hooks, as the client reads it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{SettingsError, ours};

/// How a hook of ours delivers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The client posts.
    Http {
        /// Where to.
        url: String,
    },
    /// The client runs a command that posts.
    Command {
        /// The program.
        program: String,
        /// Where it posts to.
        url: String,
        /// The whole line for the shell.
        line: String,
    },
}

impl Target {
    /// Where the event goes in the end.
    #[must_use]
    pub fn url(&self) -> &str {
        match self {
            Target::Http { url } | Target::Command { url, .. } => url,
        }
    }
}

/// A hook of ours in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The event.
    pub event: String,
    /// What it does.
    pub target: Target,
    /// The client goes on without an answer only where this is not set.
    pub enforced: bool,
}

/// What matters of one settings file. Other hooks and values stay out of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Our hooks.
    pub hooks: Vec<Found>,
    /// The `env` block.
    pub env: BTreeMap<String, String>,
    /// `disableAllHooks`
    pub disabled: bool,
    /// `allowManagedHooksOnly`
    pub managed_only: bool,
    /// `allowedHttpHookUrls`
    pub allowed_urls: Option<Vec<String>>,
    /// `httpHookAllowedEnvVars`
    pub allowed_variables: Option<Vec<String>>,
}

/// Reads a settings file. A file that the client ignores is an error.
///
/// # Errors
///
/// It is not JSON, or not an object.
pub fn read(text: &str) -> Result<Settings, SettingsError> {
    let text = text.trim_start_matches('\u{feff}');
    let value: Value =
        serde_json::from_str(text).map_err(|error| SettingsError::NotJson(error.to_string()))?;
    let object = |value: &Value| value.as_object().cloned();
    let whole = || SettingsError::Shape("the whole".to_owned(), "an object");
    let root = object(&value).ok_or_else(whole)?;
    let is_set = |key: &str| root.get(key) == Some(&Value::Bool(true));
    let texts = |key: &str| {
        let list = root.get(key)?.as_array()?;
        Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    let env = root.get("env").and_then(object).unwrap_or_default();
    let env = env.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
    Ok(Settings {
        hooks: root.get("hooks").map(hooks).unwrap_or_default(),
        env: env.collect(),
        disabled: is_set("disableAllHooks"),
        managed_only: is_set("allowManagedHooksOnly"),
        allowed_urls: texts("allowedHttpHookUrls"),
        allowed_variables: texts("httpHookAllowedEnvVars"),
    })
}

fn hooks(all: &Value) -> Vec<Found> {
    let mut found = Vec::new();
    for (event, groups) in all.as_object().into_iter().flatten() {
        let groups = groups.as_array().into_iter().flatten();
        for hook in groups.filter_map(|group| group.get("hooks")?.as_array()).flatten() {
            if let Some(target) = ours(hook) {
                let enforced = hook.get("onFailure").and_then(Value::as_str) == Some("block");
                found.push(Found { event: event.clone(), target, enforced });
            }
        }
    }
    found
}

/// Whether a list of addresses with `*` for anything lets this one through.
#[must_use]
pub fn allows(patterns: &[String], url: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, url))
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}
