//! Events of the Open Cybersecurity Schema Framework, one for each call, result of a tool, denial
//! and change.
//!
//! The ledger holds no contents, so neither do they: no command, no path, no address. Version 1.9.0
//! has a place for integrity (profile `record_integrity`); 1.6.0 leaves it out.

use std::io::{self, Write as _};

use serde_json::{Map, Value, json};

use super::changes;
use super::facts::Facts;
use super::sink::{Output, Sink};
use super::tables::{Entry, text};
use crate::audit::checkpoint::origin;

/// The versions that can be asked for.
pub(super) const VERSIONS: [&str; 2] = ["1.9.0", "1.6.0"];
/// What an attestation's fingerprint is.
const ALGORITHM: &str = "RFC 6962 leaf: SHA-256 of 0x00 and the ledger's line";

/// The file's name.
pub(super) const FILE: &str = "ocsf.jsonl";
/// HTTP Activity.
const HTTP_ACTIVITY: u64 = 4002;

/// The events while they are written.
pub(super) struct Events {
    /// Absent where no events are asked for.
    output: Option<Output>,
    version: String,
    origin: String,
    /// The version of Weighbridge that made the bundle.
    program: String,
    /// The last line that became an event, and how many it became.
    last: Option<(u64, u64)>,
}

/// Class, category and activity.
#[derive(Clone, Copy)]
struct Class(u64, u64, u64);

impl Events {
    pub(super) fn begin(sink: &Sink, facts: &Facts, is_asked: bool) -> io::Result<Events> {
        let output = is_asked.then(|| sink.begin(FILE)).transpose()?;
        Ok(Events {
            output,
            version: facts.parameters.ocsf.clone(),
            origin: origin(&facts.instance),
            program: facts.program.version.clone(),
            last: None,
        })
    }

    /// How many there were; nothing where none were asked for.
    pub(super) fn finish(self, sink: &mut Sink) -> io::Result<Option<u64>> {
        let Some(output) = self.output else { return Ok(None) };
        let rows = output.rows;
        sink.end(output)?;
        Ok(Some(rows))
    }

    /// An event's id: that of its line, so that it is the same in every export. A line that becomes
    /// several numbers those after the first.
    fn id(&mut self, index: u64) -> String {
        let nth = self.last.filter(|(last, _)| *last == index).map_or(0, |(_, count)| count);
        self.last = Some((index, nth + 1));
        let id = self.line_id(index);
        if nth == 0 { id } else { format!("{id}/{nth}") }
    }

    fn line_id(&self, index: u64) -> String {
        format!("{}/{index}", self.origin)
    }

    fn has_integrity(&self) -> bool {
        self.version == VERSIONS[0]
    }

    fn write(
        &mut self,
        entry: &Entry<'_>,
        class: Class,
        is_good: bool,
        fields: Value,
    ) -> io::Result<()> {
        let Class(class_uid, category_uid, activity_id) = class;
        let mut event = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        let uid = self.id(entry.index);
        let product = json!({"name": "Weighbridge", "vendor_name": "Weighbridge",
            "version": self.program});
        let mut metadata = json!({"version": self.version, "product": product,
            "log_name": self.origin, "sequence": entry.index, "event_code": entry.kind,
            "uid": uid});
        let mut profiles = Vec::new();
        if event.contains_key("ai_model") {
            profiles.push("ai_operation");
        }
        // HTTP Activity has actors by this profile only.
        if class_uid == HTTP_ACTIVITY {
            profiles.push("host");
        }
        if self.has_integrity() {
            profiles.push("record_integrity");
            metadata["original_event_uid"] = json!(entry.index.to_string());
            event.insert("attestation_list".to_owned(), json!([self.attestation(entry)]));
        }
        if !profiles.is_empty() {
            metadata["profiles"] = json!(profiles);
        }
        let status = if is_good { 1 } else { 2 };
        for (name, value) in [
            ("activity_id", json!(activity_id)),
            ("category_uid", json!(category_uid)),
            ("class_uid", json!(class_uid)),
            ("type_uid", json!(class_uid * 100 + activity_id)),
            ("severity_id", json!(if is_good { 1 } else { 2 })),
            ("status_id", json!(status)),
            ("status", json!(if is_good { "Success" } else { "Failure" })),
            ("time", json!(entry.at_ns / 1_000_000)),
            ("metadata", metadata),
        ] {
            event.insert(name.to_owned(), value);
        }
        if let Some(output) = &mut self.output {
            writeln!(output, "{}", Value::Object(event))?;
            output.rows += 1;
        }
        Ok(())
    }

    /// The line that the event is made of, and the one before it, by their hashes.
    fn attestation(&self, entry: &Entry<'_>) -> Value {
        let print = |value: &str| {
            json!({"algorithm": ALGORITHM, "algorithm_id": 99, "encoding": "Hex",
                "encoding_id": 1, "value": value})
        };
        let mut made = json!({"uid": entry.index.to_string(), "authority_uid": self.origin,
            "chain_uid": self.origin, "fingerprint": print(&entry.leaf)});
        if let Some(before) = entry.index.checked_sub(1) {
            made["prev_event"] =
                json!({"uid": self.line_id(before), "fingerprint": print(&entry.previous)});
        }
        made
    }

