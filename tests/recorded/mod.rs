//! Ledgers as the recorder would write them, and the commands that read them.
#![allow(dead_code, reason = "shared by several test files")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value;
use weighbridge::accounting::usage::CacheCreation;
use weighbridge::accounting::{Flag, Money, Usage};
use weighbridge::audit::merkle::{Hash, leaf_hash};
use weighbridge::cli::CliError;
use weighbridge::cli::exchanges::ExchangesArgs;
use weighbridge::cli::report::ReportArgs;
use weighbridge::cli::sessions::SessionsArgs;
use weighbridge::privacy::Identifier;
use weighbridge::record::encoding::{Draft, Origin};
use weighbridge::record::exchange::Endpoint;
use weighbridge::record::{ChargeRecord, Closing, Entry, LineRecord, Opening, Outcome, Stamp};

pub mod agents;
pub mod csv;
pub mod month;

/// 2026-11-20T00:00:00Z in nanoseconds.
pub const DAY: u64 = 1_795_132_800_000_000_000;
pub const HOUR: u64 = 3_600_000_000_000;

/// Appends lines to a ledger as the recorder would.
pub struct Log {
    dir: PathBuf,
    origin: Origin,
    pub next: u64,
    previous: Hash,
    pub segment_lines: u64,
    pending: Vec<u8>,
}

impl Log {
    pub fn new(dir: &Path, instance: &str) -> Log {
        fs::create_dir_all(dir.join("segments")).unwrap();
        let origin = Origin { instance: instance.to_owned(), boot: "boot".to_owned() };
        let previous = Hash::ZERO;
        Log { dir: dir.to_owned(), origin, next: 0, previous, segment_lines: 50, pending: vec![] }
    }

    pub fn put(&mut self, entry: &Entry, wall_ns: u64) {
        let draft = Draft::new(entry, &self.origin, Stamp { wall_ns, mono_ns: 1 }).unwrap();
        let line = draft.line(self.next, &self.previous).unwrap();
        self.previous = leaf_hash(&line[..line.len() - 1]);
        self.pending.extend_from_slice(&line);
        self.next += 1;
        if self.next.is_multiple_of(self.segment_lines) {
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        let first = self.next.saturating_sub(1) / self.segment_lines * self.segment_lines;
        let path = self.dir.join(format!("segments/{first:020}.jsonl"));
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(&std::mem::take(&mut self.pending)).unwrap();
    }
}

pub fn name(text: &str) -> Identifier {
    serde_json::from_value(Value::String(text.to_owned())).unwrap()
}

pub fn opening(id: &str) -> Opening {
    Opening {
        agent: None,
        attempt: 1,
        call: id.to_owned(),
        endpoint: Endpoint::Messages,
        exchange: id.to_owned(),
        key: Some("fp:0011".to_owned()),
        max_tokens: Some(100),
        method: name("POST"),
        model: Some(name("claude-opus-5-5")),
        parent_agent: None,
        platform: None,
        project: None,
        returned: 0,
        request_bytes: Some(10),
        session: Some(name("session-1")),
        streamed: 1,
        subscription: 0,
        tags: BTreeMap::new(),
        team: "search".to_owned(),
        traceparent: None,
        user: None,
    }
}

pub fn closing(id: &str, usd: Option<&str>) -> Closing {
    let usd: Option<Money> = usd.map(|text| text.parse().unwrap());
    let lines = usd.map(|usd| LineRecord {
        kind: "input".into(),
        list_usd: None,
        model: None,
        quantity: 10,
        usd,
    });
    Closing {
        batch: None,
        charge: Some(ChargeRecord {
            lines: lines.into_iter().collect(),
            pricing: "2026-11:abc".to_owned(),
            usd,
            ..ChargeRecord::default()
        }),
        duration_us: 1_500_000,
        error_class: None,
        error_type: None,
        exchange: id.to_owned(),
        flags: if usd.is_none() { vec![Flag::Unpriced] } else { vec![] },
        first_token_us: Some(300_000),
        model: Some(name("claude-opus-5-5-20261101")),
        outcome: Outcome::Completed,
        request_id: Some(name("req_1")),
        response_bytes: 99,
        status: Some(200),
        stop_reason: Some(name("end_turn")),
        usage: Some(Usage {
            cache_creation: Some(CacheCreation {
                ephemeral_1h_input_tokens: Some(5),
                ephemeral_5m_input_tokens: Some(4),
            }),
            cache_creation_input_tokens: Some(9),
            cache_read_input_tokens: Some(3),
            input_tokens: Some(10),
            output_tokens: Some(2),
            ..Usage::default()
        }),
    }
}

pub fn opened(opening: Opening) -> Entry {
    Entry::Opened(Box::new(opening))
}

pub fn closed(closing: Closing) -> Entry {
    Entry::Closed(Box::new(closing))
}

#[derive(Parser)]
enum Command {
    Report(ReportArgs),
    Exchanges(ExchangesArgs),
    Sessions(SessionsArgs),
}

pub fn run(dirs: &[&Path], line: &str) -> Result<String, CliError> {
    let arguments = std::iter::once("weighbridge").chain(line.split_whitespace());
    let dirs = dirs.iter().map(|dir| dir.to_path_buf()).collect();
    let mut out = Vec::new();
    match Command::try_parse_from(arguments).unwrap() {
        Command::Report(command) => command.run(&mut out, false, dirs)?,
        Command::Exchanges(command) => command.run(&mut out, false, dirs)?,
        Command::Sessions(command) => command.run(&mut out, false, dirs)?,
    }
    Ok(String::from_utf8(out).unwrap())
}

pub fn json(dirs: &[&Path], line: &str) -> Value {
    serde_json::from_str(&run(dirs, line).unwrap()).unwrap()
}
