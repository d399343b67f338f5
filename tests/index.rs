//! From the ledger's lines to the figures: index, reports, lists.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod recorded;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use proptest::prelude::*;
use recorded::{DAY, HOUR, Log, closed, closing, json, name, opened, opening, run};
use serde_json::Value;
use tokio::sync::watch;
use weighbridge::accounting::Money;
use weighbridge::accounting::attribution::CostCentre;
use weighbridge::index::{Builder, Expected, Index, IndexError, Snapshot, follow};
use weighbridge::record::correction::Chosen;
use weighbridge::record::entry::Stopped;
use weighbridge::record::{Closing, Entry, Opening, Outcome, Reattributed};

/// Five exchanges: two priced, one unpriced, one refused, one still open.
fn five(dir: &Path, instance: &str) -> Log {
    let mut log = Log::new(dir, instance);
    let id = |n: u32| format!("{instance}-{n}");
    log.put(&opened(opening(&id(1))), DAY);
    log.put(&opened(Opening { team: "ads".into(), ..opening(&id(2)) }), DAY + HOUR);
    log.put(&closed(closing(&id(2), Some("0.0000000055"))), DAY + 2 * HOUR);
    log.put(&closed(closing(&id(1), Some("1.25"))), DAY + 2 * HOUR);
    log.put(&opened(opening(&id(3))), DAY + 23 * HOUR);
    log.put(&closed(closing(&id(3), None)), DAY + 24 * HOUR);
    let call = Opening { attempt: 2, call: id(1), session: None, ..opening(&id(4)) };
    log.put(&opened(call), DAY + 24 * HOUR);
    let refused = Closing {
        charge: None,
        usage: None,
        model: None,
        outcome: Outcome::Refused,
        status: Some(429),
        ..closing(&id(4), Some("0"))
    };
    log.put(&closed(refused), DAY + 24 * HOUR);
    let tags = BTreeMap::from([("task".to_owned(), name("T-1")), ("1".to_owned(), name("one"))]);
    log.put(&opened(Opening { tags, ..opening(&id(5)) }), DAY + 25 * HOUR);
    log.put(&Entry::Stopped(Stopped { open_exchanges: 1 }), DAY + 25 * HOUR);
    log.flush();
    log
}

#[test]
fn a_report_has_the_shape_and_the_sums() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path(), "i");
    let report = json(&[dir.path()], "report --by team,day --format json");
    let row = |team: &str, day: &str, exchanges: u64, usd: &str, unpriced: u64, billed: u64| {
        serde_json::json!({"team": team, "day": day, "exchanges": exchanges,
            "input_tokens": 10 * billed, "output_tokens": 2 * billed,
            "cache_read_tokens": 3 * billed, "cache_write_5m_tokens": 4 * billed,
            "cache_write_1h_tokens": 5 * billed, "usd": usd, "usd_max": usd,
            "list_usd": usd, "estimated_usd": "0", "estimated_max_usd": "0",
            "notional_usd": "0", "unpriced": unpriced})
    };
    let mut total = row("", "", 5, "1.2500000055", 1, 3);
    total.as_object_mut().unwrap().retain(|key, _| key != "team" && key != "day");
    let expected = serde_json::json!({"from": null, "to": null, "by": ["team", "day"],
        "rows": [row("ads", "2026-11-20", 1, "0.0000000055", 0, 1),
                 row("search", "2026-11-20", 2, "1.25", 1, 2),
                 row("search", "2026-11-21", 2, "0", 0, 0)],
        "total": total, "pricing_versions": ["2026-11:abc"],
        "moved_exchanges": 0, "moved_usd": "0"});
    assert_eq!(report, expected);

    let table = run(&[dir.path()], "report --by team").unwrap();
    assert!(table.contains("note: 1 exchange unpriced"), "{table}");
    assert!(table.contains("note: 1 exchange still open"), "{table}");
    let csv = run(&[dir.path()], "report --by user,outcome --format csv").unwrap();
    assert!(csv.contains("\r\n,refused,1,0,0,0,0,0,0,0,0,0,0,0,0\r\n"), "{csv}");
}

