//! `/metrics`, `weighbridge budgets` and the report have the same figures, exactly.

use serde_json::{Value, json};

use super::support::client::{Raw, Request};
use super::support::message::atto;
use super::support::sidecar::Sidecar;
use super::support::{self, batch};
use super::{Rig, call, call_with, calls, decimal, served, settles};

const CONFIG: &str = "
[budget.all]
usd = '1000'
[budget.teams]
scope = 'team'
timezone = 'Pacific/Auckland'
usd = '1000'
[budget.search]
scope = 'team'
name = 'search'
usd = '3'
[budget.users]
scope = 'user'
usd = '7'
[budget.models]
scope = 'model'
period = 'week'
usd = '1000'
[budget.projects]
scope = 'project'
usd = '1000'
";

fn number(usd: &Value) -> f64 {
    usd.as_str().unwrap().parse().unwrap()
}

/// Asserts that all three agree for every team, user and model; gives the teams' sums.
async fn assert_agreement(rig: &Rig, sidecar: &Sidecar) -> Vec<(String, i128)> {
    let budgets = rig.budgets();
    let metrics = sidecar.metrics().await;
    let used = |budget: &str, name: &str| {
        let labels = [format!("budget=\"{budget}\""), format!(",name=\"{name}\"")];
        metrics.sum("claude_budget_used_usd", &[&labels[0], &labels[1]])
    };
    let mut teams = Vec::new();
    let total = rig.site.report("team")["total"]["usd"].clone();
    assert_eq!(atto(&budgets[&("all".into(), String::new())]["used_usd"]), atto(&total));
    assert_eq!(used("all", ""), number(&total));
    for (budget, by) in [("teams", "team"), ("users", "user"), ("models", "model")] {
        let report = rig.site.report(by);
        let rows = report["rows"].as_array().unwrap().iter().filter(|row| !row[by].is_null());
        let rows: Vec<&Value> = rows.filter(|row| atto(&row["usd"]) > 0).collect();
        let shown = budgets.keys().filter(|(name, _)| name == budget).count();
        assert_eq!(shown, rows.len(), "{budget}: {report}");
        for row in rows {
            let name = row[by].as_str().unwrap();
            let one = &budgets[&(budget.to_owned(), name.to_owned())];
            assert_eq!(atto(&one["used_usd"]), atto(&row["usd"]), "{budget} {name}");
            assert_eq!(used(budget, name), number(&row["usd"]), "{budget} {name}");
            if by == "team" {
                teams.push((name.to_owned(), atto(&row["usd"])));
            }
        }
    }
    teams.sort();
    teams
}

/// Fetches the results of a batch that this key has made.
async fn batch_of(sidecar: &Sidecar, key: &str) {
    let one = json!({"custom_id": "c", "params": {"model": "claude-opus-5-5"}});
    let create = Request::json("/v1/messages/batches", &json!({"requests": vec![one; 20]}));
    let fetch = Request::new("GET", &format!("/v1/messages/batches/{}/results", batch::id(20)));
    for request in [create.without("x-api-key"), fetch] {
        let request = request.header("x-api-key", key).header("x-fake-scenario", "batch");
        assert_eq!(sidecar.call(&request).await.status, 200);
    }
}

