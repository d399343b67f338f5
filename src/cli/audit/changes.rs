//! What a change was, in words: for `changes.csv` and its events.

use serde_json::Value;

use super::tables::text;

/// One sentence. Everything in it is a name, a number or a digest of the ledger's.
pub(super) fn told(kind: &str, body: &Value) -> String {
    let said = |name: &str| text(&body[name]);
    match kind {
        "started" => {
            let before = match body["previous"].as_str() {
                Some("first") => "for the first time",
                Some("crash") => "after a crash",
                Some("clean") => "after a clean end",
                _ => "again",
            };
            format!("the sidecar {} started {before}", said("program"))
        }
        "stopped" => format!("the sidecar ended; {} calls were open", said("open_exchanges")),
        "config_changed" => "another configuration holds".to_owned(),
        "payers_changed" => "other keys and payers hold".to_owned(),
        "prices_changed" => "other prices hold".to_owned(),
        "key_rotated" => format!("checkpoints are signed with another key ({})", said("reason")),
        "reattributed" => format!(
            "spend moved to {}, for {}",
            names(&body["payer"], &["team", "user", "project"]),
            said("reason")
        ),
        "budget_crossed" => format!(
            "budget {}: {} crossed, {} of {} USD used",
            said("budget"),
            said("threshold"),
            said("used_usd"),
            said("limit_usd")
        ),
        "budget_rearmed" => {
            format!("budget {}: {} can fire again", said("budget"), said("threshold"))
        }
        "erased" => {
            let whose = names(body, &["exchange", "session", "team", "user"]);
            let found = if body["found"] == true { "" } else { ", of which nothing was kept" };
            format!("the key of kept contents was destroyed: {whose}{found}")
        }
        "exported" => format!(
            "evidence was exported: lines {} until before {}, a tree of {}{}",
            said("first"),
            said("end"),
            said("size"),
            narrowed(body)
        ),
        "backed_up" => format!("the data directory was copied: {} lines", said("entries")),
        "pruned" => format!(
            "lines before index {} were removed, their hashes stay; kept are {} months",
            said("first"),
            said("retention_months")
        ),
        _ => kind.replace('_', " "),
    }
}

/// Who did it, as the system knows it.
pub(super) fn by_uid(body: &Value) -> String {
    let uid = if body["by_uid"].is_null() { &body["uid"] } else { &body["by_uid"] };
    text(uid)
}

/// Those of the names that are there.
fn names(body: &Value, which: &[&str]) -> String {
    let there = which.iter().filter(|name| !body[**name].is_null());
    there.map(|name| format!("{name} {}", text(&body[*name]))).collect::<Vec<_>>().join(", ")
}

/// To what an export's tables were narrowed.
fn narrowed(body: &Value) -> String {
    let criteria = body["controls"].as_array().into_iter().flatten().map(text);
    let criteria = criteria.collect::<Vec<_>>().join(" ");
    let mut said = vec![names(body, &["team", "session"]), criteria];
    said.retain(|part| !part.is_empty());
    if said.is_empty() { String::new() } else { format!("; tables for {}", said.join(", ")) }
}
