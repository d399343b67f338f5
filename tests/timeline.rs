//! Sessions as timelines: what is nested where, what is missing, and that nothing counts twice.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod recorded;

use std::fs;

use recorded::agents::{SESSION, Scene, applied, session};
use recorded::{Log, closed, closing, json, name, run};
use serde_json::Value;
use weighbridge::accounting::Money;
use weighbridge::index::{Filter, Index};
use weighbridge::record::hook::HookEvent;
use weighbridge::record::{Closing, Outcome, RuleApplied};
use weighbridge::report::{Period, Sessions, TimelineBuilder};

fn usd(value: &Value) -> Money {
    value["usd"].as_str().unwrap().parse().unwrap()
}

fn sum(values: &Value) -> Money {
    values.as_array().unwrap().iter().map(usd).sum()
}

fn timeline(dir: &tempfile::TempDir) -> Value {
    json(&[dir.path()], &format!("sessions {SESSION} --format json"))
}

fn recorded_session() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    session(&mut Log::new(dir.path(), "i"));
    dir
}

const WHOLE: &str = "\
session 1130e4cf-8ca6-4058-ab4c-45485ae45be7

  team          search
  time (UTC)    2026-11-20 18:02:47 to 18:03:47, 1 min 00 s
  models        claude-opus-5-5, claude-haiku-5-5, claude-opus-5-5-20261101
  mode          default
  history       18:04:47 ended
  turns         2: 2 answered
  calls         7, 2 of them by 1 sub-agent
  tokens        144
  usd           0.102001
  tools         6: 3 complete, 1 denied, 1 hook missing, 1 unverified
  completeness  80 %: 4 of 5 tool calls accounted for
  gaps          1 × no PreToolUse, 1 × no PostToolUse

agents                                             time     tokens           usd
main agent, 5 calls                                             96      0.100001
general-purpose a771f66c248d33781, 2 calls        4.0 s         48      0.002000

turns                                              time     tokens           usd
turn 1  2026-11-20 18:02:47  answered            10.1 s         96      0.072001
├─ 18:02:47  claude-opus-5-5                      1.4 s         24      0.030001
│  ├─ Bash   complete                            412 ms            48 B → 1.2 kB
│  ├─ Write  denied by rule tools_denied (org)                     48 B → 1.2 kB
│  └─ Agent  complete                             4.1 s            48 B → 1.2 kB
│     └─ general-purpose a771f66c248d33781        4.0 s         48      0.002000
│        ├─ 18:02:50  claude-haiku-5-5            1.4 s         24      0.001100
│        │  └─ Grep  complete                     95 ms            48 B → 1.2 kB
│        └─ 18:02:52  claude-haiku-5-5            1.4 s         24      0.000900
└─ 18:02:54  claude-opus-5-5                      1.4 s         24      0.040000

turn 2  2026-11-20 18:03:43  answered             4.2 s         48      0.030000
├─ 18:03:43  claude-opus-5-5                      1.4 s         24      0.010000
│  └─ mcp__github__create_issue  hook missing: no PreToolUse, no   48 B → 1.2 kB
│        PostToolUse
└─ 18:03:45  claude-opus-5-5                      1.4 s         24      0.020000

beside the turns                                                 0      0.000000
└─ 18:03:42  claude-opus-5-5-20261101             1.5 s          0      0.000000

unverified: hooks speak of these tool calls, the traffic does not
  18:03:47  Bash  done

ids of calls and tools are shown from 110 columns on, and in JSON
";