#[tokio::test]
async fn figures_agree_over_kill_and_correction() {
    let rig = Rig::new().await;
    let sidecar = rig.start(CONFIG);
    let search = rig.site.add_key(&["--team", "search", "--user", "ada"]);
    let support_key = rig.site.add_key(&["--team", "support", "--user", "bob"]);
    for _ in 0..3 {
        served(&sidecar, &call_with(&search)).await;
    }
    let moved = served(&sidecar, &call_with(&support_key)).await.exchange();
    calls(&sidecar, 2).await;
    batch_of(&sidecar, &search).await;
    // Six calls of this process, one of the process before, and a batch.
    let all = 7.0 * rig.cost as f64 / 1e18 + batch::bill(20) as f64 / 1e18;
    let rounded = |value: f64| (value * 1e12).round();
    let metrics = support::eventually("the sums are there", || {
        rig.budgets().get(&("all".into(), String::new())).cloned()
    });
    assert_eq!(rounded(number(&metrics.await["used_usd"])), rounded(all));
    let exact: f64 = decimal(7 * rig.cost + batch::bill(20)).parse().unwrap();
    settles(&sidecar, "claude_budget_used_usd", &["budget=\"all\""], exact).await;
    let teams = assert_agreement(&rig, &sidecar).await;
    let searched = 3 * rig.cost + batch::bill(20);
    let expected = [("search", searched), ("support", rig.cost), ("unattributed", 3 * rig.cost)];
    assert_eq!(teams, expected.map(|(team, usd)| (team.to_owned(), usd)));

    // What follows from them, for the budget of one team.
    let metrics = sidecar.metrics().await;
    let labels = ["budget=\"search\"", "name=\"search\"", "scope=\"team\"", "period=\"month\""];
    let value = |family: &str, more: &str| metrics.sum(family, &[&labels[..], &[more]].concat());
    assert_eq!(value("claude_budget_usd", ""), 3.0);
    let used = searched as f64 / 1e18;
    assert!((value("claude_budget_used_ratio", "") - used / 3.0).abs() < 1e-6);
    assert!((value("claude_budget_burn_usd_per_hour", "window=\"1h\"") - used).abs() < 1e-9);
    let even = 3.0 / (30.0 * 24.0);
    let ratio = value("claude_budget_burn_ratio", "window=\"1h\"");
    assert!((ratio / (used / even) - 1.0).abs() < 1e-3, "{ratio}");
    assert!(value("claude_budget_forecast_usd", "") > used);
    assert!(value("claude_budget_remaining_seconds", "") >= 0.0);
    assert!(value("claude_budget_period_end_timestamp_seconds", "") > 1.7e9);
    assert!(!metrics.0.keys().any(|name| name.contains("budget=\"projects\"")), "nobody has one");

    // What is not billed, or not known, is in none of them: a subscription's call, what a cut
    // stream may have cost beyond what was reported, a call that the end cuts off.
    let login = "Bearer sk-ant-oat01-0123456789abcdef";
    let login = call().without("x-api-key").header("authorization", login);
    assert_eq!(sidecar.call(&login).await.status, 200);
    assert_eq!(assert_agreement(&rig, &sidecar).await, teams, "notional");
    sidecar.call(&Request::messages("cut", true)).await;
    let mut open = Raw::connect(sidecar.address).await;
    open.send(&Request::messages("gate", true)).await;
    open.head().await.expect("it runs");
    let teams = assert_agreement(&rig, &sidecar).await;
    assert!(teams[2].1 > 3 * rig.cost, "what was reported of the cut one is in it: {teams:?}");
    let exact = number(&rig.site.report("team")["total"]["usd"]);

    sidecar.kill();
    let killed = rig.budgets();
    let sidecar = rig.start(CONFIG);
    settles(&sidecar, "claude_budget_used_usd", &["budget=\"all\""], exact).await;
    assert_eq!(assert_agreement(&rig, &sidecar).await, teams);
    for (key, one) in rig.budgets() {
        assert_eq!(one["used_usd"], killed[&key]["used_usd"]);
    }

    // Past spend moves while calls go on.
    rig.site.ok(&["reattribute", &moved, "--team", "search", "--reason", "FIN-1"]);
    served(&sidecar, &call_with(&support_key)).await;
    let now: f64 = decimal(searched + rig.cost).parse().unwrap();
    settles(&sidecar, "claude_budget_used_usd", &["budget=\"search\""], now).await;
    let teams = assert_agreement(&rig, &sidecar).await;
    assert_eq!(teams[0], ("search".to_owned(), searched + rig.cost));
    assert_eq!(teams[1], ("support".to_owned(), rig.cost));
    sidecar.stop();
}

/// Calls on several connections at once, until the sidecar is gone or `count` are through.
fn load(sidecar: &Sidecar, count: usize) -> tokio::task::JoinSet<()> {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let address = sidecar.address;
        clients.spawn(async move {
            let mut connection = Raw::connect(address).await;
            for _ in 0..count {
                connection.send(&call()).await;
                if connection.try_response().await.is_none() {
                    return;
                }
            }
        });
    }
    clients
}

#[tokio::test]
async fn no_charge_is_twice_or_missing_after_kills_under_load() {
    let rig = Rig::new().await;
    let mut counted = 0;
    for _ in 0..4 {
        // The sums are read while calls come in: these are counted from memory.
        let sidecar = rig.start(CONFIG);
        load(&sidecar, 30).join_all().await;
        let report = rig.site.report("team")["total"].clone();
        let (exchanges, usd) = (report["exchanges"].as_u64().unwrap(), number(&report["usd"]));
        assert!(exchanges >= counted + 240, "{report}");
        counted = exchanges;
        settles(&sidecar, "claude_budget_used_usd", &["budget=\"all\""], usd).await;
        assert_agreement(&rig, &sidecar).await;
        let clients = load(&sidecar, usize::MAX);
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        sidecar.kill();
        clients.join_all().await;
    }
    let sidecar = rig.start(CONFIG);
    let usd = number(&rig.site.report("team")["total"]["usd"]);
    settles(&sidecar, "claude_budget_used_usd", &["budget=\"all\""], usd).await;
    assert_agreement(&rig, &sidecar).await;
    sidecar.stop();
}

#[tokio::test]
async fn the_table_is_readable_and_bad_use_is_explained() {
    let rig = Rig::new().await;
    let config = rig.site.file("some.toml", CONFIG);
    let config = config.to_str().unwrap();
    let table = rig.site.ok(&["budgets", "--config", config]);
    let widest = table.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{table}");
    for part in ["forecast", "team search", "1,000/month", "nothing was spent from budget users"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let data = rig.site.data.to_str().unwrap();
    let empty = rig.site.file("empty.toml", "");
    for (arguments, said) in [
        (&["budgets", "--data-dir", data][..], "no budget is configured"),
        (&["budgets", "--config", empty.to_str().unwrap()], "no budget is configured"),
        (&["budgets", "--config", config, "--format", "csv"], "use table or json"),
        (&["budgets", "--config", config, "--data-dir", "nowhere"], "holds no ledger"),
    ] {
        let output = rig.site.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
}
