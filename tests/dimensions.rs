//! Cost by tool, MCP server, skill, turn and agent: how it is divided, and that nothing is lost.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod recorded;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use proptest::prelude::*;
use recorded::agents::Scene;
use recorded::{Log, closed, closing, json, name, opened, opening, run};
use serde_json::Value;
use weighbridge::accounting::Money;
use weighbridge::index::{Builder, Index};
use weighbridge::record::hook::HookEvent;
use weighbridge::record::{Closing, Opening};

const FIGURES: [&str; 7] = [
    "exchanges",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "unpriced",
];

/// The rows of a report: the values of its dimensions and the amount.
fn rows(dir: &tempfile::TempDir, by: &str) -> BTreeMap<Vec<Option<String>>, String> {
    rows_of(dir, by, "")
}

fn rows_of(
    dir: &tempfile::TempDir,
    by: &str,
    period: &str,
) -> BTreeMap<Vec<Option<String>>, String> {
    let report = json(&[dir.path()], &format!("report --by {by} --format json{period}"));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let values = |row: &Value| by.split(',').map(|by| text(&row[by])).collect();
    let rows = report["rows"].as_array().unwrap().iter();
    rows.map(|row| (values(row), text(&row["usd"]).unwrap())).collect()
}

fn of<const N: usize>(rows: [(&[Option<&str>], &str); N]) -> BTreeMap<Vec<Option<String>>, String> {
    let own = |values: &[Option<&str>]| values.iter().map(|v| v.map(str::to_owned)).collect();
    rows.into_iter().map(|(values, usd)| (own(values), usd.to_owned())).collect()
}

#[test]
fn an_exchange_is_divided_among_the_results_it_carries() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let mut s = Scene::new(&mut log, Some("s"));
    let tools = [("t1", "Read"), ("t2", "mcp__db__query"), ("t3", "Read"), ("t4", "mcp__db__list")];
    s.open("a", None, "m").wait(1).ask("a", None, &tools).close("a", "m", "tool_use", "1");
    s.open("b", None, "m");
    // Sent twice in one request, and once more by the attempt that comes after: no more parts.
    let four = tools.map(|(id, _)| (id, false));
    s.give_back("b", None, &four).give_back("b", None, &four[..2]);
    s.close("b", "m", "error", "0");
    let session = Some(name("s"));
    let again = Opening { attempt: 2, call: "b".to_owned(), session, ..opening("c") };
    s.put(&opened(again)).close("c", "m", "end_turn", "0.000000000000000006");
    s.log.flush();
    // Four parts of 1 and a rest of 2, which is the first one's.
    let by_tool: [(&[_], _); 4] = [
        (&[None], "1"),
        (&[Some("Read")], "0.000000000000000004"),
        (&[Some("mcp__db__list")], "0.000000000000000001"),
        (&[Some("mcp__db__query")], "0.000000000000000001"),
    ];
    assert_eq!(rows(&dir, "tool"), of(by_tool));
    let by_server: [(&[_], _); 2] =
        [(&[None], "1.000000000000000004"), (&[Some("db")], "0.000000000000000002")];
    assert_eq!(rows(&dir, "mcp_server"), of(by_server));
    // Together, a row is one tool with its own server.
    let both = rows(&dir, "tool,mcp_server");
    assert!(both.keys().all(|row| (row[1].as_deref() == Some("db"))
        == row[0].as_deref().is_some_and(|tool| tool.starts_with("mcp__db__"))));
    let table = run(&[dir.path()], "report --by tool").unwrap();
    assert!(table.contains("note: an exchange counts for the tools whose results"), "{table}");
    for format in ["html", "markdown"] {
        let page = run(&[dir.path()], &format!("report --by tool --format {format}")).unwrap();
        assert!(page.contains("An exchange counts for the tools whose results"), "{page}");
    }
    let csv = run(&[dir.path()], "report --by turn --format csv").unwrap();
    assert!(csv.starts_with("session,turn,exchanges,"), "{csv}");
}