#[test]
fn periods_are_half_open_and_tags_can_be_grouped_by() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path(), "i");
    let count = |line: &str| {
        json(&[dir.path()], &format!("report --by hour {line} --format json"))["total"]["exchanges"]
            .clone()
    };
    assert_eq!(count("--from 2026-11-20 --to 2026-11-21"), 3);
    assert_eq!(count("--from 2026-11-21"), 2);
    assert_eq!(count("--to 2026-11-20"), 0);
    assert_eq!(count("--from 2026-11-20T01:00:00Z --to 2026-11-20T01:00:00.000000001Z"), 1);
    let tag = |name: &str| json(&[dir.path()], &format!("report --by tag:{name} --format json"));
    let values: Vec<Value> =
        tag("task")["rows"].as_array().unwrap().iter().map(|r| r["tag:task"].clone()).collect();
    assert_eq!(values, [Value::Null, "T-1".into()]);
    assert_eq!(tag("1")["rows"][1]["tag:1"], "one");
}

#[test]
fn bad_input_is_one_sentence_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path(), "i");
    for (line, part) in [
        ("report --by tool --format focus", "no place in FOCUS"),
        ("report --by colour", "team, user, project"),
        ("report --by team,team", "twice"),
        ("report --by team --format xml", "html, markdown or focus"),
        ("report --by team --from tomorrow", "--from"),
        ("report --by team --from 2026-11-21 --to 2026-11-21", "--to"),
        ("report --by team --data-dir /nowhere", "--data-dir \"/nowhere\""),
        ("exchanges nobody", "\"nobody\""),
        ("exchanges --format csv", "table or jsonl"),
        ("sessions nobody", "\"nobody\""),
        ("sessions --format csv", "table or json"),
    ] {
        let error = run(&[dir.path()], line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        let message = error.to_string();
        assert!(message.contains(part) && !message.contains('\n'), "{line}: {message}");
    }
}

#[test]
fn exchanges_are_listed_with_every_key() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path(), "i");
    let lines = run(&[dir.path()], "exchanges --format jsonl").unwrap();
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    let expected = serde_json::json!({
        "id": "i-1", "opened_at": "2026-11-20T00:00:00Z", "closed_at": "2026-11-20T02:00:00Z",
        "outcome": "completed", "status": 200, "model": "claude-opus-5-5-20261101",
        "team": "search", "user": null, "project": null, "session": "session-1", "agent": null,
        "streamed": true, "usage": {"cache_creation": {"ephemeral_1h_input_tokens": 5,
        "ephemeral_5m_input_tokens": 4}, "cache_creation_input_tokens": 9,
        "cache_read_input_tokens": 3, "input_tokens": 10, "output_tokens": 2},
        "usd": "1.25", "flags": [], "instance": "i", "sequence": 0});
    assert_eq!(lines[0], expected);
    assert_eq!((&lines[2]["usd"], &lines[2]["flags"][0]), (&Value::Null, &"unpriced".into()));
    let open = &lines[4];
    assert!(["closed_at", "outcome", "status", "usage", "usd"].iter().all(|k| open[*k].is_null()));
    assert_eq!(open["model"], "claude-opus-5-5");

    let ids = |line: &str| -> Vec<Value> {
        let lines = run(&[dir.path()], &format!("exchanges --format jsonl {line}")).unwrap();
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["id"].clone()).collect()
    };
    assert_eq!(ids("--team ads"), ["i-2"]);
    assert_eq!(ids("--session session-1 --limit 2"), ["i-3", "i-5"]);
    assert_eq!(ids("--outcome refused"), ["i-4"]);
    assert_eq!(ids("--model claude-opus-5-5 --from 2026-11-21T01:00:00Z"), ["i-5"]);
    let table = run(&[dir.path()], "exchanges --limit 3").unwrap();
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.lines().next_back().unwrap().contains("i-5"), "{table}");
}

