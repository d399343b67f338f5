//! Prices through the program: the conformance file, bad input, the working shown to people.
#![cfg(test)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use serde_json::{Value, json};
use weighbridge::accounting::price_book::PriceBook;
use weighbridge::accounting::{Call, Flag, Usage};
use weighbridge::anthropic::UsageMerge;

fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
    command.env_clear().args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // The program answers while it reads: neither may wait for the other.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a run that must succeed.
fn said(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Exit code and standard error of a run that must fail.
fn refused(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let output = run(arguments, input);
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
    (output.status.code(), text(&output.stderr))
}

fn answers(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_conformance_case_is_exact_to_the_last_digit() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pricing");
    let questions = fs::read_to_string(path.join("conformance.jsonl")).unwrap();
    let answers = answers(&said(&["price", "--batch"], &questions));
    let questions: Vec<Value> =
        questions.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((answers.len(), questions.len()), (139, 139));
    for (question, answer) in questions.iter().zip(&answers) {
        let (id, expect) = (&question["id"], &question["expect"]);
        assert_eq!(&answer["id"], id);
        assert_eq!(answer["usd"], expect["usd"], "{id}");
        assert_eq!(answer.get("usd_max"), expect.get("usd_max"), "{id}");
        let mut flags: Vec<&str> =
            answer["flags"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        flags.sort_unstable();
        assert_eq!(json!(flags), expect["flags"], "{id}");
        assert!(answer["pricing_version"].as_str().unwrap().contains('+'), "{id}");
        let lines = answer["lines"].as_array().unwrap();
        let parsed = |usd: &Value| usd.as_str().unwrap().parse().unwrap();
        let sum: weighbridge::accounting::Money = lines.iter().map(|l| parsed(&l["usd"])).sum();
        if !answer["usd"].is_null() {
            assert_eq!(sum, parsed(&answer["usd"]), "{id}");
        }
        assert!(lines.iter().all(|line| line["model"].is_string()), "{id}");
    }
}

#[test]
fn a_line_that_is_no_question_is_answered_and_the_others_are_priced() {
    let good = r#"{"id":7,"model":"claude-opus-5-5","date":"2026-11-20","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let bad = [
        ("{", "not JSON"),
        ("[]", "one JSON object a line"),
        (r#"{"id":1,"usage":{}}"#, "name the model"),
        (r#"{"id":2,"model":"m"}"#, "\"usage\" object"),
        (r#"{"id":3,"model":"m","usage":{},"date":"2026-02-30"}"#, "is no day"),
        (r#"{"id":4,"model":"m","usage":{},"context":{"org_discount":"7%"}}"#, "org_discount"),
        (r#"{"id":5,"model":"m","usage":{},"context":{"batch_result":"lost"}}"#, "batch_result"),
        (r#"{"id":6,"model":"m","events":{}}"#, "events"),
        (
            r#"{"id":8,"model":"m","usage":{},"context":{"http_error":200}}"#,
            "context.http_error 200",
        ),
        (r#"{"id":8,"model":"m","usage":{},"context":{"http_error":-1}}"#, "context.http_error -1"),
        (r#"{"id":8,"model":"m","usage":{},"context":{"http_error":[]}}"#, "context.http_error []"),
        (r#"{"id":8,"model":"m","usage":{},"context":{"http_error":true}}"#, "400 to 599"),
        (
            r#"{"id":8,"model":"m","usage":{},"context":{"code_execution_free":-1}}"#,
            "context.code_execution_free -1",
        ),
        (
            r#"{"id":8,"model":"m","usage":{},"at":"2026-11-20T01:00:00+02:00","date":"2026-11-20"}"#,
            "two days",
        ),
        (r#"{"id":9,"model":"m","usage":{}"#, "not JSON"),
    ];
    let input: Vec<&str> = bad.iter().map(|(line, _)| *line).chain([good, ""]).collect();
    let output = run(&["price", "--batch"], &input.join("\n"));
    let answers = answers(&text(&output.stdout));
    assert_eq!((output.status.code(), answers.len()), (Some(2), bad.len() + 1));
    assert!(text(&output.stderr).contains("15 of 16 lines"), "{}", text(&output.stderr));
    for (place, ((line, problem), answer)) in bad.iter().zip(&answers).enumerate() {
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(problem) && answer["usd"].is_null(), "{line}: {error}");
        assert!(error.starts_with(&format!("line {}: ", place + 1)), "{error}");
        assert_eq!(answer["flags"], json!(["unpriced"]));
        assert_eq!(answer.get("id").is_some(), line.contains("\"id\""), "{line}");
    }
    let last = answers.last().unwrap();
    assert_eq!(
        (&last["id"], &last["usd"], last.get("error")),
        (&json!(7), &json!("0.000024"), None)
    );
}

#[test]
fn events_that_end_early_are_partial() {
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":3}}}"#;
    let interim =
        r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":5}}"#;
    let last = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#;
    let short = r#"{"type":"message_delta","usage":{"output_tokens":7}}"#;
    let (stop, error) = (r#"{"type":"message_stop"}"#, r#"{"type":"error","error":{}}"#);
    for (events, partial) in [
        (vec![start], true),
        (vec![start, error], true),
        (vec![start, stop], true),
        (vec![start, interim], true),
        (vec![start, short, error], true),
        (vec![start, interim, last], false),
        (vec![start, last, error], false),
        (vec![start, interim, stop], false),
        (vec![start, short], false),
    ] {
        let question = format!(
            r#"{{"model":"claude-opus-5-5","date":"2026-11-20","events":[{}]}}"#,
            events.join(",")
        );
        let answer = answers(&said(&["price", "--batch"], &question)).remove(0);
        let expected = if partial { json!(["partial"]) } else { json!([]) };
        assert_eq!(answer["flags"], expected, "{question}");
        assert!(answer["usd"].is_string());
    }
}

#[test]
fn what_programs_write_by_habit_does_not_hide_a_question() {
    let marked = "\u{feff}{\"id\":1,\"model\":\"claude-opus-5-5\",\"usage\":{\"input_tokens\":1e400,\"output_tokens\":1}}";
    let answer = answers(&said(&["price", "--batch"], marked)).remove(0);
    assert_eq!((&answer["id"], &answer["flags"]), (&json!(1), &json!(["usage_anomaly"])));
    let vertex = r#"{"model":"claude-opus-5-5@default","date":"2026-11-20","context":{"endpoint":"regional"},
        "usage":{"input_tokens":1000000,"output_tokens":0}}"#
        .replace('\n', "");
    let answer = answers(&said(&["price", "--batch"], &vertex)).remove(0);
    assert_eq!(answer["usd"], "4.4", "{answer}");
}

#[test]
fn a_moment_is_flagged_on_the_day_of_a_change_and_a_day_is_not() {
    let ask = |when: &str| {
        let question = format!(
            r#"{{"model":"claude-sonnet-5-5",{when},"usage":{{"input_tokens":1,"output_tokens":1,"cache_read_input_tokens":9}}}}"#
        );
        answers(&said(&["price", "--batch"], &question))[0]["flags"].clone()
    };
    assert_eq!(ask(r#""date":"2026-10-07""#), json!([]));
    assert_eq!(ask(r#""at":"2026-10-07T12:00:00Z""#), json!(["price_boundary_day"]));
    // 23:30 west of Greenwich is the day after in UTC.
    assert_eq!(ask(r#""at":"2026-10-06T23:30:00-07:00""#), json!(["price_boundary_day"]));
    assert_eq!(ask(r#""at":"2026-10-08T00:00:00Z""#), json!([]));
}

#[test]
fn the_working_can_be_read() {
    let advised = r#"{"input_tokens":412,"output_tokens":264,"iterations":[
        {"type":"message","input_tokens":412,"output_tokens":264},
        {"type":"advisor_message","model":"claude-fable-5-2","input_tokens":4250,"output_tokens":380}]}"#;
    let arguments = ["price", "--model", "claude-opus-5-5", "--at", "2026-11-20", "--explain"];
    let shown = said(&arguments, advised);
    for part in [
        "Advisor: claude-fable-5-2",
        "4,250 tokens × 8.00 per million   = 0.034\n",
        "Total                                                  0.056128\n",
        "claude-fable-5-2, price since 2026-11-09",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    let long = r#"{"input_tokens":60001,"output_tokens":5000,"cache_read_input_tokens":50000}"#;
    let shown = said(&["price", "--model", "claude-haiku-5-5", "--explain"], long);
    assert!(shown.contains("claude-haiku-5-5, prompt above 100,000 tokens"), "{shown}");
    let batch = r#"{"input_tokens":1001,"output_tokens":503,"cache_creation_input_tokens":1010,
        "cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":1010},
        "service_tier":"batch","inference_geo":"us"}"#;
    let shown = said(&["price", "--model", "claude-opus-5-5", "--explain"], batch);
    let line = "cache write, 1 hour  1,010 tokens × 8.00 per million × 0.5 batch × 1.1 US-only";
    assert!(shown.contains(line), "{shown}");
    let declined = r#"{"input_tokens":412,"output_tokens":264,"iterations":[
        {"type":"message","model":"claude-fable-5","input_tokens":535,"output_tokens":0},
        {"type":"fallback_message","input_tokens":412,"output_tokens":264}]}"#;
    let shown =
        said(&["price", "--model", "claude-opus-4-8", "--at", "2026-11-20", "--explain"], declined);
    let line = "Billed or not: Answer, one step: claude-fable-5\n  input, uncached  535 tokens";
    assert!(shown.contains(line) && shown.contains("Total, at most"), "{shown}");
    let short = said(&["price", "--model", "claude-opus-6"], long);
    assert!(
        short.starts_with("unpriced: model \"claude-opus-6\" is not in the table\n")
            && short.contains("the amount is unknown"),
        "{short}"
    );
}

#[test]
fn the_time_of_containers_may_be_a_fraction() {
    let ask = |context: &str| {
        let question = format!(
            r#"{{"model":"claude-opus-5-5","usage":{{"input_tokens":0,"output_tokens":0}},"context":{{{context},"free_seconds_left":0.5}}}}"#
        );
        let output = run(&["price", "--batch"], &question);
        answers(&text(&output.stdout)).remove(0)
    };
    // Half a second is free.
    for (seconds, quantity, usd) in [
        ("3600.5", json!(3600.5), "0.05"),
        ("[\"3600.5\"]", json!(3600.5), "0.05"),
        ("[3601.4]", json!(3601.4), "0.0500125"),
        ("[3600.5, 3600.0]", json!(7200.5), "0.1"),
        ("[3600, 3600]", json!(7200), "0.099993055555555556"),
    ] {
        let answer = ask(&format!(r#""code_execution_seconds":{seconds}"#));
        assert_eq!((&answer["usd"], &answer["lines"][0]["quantity"]), (&json!(usd), &quantity));
    }
    for wrong in ["-1", "true", "[0.1234567]", "1e300", "\"an hour\""] {
        let answer = ask(&format!(r#""code_execution_seconds":{wrong}"#));
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains("context.code_execution_seconds: write seconds"), "{error}");
    }
}

/// A line that `--explain` shows under a title, without its blanks.
fn under<'t>(shown: &'t str, title: &str) -> Vec<&'t str> {
    let (_, rest) = shown.split_once(title).unwrap_or_else(|| panic!("{title}\n{shown}"));
    rest.lines().skip(1).take_while(|line| line.starts_with("  ")).map(str::trim).collect()
}

#[test]
fn the_upper_end_of_a_range_has_its_working() {
    // Two steps below the tier, together above it.
    let steps = r#"{"input_tokens":120000,"output_tokens":20,"iterations":[
        {"type":"message","input_tokens":60000,"output_tokens":10},
        {"type":"message","input_tokens":60000,"output_tokens":10}]}"#;
    let explain = |model: &str, input: &str| {
        said(&["price", "--model", model, "--at", "2026-11-20", "--explain"], input)
    };
    let shown = explain("claude-haiku-5-5", steps);
    let upper = "At most: Answer, one step: claude-haiku-5-5, prompt above 100,000 tokens";
    assert_eq!(shown.matches(upper).count(), 2, "{shown}");
    assert!(under(&shown, upper)[0].contains("60,000 tokens ×"), "{shown}");
    let sentence = "The total at most is the total at least with each line under \"At most\" in \
                    place of its like.";
    assert!(shown.contains(sentence), "{shown}");

    let advised = r#"{"input_tokens":1,"output_tokens":1,"speed":"fast","iterations":[
        {"type":"message","input_tokens":1,"output_tokens":1},
        {"type":"advisor_message","model":"claude-opus-4-8","input_tokens":9,"output_tokens":9}]}"#;
    let shown = explain("claude-opus-5-5", advised);
    assert!(shown.contains("At most: Advisor: claude-opus-4-8, fast mode\n"), "{shown}");

    let containers = r#"{"model":"claude-opus-5-5","usage":{"input_tokens":1,"output_tokens":1},
        "context":{"code_execution_seconds":[10,600]}}"#;
    let shown = explain("claude-opus-5-5", containers);
    assert!(shown.contains("900 s × 0.05 per hour (at least 300 s each; 900 s free)"), "{shown}");
    assert!(under(&shown, "At most: Server tools")[0].ends_with("= 0.0125"), "{shown}");

    let free = r#"{"model":"claude-opus-5-5","stop_reason":"refusal",
        "stop_details":{"category":"cyber"},"usage":{"input_tokens":100,"output_tokens":0}}"#;
    let shown = explain("claude-opus-5-5", free);
    assert!(shown.contains("Nothing is billed: refused before any output"), "{shown}");
    let eu = r#"{"input_tokens":1,"output_tokens":1,"inference_geo":"eu"}"#;
    let shown = explain("claude-opus-5-5", eu);
    assert!(shown.contains("Unpriced: inference_geo \"eu\" is not in the table."), "{shown}");
}

#[test]
fn a_whole_message_names_its_own_model() {
    let message = r#"{"type":"message","model":"claude-opus-5-5","stop_reason":"end_turn","content":[],
        "usage":{"input_tokens":1000,"output_tokens":1000}}"#;
    assert_eq!(said(&["price"], message), "0.024 USD\n");
    let (code, error) = refused(&["price"], r#"{"input_tokens":1,"output_tokens":1}"#);
    assert!(code == Some(2) && error.contains("--model"), "{error}");
    let (code, error) = refused(&["price", "--model", "m", "--at", "soon"], "{}");
    assert!(code == Some(2) && error.contains("--at \"soon\""), "{error}");
}

#[test]
fn agreements_come_from_the_configuration_and_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let (config, file) = (dir.path().join("w.toml"), dir.path().join("agreed.toml"));
    let agreed = "[[override]]\nfrom = 2026-01-01\nmodel = 'claude-opus-5-5'\nkind = 'output'\n\
                  rate = '16'\nsource = 'contract 1'\n";
    fs::write(&file, agreed).unwrap();
    let text = format!(
        "[pricing]\nfiles = ['{}']\n[[pricing.override]]\nteam = 'search'\nfrom = 2026-01-01\n\
         discount = '0.1'\nsource = 'contract 2'\n",
        file.display()
    );
    fs::write(&config, text).unwrap();
    let question =
        r#"{"model":"claude-opus-5-5","usage":{"input_tokens":1000,"output_tokens":1000}}"#;
    let ask = |more: &[&str]| {
        let mut arguments = vec!["price", "--batch", "--config", config.to_str().unwrap()];
        arguments.extend(more);
        answers(&said(&arguments, question)).remove(0)
    };
    let everybody = ask(&[]);
    assert_eq!((&everybody["usd"], &everybody["list_usd"]), (&json!("0.02"), &json!("0.024")));
    assert_eq!(everybody["lines"][1]["list_usd"], "0.02");
    assert_eq!(everybody["lines"][0].get("list_usd"), None);
    let search = ask(&["--team", "search"]);
    assert_eq!((&search["usd"], &search["list_usd"]), (&json!("0.0216"), &json!("0.024")));
    assert_eq!(search["pricing_version"].as_str().unwrap().matches('+').count(), 2);

    let path = config.to_str().unwrap();
    let explain = ["price", "--explain", "--team", "search", "--config", path];
    let shown = said(&explain, question);
    let note = "agreed rate of 16 per million, not for output of claude-opus-5-5: a more specific \
                price takes its place\n    contract 1";
    assert!(shown.contains(note) && shown.contains("contract 2"), "{shown}");
    let list = said(&["pricing", "list", "--config", path], "");
    let words = |list: &str| list.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "claude-opus-5-5, output 2026-01-01 – rate of 16 per million contract 1",
        "team search 2026-01-01 – discount of 10 % contract 2",
    ] {
        assert!(words(&list).contains(part), "{list}");
    }
    let before = ["pricing", "list", "--at", "2025-12-31T23:00:00Z", "--config", path];
    assert!(!said(&before, "").contains("contract"));
    let one = said(&["pricing", "check", file.to_str().unwrap()], "");
    assert!(one.contains(", 1 override;"), "{one}");
    let shown = said(&["pricing", "diff", "embedded", file.to_str().unwrap()], "");
    let line = "+ override for claude-opus-5-5, output, from 2026-01-01: rate of 16 per million, \
                contract 1 (to –)";
    assert!(shown.contains(line), "{shown}");
    let table = include_str!("../pricing/claude.toml").replace("aside", "attempt");
    fs::write(&file, table).unwrap();
    let shown = said(&["pricing", "diff", "embedded", file.to_str().unwrap()], "");
    let line = "~ rule usage compaction: beside the answer → an attempt at the answer";
    assert!(shown.contains(line), "{shown}");

    fs::write(&file, agreed.replace("rate", "rat")).unwrap();
    let (code, error) = refused(&["pricing", "check", file.to_str().unwrap()], "");
    assert!(code == Some(1) && error.contains("line 5") && error.contains("rat"), "{error}");
}

#[test]
fn the_table_can_be_checked_listed_and_compared() {
    assert!(said(&["pricing", "check"], "").contains("is sound: 28 models"));
    let list = said(&["pricing", "list", "--model", "claude-haiku-5-5", "--at", "2026-11-20"], "");
    assert_eq!(list.lines().filter(|line| line.starts_with("claude-haiku-5-5")).count(), 2);
    let all = said(&["pricing", "list", "--all"], "");
    assert!(all.contains("withdrawn") && all.contains("claude-3-haiku-20240307"), "{all}");
    let (code, _) = refused(&["pricing", "list", "--model", "claude-opus-6"], "");
    assert_eq!(code, Some(1));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new.toml");
    let table = include_str!("../pricing/claude.toml");
    fs::write(&path, table.replacen("output = \"40\"", "output = \"44\"", 1)).unwrap();
    let path = path.to_str().unwrap();
    let changed = said(&["pricing", "diff", "embedded", path], "");
    assert!(changed.contains("~ claude-fable-5-2") && changed.contains("output 44"), "{changed}");
    assert_eq!(changed.lines().count(), 2, "{changed}");

    let old = table.replacen("checked = 2026-11-22", "checked = 2020-01-01", 1);
    fs::write(path, old).unwrap();
    assert!(said(&["pricing", "check", path], "").contains("days ago"));
    fs::write(path, table.replacen("checked = 2026-11-22", "checked = 9000-01-01", 1)).unwrap();
    let (code, error) = refused(&["pricing", "check", path], "");
    assert!(code == Some(1) && error.contains("checked = 9000-01-01 is after today"), "{error}");
    fs::write(path, "# nothing\n").unwrap();
    let (code, error) = refused(&["pricing", "check", path], "");
    assert!(code == Some(1) && error.contains("the file is empty"), "{error}");
    let (code, error) = refused(&["pricing", "check", "nofile"], "");
    assert!(code == Some(2) && error.contains("nofile: No such file"), "{error}");
    fs::write(path, table.replacen("to = 2026-10-07", "to = 2026-10-06", 1)).unwrap();
    let (code, error) = refused(&["pricing", "check", path], "");
    let line = fs::read_to_string(path).unwrap();
    let gap = line.find("to = 2026-10-06").unwrap();
    let line = line[..gap].lines().count();
    let named = error.split("line ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    assert!(code == Some(1) && error.contains("leaves a gap"), "{error}");
    assert!(named.parse::<usize>().unwrap() > line, "{error}");
}

/// Counts that grow, as a stream reports them: any of the fields, any number of times.
fn any_stream() -> impl Strategy<Value = Vec<Value>> {
    let field = || proptest::option::of(0_u64..1_000_000);
    let delta = (field(), field(), field(), field());
    proptest::collection::vec(delta, 0..6).prop_map(|deltas| {
        let mut output = 0;
        let usage = |(input, more, read, searches): (Option<u64>, Option<u64>, _, Option<u64>)| {
            output += more.unwrap_or(0);
            let mut usage = json!({ "output_tokens": more.map(|_| output) });
            usage["input_tokens"] = json!(input);
            usage["cache_read_input_tokens"] = json!(read);
            usage["server_tool_use"] = json!({ "web_search_requests": searches.map(|n| n % 9) });
            usage
        };
        deltas.into_iter().map(usage).collect()
    })
}

/// Anything that may stand where a count should: counts, damage, nothing.
fn any_field() -> impl Strategy<Value = Option<Value>> {
    let damaged =
        [json!(-1), json!(0.5), json!(1e30), json!("7"), json!([1]), json!({}), json!(true)];
    let count = prop_oneof![0_u64..1_000_000, Just(1 << 63), any::<u64>()];
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Value::Null)),
        4 => count.prop_map(|count| Some(json!(count))),
        2 => proptest::sample::select(damaged.to_vec()).prop_map(Some),
    ]
}

fn any_usage() -> impl Strategy<Value = (Value, bool)> {
    let names =
        ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];
    proptest::collection::vec(any_field(), names.len()).prop_map(move |fields| {
        let is_count = |value: &Value| value.as_u64().is_some_and(|count| count <= 1 << 63);
        let required = fields.iter().take(2);
        let mut wrong = required.clone().any(|field| field.as_ref().is_none_or(Value::is_null));
        wrong |= fields.iter().flatten().any(|value| !value.is_null() && !is_count(value));
        let fields =
            names.iter().zip(fields).filter_map(|(name, field)| Some(((*name).to_owned(), field?)));
        (fields.collect::<serde_json::Map<_, _>>().into(), wrong)
    })
}

proptest! {
    /// Whatever stands where counts should: no panic, no silent zero, always a flag.
    #[test]
    fn damaged_usage_is_never_silent((usage, wrong) in any_usage(), model in 0_usize..2) {
        let mut merge = UsageMerge::default();
        merge.start(&usage);
        let (usage, mut flags) = merge.finish();
        let usage = usage.unwrap_or_default();
        let (book, day) = (PriceBook::embedded().unwrap(), jiff::civil::date(2026, 11, 20));
        let model = ["claude-haiku-5-5", "claude-fable-5-2"][model];
        let charge = book.charge(&Call::new(model, day, &usage)).unwrap();
        flags.extend(&charge.flags);
        prop_assert_eq!(charge.total.is_none(), flags.contains(&Flag::Unpriced));
        if wrong {
            let told = [Flag::UsageAnomaly, Flag::UsageUnknown];
            prop_assert!(told.iter().any(|flag| flags.contains(flag)), "{:?}", usage);
        }
        if charge.total == Some(weighbridge::accounting::Money::ZERO) && flags.is_empty() {
            prop_assert!(usage.tokens().iter().all(|(_, count)| *count == 0));
        }
    }

    /// However a stream spreads its counts over deltas, and however often it repeats them, what is
    /// billed is the last value of each.
    #[test]
    fn any_spread_of_a_stream_costs_the_same(deltas in any_stream(), repeat in 1_usize..3) {
        let start = json!({"input_tokens": 3, "output_tokens": 1, "service_tier": "standard"});
        let (mut merge, mut last) = (UsageMerge::default(), start.clone());
        merge.start(&start);
        for delta in &deltas {
            (0..repeat).for_each(|_| merge.delta(delta));
            for (key, value) in delta.as_object().unwrap() {
                let known = if key == "server_tool_use" { &value["web_search_requests"] } else { value };
                if !known.is_null() {
                    last[key] = value.clone();
                }
            }
        }
        let expected: Usage = serde_json::from_value(last).unwrap();
        let (usage, flags) = merge.finish();
        prop_assert!(flags.is_empty(), "{:?}", flags);
        let (book, day) = (PriceBook::embedded().unwrap(), jiff::civil::date(2026, 11, 20));
        let total = |usage: &Usage| {
            book.charge(&Call::new("claude-haiku-5-5", day, usage)).unwrap().total
        };
        prop_assert_eq!(total(&usage.unwrap()), total(&expected));
    }
}