#[test]
fn a_server_is_the_one_that_a_hook_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let mut s = Scene::new(&mut log, Some("s"));
    let tool = ("t", "mcp__my__db__query");
    s.open("a", None, "m").ask("a", None, &[tool]).close("a", "m", "tool_use", "1");
    let hook = HookEvent { server: Some(name("my.db")), ..s.tool("PreToolUse", None, tool) };
    s.hook(hook).open("b", None, "m").give_back("b", None, &[("t", false)]);
    s.close("b", "m", "end_turn", "2").log.flush();
    let by_server: [(&[_], _); 2] = [(&[None], "1"), (&[Some("my.db")], "2")];
    assert_eq!(rows(&dir, "mcp_server"), of(by_server));
}

#[test]
fn a_skill_counts_until_its_turn_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let mut s = Scene::new(&mut log, Some("s"));
    let (one, two, bad) = (("1", "Skill"), ("2", "Skill"), ("3", "Skill"));
    s.open("a", None, "m").ask("a", None, &[one]).close("a", "m", "tool_use", "1");
    s.open("b", None, "m").give_back("b", None, &[("1", false)]);
    s.ask("b", None, &[bad, ("4", "Bash")]).close("b", "m", "tool_use", "10");
    // A sub-agent has none of it; a skill that could not be started is none.
    s.open("x", Some("sub"), "m").close("x", "m", "end_turn", "100");
    s.wait(1_500).open("c", None, "m").give_back("c", None, &[("3", true), ("4", false)]);
    s.ask("c", None, &[two]).close("c", "m", "tool_use", "1000");
    s.open("d", None, "m").give_back("d", None, &[("2", false)]);
    s.close("d", "m", "end_turn", "10000");
    s.open("e", None, "m").close("e", "m", "end_turn", "100000").log.flush();
    let by_skill: [(&[_], _); 3] =
        [(&[None], "100101"), (&[Some("skill-of-1")], "1010"), (&[Some("skill-of-2")], "10000")];
    assert_eq!(rows(&dir, "skill"), of(by_skill));
    let by_turn: [(&[_], _); 2] =
        [(&[Some("s"), Some("a")], "11111"), (&[Some("s"), Some("e")], "100000")];
    assert_eq!(rows(&dir, "session,turn"), of(by_turn));
    // What was before the period is known in it: a turn's first exchange, a skill's start.
    let late = " --from 2026-11-20T18:02:48Z";
    let by_skill: [(&[_], _); 3] =
        [(&[None], "100000"), (&[Some("skill-of-1")], "1000"), (&[Some("skill-of-2")], "10000")];
    assert_eq!(rows_of(&dir, "skill", late), of(by_skill));
    let by_turn: [(&[_], _); 2] = [(&[Some("a")], "11000"), (&[Some("e")], "100000")];
    assert_eq!(rows_of(&dir, "turn", late), of(by_turn));
}

/// One step of a random ledger.
#[derive(Clone, Debug)]
struct Step {
    session: usize,
    agent: usize,
    /// Atto-dollars; absent where there is no price.
    usd: Option<i128>,
    /// The tools that it asks for.
    tools: Vec<usize>,
    /// What is told by a hook before it, and after it.
    hooks: (usize, usize),
    /// A further attempt of the call before.
    again: bool,
    /// It closes at the end.
    late: bool,
}

const TOOLS: [&str; 5] = ["Bash", "Skill", "mcp__db__query", "mcp__web__get", "Agent"];
const SESSIONS: [Option<&str>; 3] = [None, Some("s1"), Some("s2")];
const AGENTS: [Option<&str>; 3] = [None, Some("x"), Some("y")];
const HOOKS: [&str; 6] =
    ["", "UserPromptSubmit", "Stop", "SessionEnd", "StopFailure", "SubagentStart"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        (0..SESSIONS.len(), 0..AGENTS.len()),
        proptest::option::of(0_i128..10_i128.pow(20)),
        proptest::collection::vec(0..TOOLS.len(), 0..4),
        (0..HOOKS.len(), 0..HOOKS.len()),
        (any::<bool>(), any::<bool>()),
    );
    let made = step.prop_map(|((session, agent), usd, tools, hooks, (again, late))| Step {
        session,
        agent,
        usd,
        tools,
        hooks,
        again,
        late: late && again,
    });
    proptest::collection::vec(made, 1..40)
}