#[test]
fn one_exchange_shows_all_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path(), "i");
    let page = run(&[dir.path()], "exchanges i-2").unwrap();
    for part in
        ["0.0000000055", "opened at 1, closed at 2", "1.5 s", "req_1", "\"output_tokens\":2"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let detail = json(&[dir.path()], "exchanges i-4 --format jsonl");
    assert_eq!(detail["closed_sequence"], 7);
    assert_eq!(detail["lines"], serde_json::json!([]));
    let attempts = detail["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!((&attempts[0]["id"], &attempts[1]["id"]), (&"i-1".into(), &"i-4".into()));
    assert_eq!(attempts[0]["usd"], "1.25");
}

#[test]
fn sessions_are_summed_and_shown_call_by_call() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path(), "i");
    let sessions = json(&[dir.path()], "sessions --format json");
    let expected = serde_json::json!({"sessions": [{"session": "session-1", "team": "search",
        "models": ["claude-opus-5-5-20261101", "claude-opus-5-5"],
        "first": "2026-11-20T00:00:00Z", "last": "2026-11-21T01:00:00Z", "exchanges": 4,
        "tokens": 72, "usd": "1.2500000055", "estimated_usd": "0", "notional_usd": "0", "unpriced": 1,
        "tools": {"complete": 0, "denied": 0, "failed": 0, "not_executed": 0, "hook_missing": 0,
        "output_rewritten": 0, "unverified": 0, "running": 0}, "completeness": null}]});
    assert_eq!(sessions["sessions"], expected["sessions"]);
    assert_eq!(sessions["total"]["usd"], "1.2500000055");
    // A session belongs, whole, to the period in which it was last used.
    for (period, count) in [("--to 2026-11-21", 0), ("--from 2026-11-21", 1)] {
        let some = json(&[dir.path()], &format!("sessions --format json {period}"));
        assert_eq!(some["sessions"].as_array().unwrap().len(), count, "{period}");
    }
    let one = json(&[dir.path()], "sessions session-1 --format json");
    assert_eq!(one["timeline"].as_array().unwrap().len(), 4);
    assert!(run(&[dir.path()], "sessions session-1").unwrap().contains("i-3"));
}

#[test]
fn directories_are_added_up() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    five(one.path(), "one");
    five(two.path(), "two");
    let dirs = [one.path(), two.path(), one.path()];
    let report = json(&dirs, "report --by team --format json");
    assert_eq!(report["total"]["usd"], "2.500000011");
    assert_eq!(report["rows"][1]["exchanges"], 2);
    assert_eq!(json(&dirs, "report --by instance --format json")["rows"][1]["exchanges"], 5);
    assert_eq!(run(&dirs, "exchanges --format jsonl").unwrap().lines().count(), 10);
    let newest = run(&dirs, "exchanges --format jsonl --limit 2").unwrap();
    assert!(newest.contains("one-5") && newest.contains("two-5"), "{newest}");
}

#[test]
fn a_lost_changed_or_foreign_index_is_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("index.sqlite");
    let mut log = five(dir.path(), "i");
    let report = || json(&[dir.path()], "report --by team,outcome --format json");
    let expected = report();
    fs::remove_file(&file).unwrap();
    assert_eq!(report(), expected);

    fs::write(&file, vec![b'x'; 20_000]).unwrap();
    assert_eq!(report(), expected, "not a database");

    let change = |sql: &str| {
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    };
    change("UPDATE meta SET value = '0' WHERE key = 'schema'; UPDATE exchanges SET usd_nano = 9");
    assert_eq!(report(), expected, "another version");
    change("DROP TABLE exchanges; DROP TABLE meta");
    assert_eq!(report(), expected, "empty");
    change("UPDATE meta SET value = '99' WHERE key = 'indexed_upto'; DELETE FROM exchanges");
    assert_eq!(report(), expected, "the ledger is shorter than its index");
    change(
        "UPDATE meta SET value = hex(randomblob(32)) WHERE key = 'last_leaf';
            DELETE FROM exchanges",
    );
    assert_eq!(report(), expected, "another ledger");

    // A page in the middle of the table: found while reading or while writing.
    for n in 0..500 {
        log.put(&opened(opening(&format!("more-{n}"))), DAY);
        log.put(&closed(closing(&format!("more-{n}"), Some("0.01"))), DAY);
    }
    log.flush();
    let expected = report();
    change("PRAGMA wal_checkpoint(TRUNCATE)");
    let mut bytes = fs::read(&file).unwrap();
    let length = bytes.len();
    bytes[8192 * 3..length - 8192].fill(0xee);
    fs::write(&file, bytes).unwrap();
    assert_eq!(report(), expected, "damaged pages");
}