    /// A call to the API.
    pub(super) fn call(&mut self, entry: &Entry<'_>, opening: &Value) -> io::Result<()> {
        let body = &entry.body;
        let activity = match opening["method"].as_str() {
            Some("POST") => 1,
            Some("GET" | "HEAD") => 2,
            Some("PUT" | "PATCH") => 3,
            Some("DELETE") => 4,
            _ => 0,
        };
        let status = body["status"].as_u64().unwrap_or(0);
        let is_good = body["outcome"] == "completed" && status < 400;
        let mut fields = json!({
            "actor": actor(opening),
            "src_endpoint": source(opening),
            "status_detail": text(&body["outcome"]),
            "api": {"operation": named(&opening["endpoint"]),
                "request": {"uid": text(&body["exchange"])},
                "service": {"name": "Claude API"}},
            "unmapped": {"duration_us": body["duration_us"], "usd": body["charge"]["usd"],
                "usage": body["usage"], "project": opening["project"]},
        });
        // A call without an answer has no status.
        if body["status"].is_u64() {
            fields["status_code"] = json!(status.to_string());
            fields["api"]["response"] = json!({"code": status});
        }
        if let Some(model) = body["model"].as_str().or_else(|| opening["model"].as_str())
            && self.has_integrity()
        {
            fields["ai_model"] = json!({"name": model, "ai_provider": "Anthropic"});
        }
        self.write(entry, Class(6003, 6, activity), is_good, fields)
    }

    /// The result of a tool. Which class depends on what the tool does, by its name.
    pub(super) fn tool(&mut self, entry: &Entry<'_>, tool: &Value) -> io::Result<()> {
        let body = &entry.body;
        let is_good = tool["failed"].as_u64().unwrap_or(0) == 0;
        let name = named(&tool["name"]);
        let mut fields = json!({"actor": actor(body),
            "unmapped": {"tool": name, "tool_use": tool["id"], "bytes": tool["output"]["bytes"]}});
        // The sidecar does not see on which device the tool ran.
        let device = json!({"type_id": 0, "name": "not recorded"});
        let class = match name.as_str() {
            "Bash" => {
                fields["device"] = device;
                fields["process"] = json!({"name": name, "uid": text(&tool["id"])});
                Class(1007, 1, 1)
            }
            "Read" | "Write" | "Edit" | "MultiEdit" | "NotebookEdit" => {
                fields["device"] = device;
                fields["file"] = json!({"name": "not recorded", "type_id": 0});
                Class(1001, 1, if name == "Read" { 2 } else { 3 })
            }
            "WebFetch" | "WebSearch" => {
                fields["http_request"] = json!({"uid": text(&tool["id"])});
                fields["src_endpoint"] = source(body);
                Class(HTTP_ACTIVITY, 4, 3)
            }
            _ => {
                fields["src_endpoint"] = source(body);
                fields["api"] = json!({"operation": name, "request": {"uid": text(&tool["id"])}});
                Class(6003, 6, 99)
            }
        };
        if class.2 == 99 {
            fields["activity_name"] = json!("Tool call");
        }
        self.write(entry, class, is_good, fields)
    }

    /// A rule denied something.
    pub(super) fn denial(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let body = &entry.body;
        let what = if body["tool"].is_null() { &body["rule"] } else { &body["tool"] };
        let fields = json!({
            "actor": actor(body),
            "src_endpoint": source(body),
            "activity_name": "Denied by rule",
            "status_detail": format!("{} ({})", text(&body["rule"]), text(&body["layer"])),
            "api": {"operation": named(what), "request": {"uid": entry.index.to_string()}},
            "unmapped": {"policy": body["policy"], "action": body["action"]},
        });
        self.write(entry, Class(6003, 6, 99), false, fields)
    }

    /// A change of what holds, or something an operator did.
    pub(super) fn change(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let activity = match entry.kind {
            "exported" | "backed_up" => 2,
            "erased" | "pruned" => 4,
            "started" => 10,
            "stopped" => 11,
            _ => 3,
        };
        let mut fields = json!({
            "entity": {"name": entry.kind, "type": entry.kind, "type_id": 99, "data": entry.body},
            "message": changes::told(entry.kind, &entry.body),
        });
        let uid = changes::by_uid(&entry.body);
        if !uid.is_empty() {
            fields["actor"] = json!({"user": {"uid": uid}});
        }
        self.write(entry, Class(3004, 3, activity), true, fields)
    }
}

fn named(value: &Value) -> String {
    let name = text(value);
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// Who paid, and in which session: what the credential says.
fn actor(body: &Value) -> Value {
    let user = match (body["user"].as_str(), body["key"].as_str()) {
        (Some(user), _) => user,
        (None, Some(key)) => key,
        (None, None) => "unattributed",
    };
    let mut actor = json!({"user": {"name": user, "groups": [{"name": named(&body["team"])}]}});
    if let Some(session) = body["session"].as_str() {
        actor["session"] = json!({"uid": session});
    }
    actor
}

/// The ledger holds no address: the credential's fingerprint, else the session, stands for it.
fn source(body: &Value) -> Value {
    let uid = body["key"].as_str().or_else(|| body["session"].as_str()).unwrap_or("unknown");
    json!({"uid": uid})
}