/// Writes the ledger; gives back what it cost.
fn write(log: &mut Log, steps: &[Step]) -> Money {
    let mut charged = Money::ZERO;
    let mut waiting: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    let mut calls: BTreeMap<(usize, usize), String> = BTreeMap::new();
    let mut late = Vec::new();
    let mut s = Scene::new(log, None);
    for (n, step) in steps.iter().enumerate() {
        let (id, place) = (format!("e{n}"), (step.session, step.agent));
        s.session = SESSIONS[step.session];
        let agent = AGENTS[step.agent];
        let hook = |s: &mut Scene<'_>, event: usize| {
            if event > 0 {
                let event = HOOKS[event];
                let told = (event == "SubagentStart").then_some(agent).flatten();
                let kind = told.map(|_| name(&format!("kind-{n}")));
                let hook = HookEvent { agent: told.map(name), agent_type: kind, ..s.event(event) };
                s.hook(hook);
            }
        };
        hook(&mut s, step.hooks.0);
        let before = calls.get(&place).cloned().filter(|_| step.again);
        let opening = Opening {
            agent: agent.map(name),
            attempt: 1 + u32::from(before.is_some()),
            call: before.clone().unwrap_or_else(|| id.clone()),
            session: s.session.map(name),
            ..opening(&id)
        };
        calls.insert(place, opening.call.clone());
        s.wait(1_000).put(&opened(opening));
        let results = waiting.insert(place, Vec::new()).unwrap_or_default();
        let results: Vec<(&str, bool)> =
            results.iter().map(|id| (&**id, id.len() % 2 == 0)).collect();
        if !results.is_empty() && before.is_none() {
            s.give_back(&id, agent, &results);
        }
        let ids: Vec<String> = (0..step.tools.len()).map(|t| format!("t{n}-{t}")).collect();
        let asked: Vec<(&str, &str)> =
            ids.iter().map(String::as_str).zip(step.tools.iter().map(|t| TOOLS[*t])).collect();
        if !asked.is_empty() {
            s.ask(&id, agent, &asked);
        }
        let usd = step.usd.map(Money::from_atto);
        charged = charged.checked_add(usd.unwrap_or(Money::ZERO)).unwrap();
        let reason = name(if asked.is_empty() { "end_turn" } else { "tool_use" });
        let usd = usd.map(|usd| usd.to_string());
        let closing = Closing { stop_reason: Some(reason), ..closing(&id, usd.as_deref()) };
        waiting.insert(place, ids);
        if step.late {
            late.push(closing);
        } else {
            s.put(&closed(closing));
        }
        hook(&mut s, step.hooks.1);
    }
    for closing in late {
        s.put(&closed(closing));
    }
    s.log.flush();
    charged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever was called by whom: the rows of every dimension add up to the total and to what
    /// was charged, and so do the turns and agents of each session.
    #[test]
    fn nothing_is_lost_in_any_dimension(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let charged = write(&mut Log::new(dir.path(), "i"), &steps);
        let usd = |value: &Value| value["usd"].as_str().unwrap().parse::<Money>().unwrap();
        let sum = |rows: &Value| rows.as_array().unwrap().iter().map(usd).sum::<Money>();
        let mut total = None;
        for by in ["team", "tool", "mcp_server", "skill", "turn", "agent", "agent_type",
                   "tool,mcp_server", "turn,skill,tool,agent", "session,tool", "skill,agent_type"] {
            let report = json(&[dir.path()], &format!("report --by {by} --format json"));
            prop_assert_eq!(sum(&report["rows"]), charged, "{}", by);
            prop_assert_eq!(report["total"].clone(), total.get_or_insert(report["total"].clone()).clone());
            for figure in FIGURES {
                let rows = report["rows"].as_array().unwrap().iter();
                let sum: u64 = rows.map(|row| row[figure].as_u64().unwrap()).sum();
                prop_assert_eq!(sum, report["total"][figure].as_u64().unwrap(), "{} {}", by, figure);
            }
        }
        let list = json(&[dir.path()], "sessions --format json");
        prop_assert_eq!(sum(&list["sessions"]), usd(&list["total"]));
        for session in list["sessions"].as_array().unwrap() {
            let id = session["session"].as_str().unwrap();
            let shown = json(&[dir.path()], &format!("sessions {id} --format json"));
            prop_assert_eq!(sum(&shown["turns"]), usd(session));
            prop_assert_eq!(sum(&shown["agents"]), usd(session));
            prop_assert_eq!(&shown["tools"], &session["tools"]);
            let calls = shown["turns"].as_array().unwrap().iter()
                .flat_map(|turn| turn["calls"].as_array().unwrap());
            let ids: Vec<&str> = calls.map(|call| call["id"].as_str().unwrap()).collect();
            let distinct: BTreeSet<&&str> = ids.iter().collect();
            prop_assert_eq!(distinct.len(), ids.len());
            prop_assert_eq!(ids.len() as u64, session["exchanges"].as_u64().unwrap());
            // The turns of the timeline are those of the report.
            let by_turn = rows(&dir, "session,turn");
            for turn in shown["turns"].as_array().unwrap() {
                let key = vec![Some(id.to_owned()), turn["turn"].as_str().map(str::to_owned)];
                prop_assert_eq!(&by_turn[&key], turn["usd"].as_str().unwrap());
            }
            run(&[dir.path()], &format!("sessions {id}")).unwrap();
        }
        let before = rows(&dir, "turn,skill,tool");
        Index::open_for_reading(dir.path(), &mut |_, _| ()).unwrap().discard().unwrap();
        prop_assert_eq!(rows(&dir, "turn,skill,tool"), before, "built again");
    }
}