#[test]
fn what_closes_later_and_what_lost_its_opening_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = five(dir.path(), "i");
    let total = || json(&[dir.path()], "report --by team --format json")["total"].clone();
    assert_eq!(total()["usd"], "1.2500000055");
    rows_agree(dir.path());
    log.put(&closed(closing("i-5", Some("2"))), DAY + 26 * HOUR);
    log.put(&closed(closing("pruned", Some("4"))), DAY + 26 * HOUR);
    log.flush();
    assert_eq!(
        (total()["usd"].clone(), total()["exchanges"].clone()),
        ("7.2500000055".into(), 6.into())
    );
    let lost = json(&[dir.path()], "exchanges pruned --format jsonl");
    assert_eq!((&lost["sequence"], &lost["closed_sequence"]), (&11.into(), &11.into()));
    assert_eq!(lost["opened_at"], "2026-11-21T01:59:58.5Z");
    rows_agree(dir.path());
    // Incrementally or at once: the same.
    fs::remove_file(dir.path().join("index.sqlite")).unwrap();
    assert_eq!(total()["usd"], "7.2500000055");
    rows_agree(dir.path());
}

/// The rows are those that the lines give, open ones and such without an opening too.
fn rows_agree(dir: &Path) {
    let (mut expected, mut lines) = (Expected::default(), 0);
    for line in fs::read_to_string(dir.join("segments/00000000000000000000.jsonl")).unwrap().lines()
    {
        expected.line(line.as_bytes()).unwrap();
        lines += 1;
    }
    let snapshot = Snapshot::open(dir).unwrap().unwrap();
    let totals = snapshot.totals().unwrap();
    assert_eq!(snapshot.indexed_upto, lines);
    assert_eq!((expected.rows().unwrap(), totals.is_moved), (Some(totals.rows), false));
}

#[test]
fn a_damaged_line_is_counted_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path(), "i");
    let segment = dir.path().join("segments/00000000000000000000.jsonl");
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("\"i-3\"", "\"i-3", 1)).unwrap();
    let index = Index::open_for_reading(dir.path(), &mut |_, _| ()).unwrap();
    assert_eq!(index.damaged(), 1);
    // The opening of i-3 is lost; its closing still counts, under no team.
    let report = json(&[dir.path()], "report --by team --format json");
    assert_eq!(report["total"]["exchanges"], 5);
    assert_eq!(report["total"]["unpriced"], 1);
}

#[test]
fn a_directory_that_cannot_be_written_to_is_read_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    five(dir.path(), "i");
    // Stands for a read-only directory, also where the tests run as root.
    fs::create_dir(dir.path().join("index.lock")).unwrap();
    let report = json(&[dir.path()], "report --by team --format json");
    assert_eq!(report["total"]["usd"], "1.2500000055");
    assert!(!dir.path().join("index.sqlite").exists());
}

