//! `weighbridge hook`: one event from standard input to the sidecar.
//!
//! It runs inside somebody's agent, so it must never be in the way: whatever goes wrong is one line
//! on standard error and exit code 0. The one exception is an answer that denies. Claude Code takes
//! exit code 2 as a denial, and its reason from the JSON on standard output; older ones and other
//! clients take it from standard error. Its environment holds API keys and is never shown.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde_json::Value;

use super::Surroundings;
use super::post::{self, Answer, PostError};
use crate::hooks::EVENT_BYTES_MAX;
use crate::hooks::settings::{TOKEN_VARIABLE, URL_VARIABLE};

/// From the start to the end of everything.
const DEADLINE: Duration = Duration::from_millis(500);
/// The longest decision that is handed on: less than what a pipe takes that nobody reads.
const DECISION_BYTES_MAX: usize = 16 * 1024;
/// What the client reads as a denial.
const DENIED: u8 = 2;
/// Where a sidecar with nothing configured takes events.
pub(super) const URL_DEFAULT: &str = "http://127.0.0.1:8485/hooks";

/// Arguments of `hook`.
#[derive(Debug, Args)]
#[command(
    after_help = "The token comes from WEIGHBRIDGE_HOOK_TOKEN. Exits with 0 whatever happens, and \
                        with 2 only where the answer denies.\n\nExample:\n  \
                        weighbridge hook < event.json"
)]
pub struct HookArgs {
    /// Where to post [default: $WEIGHBRIDGE_HOOK_URL, else http://127.0.0.1:8485/hooks]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

impl HookArgs {
    pub(super) fn run(&self, surroundings: &Surroundings) -> ExitCode {
        let url = self.url.as_deref().or_else(|| surroundings.get(URL_VARIABLE));
        let token = surroundings.get(TOKEN_VARIABLE).unwrap_or_default();
        // Without file descriptors the runtime does not say so, but panics.
        std::panic::set_hook(Box::new(|_| ()));
        let url = url.unwrap_or(URL_DEFAULT);
        let forwarded = std::panic::catch_unwind(|| forward(url, token))
            .unwrap_or_else(|_| Err("the runtime cannot start".to_owned()));
        match forwarded {
            Ok(answer) => decide(&answer),
            Err(why) => {
                complain(&why);
                ExitCode::SUCCESS
            }
        }
    }
}

/// What is said where the arguments are wrong: a client takes code 2 as a denial.
pub(super) fn misused(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::SUCCESS
}

fn complain(why: &str) {
    let _ = writeln!(io::stderr(), "weighbridge: the event was not recorded: {why}");
}

fn forward(url: &str, token: &str) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime cannot start: {error}"))?;
    let all = async {
        let event =
            tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())??;
        let answer = post::post(url, token, event, DEADLINE).await;
        answer.map_err(|error| error.to_string())
    };
    let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, all).await });
    // Somebody may hold standard input open for ever.
    runtime.shutdown_background();
    let answer = ended.unwrap_or_else(|_| Err(PostError::TooLate.to_string()))?;
    match answer.status {
        200 => Ok(answer),
        status => Err(format!("{status}, {}", post::refusal(status))),
    }
}

fn read() -> Result<Bytes, String> {
    let mut event = Vec::new();
    let most = u64::try_from(EVENT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let read = io::stdin().lock().take(most).read_to_end(&mut event);
    match read {
        Err(error) => Err(format!("standard input cannot be read: {error}")),
        Ok(0) => Err("there is none on standard input".to_owned()),
        Ok(bytes) if bytes > EVENT_BYTES_MAX => Err("it is longer than 1 MiB".to_owned()),
        Ok(_) => Ok(Bytes::from(event)),
    }
}

/// Hands the sidecar's decision on to the client.
fn decide(answer: &Answer) -> ExitCode {
    let body = Some(&answer.body).filter(|body| body.len() <= DECISION_BYTES_MAX);
    let decision = body.and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let Some(decision @ Value::Object(_)) = decision else {
        complain("the answer is not a sidecar's; see `weighbridge hooks check`");
        return ExitCode::SUCCESS;
    };
    let Some(reason) = denial(&decision) else { return ExitCode::SUCCESS };
    // A client that reads neither still sees the code.
    let _ = writeln!(io::stdout(), "{decision}");
    let _ = writeln!(io::stderr(), "{reason}");
    ExitCode::from(DENIED)
}

/// The reason, where the answer denies.
fn denial(decision: &Value) -> Option<String> {
    let text = |from: &'_ Value, key: &str| from.get(key)?.as_str().map(str::to_owned);
    let (own, whole) = (decision.get("hookSpecificOutput").unwrap_or(&Value::Null), decision);
    let denies = text(own, "permissionDecision").as_deref() == Some("deny");
    let blocks = text(whole, "decision").as_deref() == Some("block");
    let reason = if denies { text(own, "permissionDecisionReason") } else { text(whole, "reason") };
    (denies || blocks).then(|| reason.unwrap_or_else(|| "denied".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_denial_denies() {
        let denies = json!({"hookSpecificOutput": {"hookEventName": "PreToolUse",
            "permissionDecision": "deny", "permissionDecisionReason": "no Bash"}});
        assert_eq!(denial(&denies).as_deref(), Some("no Bash"));
        assert_eq!(denial(&json!({"decision": "block", "reason": "why"})).as_deref(), Some("why"));
        assert_eq!(denial(&json!({"decision": "block"})).as_deref(), Some("denied"));
        for goes_on in [
            json!({}),
            json!({"decision": "approve", "reason": "x"}),
            json!({"reason": "x"}),
            json!({"hookSpecificOutput": {"permissionDecision": "allow"}}),
            json!({"hookSpecificOutput": "deny"}),
        ] {
            assert_eq!(denial(&goes_on), None, "{goes_on}");
        }
    }
}