#[test]
fn a_person_sees_what_happened() {
    let dir = recorded_session();
    let index = Index::open_for_reading(dir.path(), &mut |_, _| ()).unwrap();
    let mut sessions = Sessions::default();
    index.sessions(&Filter::default(), &mut sessions).unwrap();
    let session = sessions.recent(&Period::default(), 1).remove(0);
    let mut builder = TimelineBuilder::new(session, u64::MAX);
    index.session_exchanges(SESSION, u64::MAX, &mut builder).unwrap();
    index.session_tools(SESSION, &mut builder).unwrap();
    let text = builder.finish().unwrap().text(80);
    assert_eq!(text, WHOLE, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    // With room for it, the ids that other commands take stand behind each line.
    let wide = run(&[dir.path()], &format!("sessions {SESSION}")).unwrap();
    let bash = wide.lines().find(|line| line.contains(" Bash   complete")).unwrap();
    assert!(bash.ends_with("  toolu_01bash"), "{wide}");
    assert!(wide.lines().all(|line| line.chars().count() <= 120), "{wide}");
}

#[test]
fn turns_agents_and_exchanges_add_up_to_the_same() {
    let shown = timeline(&recorded_session());
    let whole: Money = "0.102000700000000001".parse().unwrap();
    assert_eq!(usd(&shown), whole);
    for part in ["turns", "agents"] {
        assert_eq!(sum(&shown[part]), whole, "{part}");
        let calls = shown[part].as_array().unwrap().iter().map(|one| one["exchanges"].as_u64());
        assert_eq!(calls.map(Option::unwrap).sum::<u64>(), 7, "{part}");
    }
    let billed = |calls: &Value| {
        let calls = calls.as_array().unwrap().iter().filter(|call| !call["usd"].is_null());
        calls.map(usd).sum::<Money>()
    };
    assert_eq!(billed(&shown["timeline"]), whole);
    for turn in shown["turns"].as_array().unwrap() {
        assert_eq!(billed(&turn["calls"]), usd(turn));
    }
    let turns: Vec<&Value> =
        shown["turns"].as_array().unwrap().iter().map(|turn| &turn["outcome"]).collect();
    assert_eq!(turns, [&Value::from("answered"), &"answered".into(), &Value::Null]);
}

#[test]
fn tools_have_their_state_and_their_agent() {
    let shown = timeline(&recorded_session());
    let tools = &shown["turns"][0]["calls"][0]["tools"];
    let states: Vec<&Value> = tools.as_array().unwrap().iter().map(|tool| &tool["state"]).collect();
    assert_eq!(states, ["complete", "denied", "complete"]);
    let denied = &tools[1];
    assert_eq!(
        (&denied["denied_by"], &denied["rule"]),
        (&"rule".into(), &"tools_denied (org)".into())
    );
    assert_eq!(tools[2]["starts_agent"], "a771f66c248d33781");
    let agent = &shown["agents"][1];
    assert_eq!(
        (&agent["agent_type"], &agent["parent"], &agent["usd"]),
        (&"general-purpose".into(), &Value::Null, &"0.002".into())
    );
    let unseen = &shown["turns"][1]["calls"][0]["tools"][0];
    assert_eq!(
        (&unseen["state"], &unseen["mcp_server"]),
        (&"hook_missing".into(), &"github".into())
    );
    assert_eq!(unseen["gaps"], serde_json::json!(["no PreToolUse", "no PostToolUse"]));
    assert_eq!(shown["unverified"][0]["id"], "toolu_forged");
    assert_eq!(shown["completeness"], 80);
    assert_eq!(shown["tools"]["complete"], 3);
    let list = json(&[recorded_session().path()], "sessions --format json");
    let listed = &list["sessions"][0];
    assert_eq!((&listed["tools"], &listed["completeness"]), (&shown["tools"], &80.into()));
}

#[test]
fn an_exchange_shows_its_tools() {
    let dir = recorded_session();
    let detail = |id: &str| json(&[dir.path()], &format!("exchanges {id} --format jsonl"));
    let ids = |tools: &Value| -> Vec<String> {
        let tools = tools.as_array().unwrap().iter();
        tools.map(|tool| format!("{} {}", tool["tool"], tool["state"]).replace('"', "")).collect()
    };
    let three = ["Bash complete", "Write denied", "Agent complete"];
    let first = detail("01a2046c-c8f8-77e2-97cd-56c1b2499961");
    assert_eq!(
        (ids(&first["tools_asked"]), ids(&first["tools_carried"])),
        (three.map(str::to_owned).to_vec(), vec![])
    );
    let last = detail("01a2046c-c8f8-77e2-97cd-56c1b2499964");
    assert_eq!(ids(&last["tools_carried"]), three);
    let page = run(&[dir.path()], "exchanges 01a2046c-c8f8-77e2-97cd-56c1b2499964").unwrap();
    assert!(page.contains("toolu_02write  Write  denied by rule tools_denied (org)"), "{page}");
}

/// Every entry about tools and hooks a second time, under the same ids: what a replay, a resent
/// request and an index that is built again look like.
#[test]
fn what_is_seen_again_counts_once() {
    let dir = recorded_session();
    let once = timeline(&dir);
    fs::remove_file(dir.path().join("index.sqlite")).unwrap();
    assert_eq!(timeline(&dir), once);

    let again = tempfile::tempdir().unwrap();
    let mut log = Log::new(again.path(), "i");
    session(&mut log);
    let mut scene = Scene::new(&mut log, Some(SESSION));
    // The same digests, ids and results as before, later.
    scene.wait(200_000).told("UserPromptSubmit");
    scene.run(None, ("toolu_01bash", "Bash"), 999);
    scene.give_back("01a2046c-c8f8-77e2-97cd-56c1b2499967", None, &[("toolu_05issue", true)]);
    scene.log.flush();
    assert_eq!(timeline(&again), once);
    let hooks = |dir: &tempfile::TempDir| -> i64 {
        let index = rusqlite::Connection::open(dir.path().join("index.sqlite")).unwrap();
        index.query_row("SELECT count(*) FROM hooks", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(hooks(&again), hooks(&dir));
}

#[test]
fn sightings_may_come_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let mut scene = Scene::new(&mut log, Some(SESSION));
    scene.open("a", None, "m");
    let mut orders = vec![vec![]];
    for _ in 0..5 {
        let longer = |order: &Vec<usize>| {
            let missing = (0..5).filter(|side| !order.contains(side));
            missing.map(|side| [order.as_slice(), &[side]].concat()).collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    assert_eq!(orders.len(), 120);
    for (n, order) in orders.iter().enumerate() {
        let id = format!("toolu_{n}");
        let tool = (id.as_str(), "Bash");
        for side in order {
            // A hook that names another tool and agent does not win over the traffic.
            let other = (id.as_str(), "Other");
            match side {
                0 => scene.ask("a", None, &[tool]),
                1 => {
                    let hook = scene.tool("PreToolUse", Some("x"), other);
                    scene.hook(hook)
                }
                2 => {
                    let hook = scene.tool("PostToolUse", Some("x"), other);
                    scene.hook(hook)
                }
                3 => scene.batch(Some("x"), &[&id]),
                _ => scene.give_back("a", None, &[(&id, false)]),
            };
            scene.wait(1);
        }
    }
    scene.close("a", "m", "end_turn", "1");
    scene.log.flush();
    let shown = timeline(&dir);
    let tools = shown["turns"][0]["calls"][0]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 120);
    for tool in tools {
        assert_eq!(
            (&tool["state"], &tool["tool"], &tool["agent"]),
            (&"complete".into(), &"Bash".into(), &Value::Null)
        );
        assert_eq!(tool["gaps"], serde_json::json!([]), "{tool}");
    }
}

#[test]
fn a_session_that_only_hooks_speak_of_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let mut scene = Scene::new(&mut log, Some(SESSION));
    scene.told("UserPromptSubmit").run(None, ("toolu_1", "Bash"), 5);
    let denied = HookEvent {
        event: name("PermissionDenied"),
        ..scene.tool("PermissionDenied", None, ("toolu_2", "Write"))
    };
    scene.hook(denied).told("Stop").told("SessionEnd");
    scene.log.flush();
    let shown = timeline(&dir);
    assert_eq!((&shown["exchanges"], &shown["tools"]["unverified"]), (&0.into(), &2.into()));
    assert!(shown["completeness"].is_null());
    let text = run(&[dir.path()], &format!("sessions {SESSION}")).unwrap();
    assert!(text.contains("Write  denied") && text.contains("completeness  –"), "{text}");
    let list = run(&[dir.path()], "sessions").unwrap();
    assert!(list.contains(SESSION), "{list}");
}

#[test]
fn starts_compactions_and_ends_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let mut scene = Scene::new(&mut log, Some(SESSION));
    for (event, reason) in [
        ("SessionStart", Some("startup")),
        ("PostCompact", Some("auto")),
        ("SessionEnd", None),
        ("SessionStart", Some("resume")),
    ] {
        let hook = HookEvent { reason: reason.map(name), ..scene.event(event) };
        scene.hook(hook).wait(60_000);
    }
    scene.log.flush();
    let text = run(&[dir.path()], &format!("sessions {SESSION}")).unwrap();
    // The clock of the scene goes on by a minute each; the line is wrapped.
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = "18:02:47 startup, 18:03:47 compacted (auto), 18:04:47 ended, 18:05:47 resume";
    assert!(words.contains(told), "{text}");
    let shown = timeline(&dir);
    let history: Vec<_> = shown["history"].as_array().unwrap().iter().collect();
    assert_eq!(history.len(), 4);
    assert_eq!(
        (&history[3]["event"], &history[3]["reason"]),
        (&"SessionStart".into(), &"resume".into())
    );
}

#[test]
fn what_fails_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    let mut scene = Scene::new(&mut log, Some(SESSION));
    scene.open("a", None, "m");
    let closing = |id: &str, outcome, status| Closing {
        charge: None,
        model: None,
        outcome,
        status: Some(status),
        error_type: Some(name("overloaded_error")),
        ..closing(id, Some("0"))
    };
    let refused = Closing { error_type: None, ..closing("b", Outcome::Refused, 403) };
    scene.put(&closed(closing("a", Outcome::Completed, 529))).open("b", None, "m");
    scene.put_rule(RuleApplied { exchange: Some("b".to_owned()), ..applied() });
    scene.put(&closed(refused)).open("c", None, "m").log.flush();
    let text = run(&[dir.path()], &format!("sessions {SESSION}")).unwrap();
    let calls: Vec<&str> = text.lines().filter(|line| line.contains("─ 18:")).collect();
    assert!(calls[0].contains("  529 overloaded_error"), "{text}");
    assert!(calls[1].contains("  refused 403: tools_denied (org)"), "{text}");
    assert!(calls[2].contains("  open"), "{text}");
    let page = run(&[dir.path()], "exchanges b").unwrap();
    assert!(page.contains("refused by tools_denied (org), rules abc"), "{page}");
}

#[test]
fn what_is_too_much_is_left_out_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path(), "i");
    log.segment_lines = 1_000;
    let mut scene = Scene::new(&mut log, Some(SESSION));
    for n in 0..10_005 {
        let id = format!("e{n}");
        scene.open(&id, None, "m").wait(1).close(&id, "m", "end_turn", "0.5");
    }
    scene.log.flush();
    let shown = timeline(&dir);
    assert_eq!(shown["timeline"].as_array().unwrap().len(), 10_000);
    assert_eq!(shown["timeline"][0]["id"], "e5");
    let left = &shown["left_out"];
    assert_eq!(
        (&left["turns"], &left["calls"], &left["usd"]),
        (&5.into(), &5.into(), &"2.5".into())
    );
    assert_eq!(sum(&shown["turns"]), "5000".parse().unwrap());
    assert_eq!((&shown["usd"], &shown["turns"][0]["number"]), (&"5002.5".into(), &6.into()));
    let text = run(&[dir.path()], &format!("sessions {SESSION}")).unwrap();
    assert!(text.contains("5 earlier turns are not listed, together 2.5000 USD"));
    assert!(text.contains("not listed: 5 calls; the sums hold them"));
}