/// Every result of a large ledger is somebody's. Prints what it took, for a release build:
/// `EXCHANGES=100000 cargo test --release --test dimensions -- --nocapture large`.
#[test]
#[expect(clippy::disallowed_methods, reason = "measures")]
fn a_large_ledger_is_divided_whole() {
    let exchanges: usize = std::env::var("EXCHANGES").map_or(1_000, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    log.segment_lines = 100_000;
    let mut s = Scene::new(&mut log, Some("s"));
    for n in 0..exchanges {
        let [id, tool, before] = [format!("e{n}"), format!("t{n}"), format!("t{}", n.max(1) - 1)];
        s.open(&id, None, "m");
        if n > 0 {
            s.give_back(&id, None, &[(&before, false)]);
        }
        s.ask(&id, None, &[(&tool, "Bash")]).close(&id, "m", "tool_use", "0.5");
        s.wait(10).run(None, (&tool, "Bash"), 5).batch(None, &[&tool]);
    }
    s.log.flush();
    let entries = s.log.next;
    let started = Instant::now();
    let mut builder = Builder::open(dir.path()).unwrap();
    builder.catch_up(None, &mut |_| ()).unwrap();
    drop(builder);
    println!("index {entries} entries of {exchanges} exchanges: {:?}", started.elapsed());
    let bytes = std::fs::metadata(dir.path().join("index.sqlite")).unwrap().len();
    println!("file: {} bytes per exchange and tool call", bytes / exchanges as u64);
    for by in ["team", "agent_type", "tool", "mcp_server", "turn", "skill"] {
        let started = Instant::now();
        let report = rows(&dir, by);
        println!("report --by {by}: {:?}", started.elapsed());
        if by == "tool" {
            let usd = Money::from_nano(500_000_000, 0);
            let carried: Money = (1..exchanges).map(|_| usd).sum();
            assert_eq!(report[&vec![Some("Bash".to_owned())]], carried.to_string());
        }
    }
    for line in ["sessions", "sessions s", "exchanges e9"] {
        let started = Instant::now();
        run(&[dir.path()], line).unwrap();
        println!("{line}: {:?}", started.elapsed());
    }
}
