//! Secrets by reference: fetched from where they are kept, never shown and never written down.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hyper::header::HeaderValue;

use crate::config::SecretRef;

/// A `command:` secret must come within this time.
const SECRET_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Fetches a secret; `key` is the setting that refers to it.
pub(super) fn secret_text(key: &str, reference: &SecretRef) -> Result<String> {
    let text = match reference {
        SecretRef::Environment(name) => environment(name)
            .with_context(|| format!("{key} = env:{name}, but {name} is not set"))?,
        SecretRef::File(path) => fs::read_to_string(path)
            .with_context(|| format!("{key} = file:{} cannot be read", path.display()))?,
        SecretRef::Command(line) => {
            run_secret_command(line).with_context(|| format!("{key} = command:…"))?
        }
    };
    Ok(text.trim().to_owned())
}

/// A secret as the value of a header.
pub(super) fn secret_value(setting: &str, reference: &SecretRef) -> Result<HeaderValue> {
    header_value(setting, &secret_text(setting, reference)?)
}

/// A text as the value of a header that is never shown.
pub(super) fn header_value(setting: &str, text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| anyhow!("{setting} holds something that is not one line of text"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[expect(clippy::disallowed_methods, reason = "a secret by reference names the variable to read")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn run_secret_command(line: &str) -> Result<String> {
    let seconds = SECRET_COMMAND_TIMEOUT.as_secs().to_string();
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    let output = std::process::Command::new("timeout")
        .arg(seconds)
        .arg(program)
        .args(words)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        return Err(anyhow!("{program} failed ({})", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