#[test]
fn a_question_waits_for_the_process_that_builds() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = five(dir.path(), "i");
    let builder = Builder::open(dir.path()).unwrap();
    assert!(matches!(Builder::open(dir.path()), Err(IndexError::Locked)));
    let (ring, doorbell) = watch::channel(log.next);
    let follower =
        std::thread::spawn(move || follow(builder, doorbell, &AtomicU64::new(0), || false));
    let usd = || json(&[dir.path()], "report --by team --format json")["total"]["usd"].clone();
    assert_eq!(usd(), "1.2500000055");

    log.put(&closed(closing("i-5", Some("1"))), DAY + 26 * HOUR);
    log.flush();
    ring.send(log.next).unwrap();
    assert_eq!(usd(), "2.2500000055");

    // Deleted while it is in use (WAL and all): noticed, built again.
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(dir.path().join(format!("index.sqlite{suffix}")));
    }
    assert_eq!(usd(), "2.2500000055");
    drop(ring);
    follower.join().unwrap();
}

#[test]
fn an_index_locked_by_another_program_waits_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = five(dir.path(), "i");
    let mut builder = Builder::open(dir.path()).unwrap();
    builder.catch_up(None, &mut |_| ()).unwrap();
    log.put(&closed(closing("i-5", Some("1"))), DAY + 26 * HOUR);
    log.flush();
    let other = rusqlite::Connection::open(dir.path().join("index.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = builder.catch_up(None, &mut |_| ()).unwrap_err();
    assert!(matches!(error, IndexError::Sqlite(_)) && !error.is_damage(), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(builder.catch_up(None, &mut |_| ()).unwrap(), 11);
    drop(builder);
    let report = json(&[dir.path()], "report --by team --format json");
    assert_eq!(report["total"]["usd"], "2.2500000055");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is recorded, in whatever order and in however many steps it is indexed: the rows
    /// of every dimension add up to the total, and the total to what was charged.
    #[test]
    fn rows_add_up_to_the_total(
        calls in proptest::collection::vec(
            (
                0_u8..3,
                0_u8..3,
                0_u64..50,
                proptest::option::of(0_i128..10_i128.pow(20)),
                any::<bool>(),
            ),
            1..80,
        ),
        steps in 1_usize..5,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(dir.path(), "i");
        let mut charged = Money::ZERO;
        let mut waiting = Vec::new();
        for (n, (team, model, hour, atto, late)) in calls.iter().enumerate() {
            let id = format!("e{n}");
            let opening = Opening {
                team: format!("team {team}"),
                user: (*team > 0).then(|| format!("u\"{model}")),
                session: None,
                model: (*model > 0).then(|| name(&format!("m{model}"))),
                tags: BTreeMap::from([("t".to_owned(), name(&model.to_string()))]),
                ..opening(&id)
            };
            log.put(&opened(opening), DAY + hour * HOUR);
            let usd = atto.map(|atto| Money::from_atto(atto).to_string());
            charged = charged.checked_add(Money::from_atto(atto.unwrap_or(0))).unwrap();
            let closing = Closing { model: None, ..closing(&id, usd.as_deref()) };
            if *late { waiting.push(closing) } else { log.put(&closed(closing), DAY) }
            if n % (calls.len() / steps + 1) == 0 {
                log.flush();
                Builder::open(dir.path()).unwrap().catch_up(None, &mut |_| ()).unwrap();
            }
        }
        for closing in waiting {
            log.put(&closed(closing), DAY + 60 * HOUR);
        }
        log.flush();
        for by in ["team", "user", "project", "session", "agent", "model", "day", "hour", "key",
                   "outcome", "instance", "tag:t", "tag:none", "team,model,day"] {
            let report = json(&[dir.path()], &format!("report --by {by} --format json"));
            let rows = report["rows"].as_array().unwrap();
            let usd = |value: &Value| value["usd"].as_str().unwrap().parse::<Money>().unwrap();
            prop_assert_eq!(rows.iter().map(usd).sum::<Money>(), charged);
            prop_assert_eq!(usd(&report["total"]), charged);
            for figure in ["exchanges", "input_tokens", "cache_write_1h_tokens", "unpriced"] {
                let sum: u64 = rows.iter().map(|row| row[figure].as_u64().unwrap()).sum();
                prop_assert_eq!(sum, report["total"][figure].as_u64().unwrap());
            }
            prop_assert_eq!(&report["total"]["exchanges"], &Value::from(calls.len()));
        }
    }
}

/// Every exchange of a large ledger is in the report. Prints what it took, for a release build:
/// `EXCHANGES=1000000 cargo test --release --test index -- --nocapture large`.
#[test]
#[expect(clippy::disallowed_methods, reason = "measures")]
fn a_large_ledger_is_reported_whole() {
    let exchanges: u64 = std::env::var("EXCHANGES").map_or(20_000, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "0192f0aa-0000-7000-8000-000000000000");
    log.segment_lines = 100_000;
    let id = |n: u64| format!("{:08x}-{:04x}-7000-8000-0123456789ab", n >> 16, n & 0xffff);
    for n in 0..exchanges {
        let opening = Opening {
            team: format!("team-{}", n % 20),
            user: Some(format!("user-{}", n % 200)),
            session: Some(name(&id(n / 30))),
            ..opening(&id(n))
        };
        log.put(&opened(opening), DAY + n * 1_000_000);
        // Eight calls run at the same time.
        if n >= 8 {
            log.put(&closed(closing(&id(n - 8), Some("0.0123456"))), DAY + n * 1_000_000);
        }
    }
    log.flush();
    let (started, cpu) = (Instant::now(), cpu_ns());
    let mut builder = Builder::open(dir.path()).unwrap();
    builder.catch_up(None, &mut |_| ()).unwrap();
    drop(builder);
    let (took, cpu) = (started.elapsed(), cpu_ns() - cpu);
    let json = run(&[dir.path()], "report --by team --format json").unwrap();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["total"]["exchanges"], exchanges);
    println!("index {exchanges}: {took:?}, {} ns of CPU per exchange", cpu / exchanges);
    let bytes = fs::metadata(dir.path().join("index.sqlite")).unwrap().len();
    println!("file: {} bytes per exchange", bytes / exchanges);
    for line in [
        "report --by team",
        "report --by team,model,day",
        "report --format html",
        "report --format markdown",
        "report --format focus",
        "report --by session --format csv",
        "report --by session",
        "sessions",
        "exchanges",
        "exchanges --format jsonl",
    ] {
        let (started, cpu) = (Instant::now(), cpu_ns());
        run(&[dir.path()], line).unwrap();
        let (took, cpu) = (started.elapsed(), (cpu_ns() - cpu) / 1_000_000);
        println!("{line}: {took:?}, {cpu} ms of CPU, {} KiB held", held_kib());
    }
}

/// The memory this process holds, without what is mapped from files.
fn held_kib() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.trim_start_matches("RssAnon:").trim().trim_end_matches(" kB").to_owned()
}

/// What this thread has used, on a machine that others use too.
fn cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_correction_holds_for_what_stands_before_it_and_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let payer = CostCentre { team: "research".to_owned(), user: None, project: None };
    let chosen = Chosen { team: Some("search".to_owned()), ..Chosen::default() };
    let correction = Entry::Reattributed(Box::new(Reattributed {
        chosen,
        id: "c1".to_owned(),
        payer,
        reason: name("FIN-214"),
    }));
    log.put(&opened(opening("a")), DAY);
    log.put(&opened(opening("b")), DAY);
    log.put(&closed(closing("a", Some("1"))), DAY);
    log.put(&correction, DAY);
    log.put(&closed(closing("b", Some("2"))), DAY);
    log.put(&opened(opening("c")), DAY);
    log.put(&closed(closing("c", Some("4"))), DAY);
    log.put(&correction, DAY);
    log.flush();
    let report = json(&[dir.path()], "report --by team --format json");
    let rows: Vec<_> =
        report["rows"].as_array().unwrap().iter().map(|r| (&r["team"], &r["usd"])).collect();
    let (research, search) = ("research".into(), "search".into());
    assert_eq!(rows, [(&search, &"4".into()), (&research, &"3".into())]);
    assert_eq!((&report["moved_exchanges"], &report["moved_usd"]), (&2.into(), &"3".into()));
}
