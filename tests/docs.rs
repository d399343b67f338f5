//! What the documentation says exists, and what exists is documented.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use regex::Regex;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The pages that people read.
fn pages() -> Vec<String> {
    let mut names = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    assert!(names.len() > 5, "{names:?}");
    names
}

fn weighbridge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weighbridge"));
    command.env_clear().env("HOME", "/nonexistent");
    command
}

/// A program's standard output; panics where it fails.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn groups<'t>(pattern: &str, text: &'t str) -> Vec<Vec<&'t str>> {
    let pattern = Regex::new(pattern).unwrap();
    let whole = |found: regex::Captures<'t>| {
        found.iter().skip(1).map(|group| group.map_or("", |group| group.as_str())).collect()
    };
    pattern.captures_iter(text).map(whole).collect()
}

/// Type and sorted labels of every family, by name.
type Families = BTreeMap<String, (String, Vec<String>)>;

/// The source of a folder without its tests.
fn source(folder: &str) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(root().join(folder)).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".rs") && name != "tests.rs" {
            let file = read(&format!("{folder}/{name}"));
            text.push_str(file.split("#[cfg(test)]\nmod tests {").next().unwrap());
        }
    }
    text
}

fn families_in_source() -> Families {
    let (source, budgets) = (source("src/metrics"), read("src/budgets/families.rs"));
    let call = r#"build\s*\.(\w+)\(\s*"(\w+)",\s*"[^"]*",?\s*(?:&\[([^\]]*)\])?"#;
    let mut families = Families::new();
    for found in groups(call, &source) {
        let (kind, name, labels) = (found[0], found[1], found[2]);
        // What `metrics/build.rs` makes: some kinds bring their labels along.
        let (kind, own): (&str, &[&str]) = match kind {
            "counter" | "counters" => ("counter", &[]),
            "gauge" | "gauges" | "time_gauge" | "time_gauges" => ("gauge", &[]),
            "histogram" | "histogram_of" | "histograms_by" => ("histogram", &[]),
            "histograms" => ("histogram", &["model"]),
            "money" => ("counter", &["model", "team"]),
            other => panic!("build.{other} is not known here"),
        };
        let labels = groups(r#""(\w+)""#, labels);
        let labels = labels.iter().map(|label| label[0]).chain(own.iter().copied());
        families.insert(name.to_owned(), (kind.to_owned(), labels.map(str::to_owned).collect()));
    }
    families.extend(budget_families(&budgets));
    for found in groups(r#""((?:claude|weighbridge)_\w+)""#, &format!("{source}{budgets}")) {
        assert!(families.contains_key(found[0]), "{} is made in a way not known here", found[0]);
    }
    families.values_mut().for_each(|(_, labels)| labels.sort());
    families
}

/// Families that are made from a list of their own, labels by name or in place.
fn budget_families(source: &str) -> Families {
    let labels = |written: &str| -> Vec<String> {
        let named = format!(r"const {written}: [^=]+= &\[([^\]]*)\]");
        let list = if written.starts_with('&') { written } else { groups(&named, source)[0][0] };
        groups(r#""(\w+)""#, list).iter().map(|label| label[0].to_owned()).collect()
    };
    let call = r#"(gauge|counter)\(\s*"(\w+)",\s*"[^"]*",\s*(&\[[^\]]*\]|[A-Z]+)"#;
    let found = groups(call, source).into_iter();
    found.map(|found| (found[1].to_owned(), (found[0].to_owned(), labels(found[2])))).collect()
}

fn families_on_the_page() -> Families {
    let page = read("docs/metrics.md");
    let row = r"(?m)^\| `((?:claude|weighbridge|process)_\w+)` \| (\w+) \| ([^|]*) \| \S";
    let family = |found: Vec<&str>| {
        let mut labels: Vec<String> =
            groups(r"`(\w+)`", found[2]).iter().map(|label| label[0].to_owned()).collect();
        labels.sort();
        (found[0].to_owned(), (found[1].to_owned(), labels))
    };
    groups(row, &page).into_iter().map(family).collect()
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let (source, mut page) = (families_in_source(), families_on_the_page());
    assert!(source.len() > 40, "{source:?}");
    // Those of a crate: a running sidecar tells whether they are right.
    page.retain(|name, _| !name.starts_with("process_"));
    assert_eq!(page, source);
    for name in pages().iter().map(String::as_str) {
        for found in groups(r"\b((?:claude|weighbridge)_[a-z_]*[a-z])\b", &read(name)) {
            let known = source.contains_key(found[0]) || found[0] == "claude_query"; // a span
            assert!(known, "{name}: there is no metric {}", found[0]);
        }
    }
}

/// A sidecar that is stopped with the test.
struct Sidecar(Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_running_sidecar_exposes_documented_metrics_only() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready.json");
    let mut command = weighbridge();
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.arg("--ready-file").arg(&ready).arg("--data-dir").arg(dir.path().join("data"));
    command.args(["--upstream", "http://127.0.0.1:9"]).stderr(Stdio::null());
    let _sidecar = Sidecar(command.spawn().unwrap());
    let mut text = String::new();
    for _ in 0..200 {
        text = fs::read_to_string(&ready).unwrap_or_default();
        if !text.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
    let admin = ready["admin"].as_str().unwrap().trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let page = families_on_the_page();
    let exposed = groups(r"(?m)^# TYPE (\w+) (\w+)", &answer);
    assert!(exposed.len() > 20, "{answer}");
    for family in &exposed {
        let documented = page.get(family[0]).map(|(kind, _)| kind.as_str());
        assert_eq!(documented, Some(family[1]), "{}", family[0]);
    }
    for (name, _) in page.iter().filter(|(name, _)| name.starts_with("process_")) {
        assert!(exposed.iter().any(|family| family[0] == name), "{name} is not exposed");
    }
    // A sample has the labels of its row, and `le` where it is a bucket.
    for sample in groups(r#"(?m)^(\w+?)(?:_bucket|_sum|_count)?\{([^}]*)\}"#, &answer) {
        let mut labels: Vec<String> =
            groups(r#"(\w+)=""#, sample[1]).iter().map(|label| label[0].to_owned()).collect();
        labels.retain(|label| label != "le");
        labels.sort();
        assert_eq!(page.get(sample[0]).map(|(_, known)| known), Some(&labels), "{}", sample[0]);
    }
}

fn keys_in_source() -> BTreeSet<String> {
    let file = read("src/config/file.rs");
    let list = file.split("const SECTIONS").nth(1).unwrap().split(';').nth(1).unwrap();
    let sections: Vec<_> = groups(r#""([A-Z]+)_""#, list).concat();
    assert!(sections.len() > 4, "{list}");
    let sections = sections.join("|").to_lowercase();
    let key = format!(r#""((?:{sections}|budget\.NAME|notify\.NAME|witness\.NAME)\.\w+)""#);
    let mut keys = BTreeSet::new();
    for entry in fs::read_dir(root().join("src/config")).unwrap().flatten() {
        let source = fs::read_to_string(entry.path()).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        keys.extend(groups(&key, source).iter().map(|key| key[0].to_owned()));
    }
    keys
}

#[test]
fn every_rule_is_documented_and_no_other() {
    let source = read("src/config/policy.rs");
    let source = source.split("#[cfg(test)]").next().unwrap();
    let keys = groups(r#""LAYER\.(\w+)""#, source);
    let keys: BTreeSet<String> = keys.iter().map(|key| key[0].to_owned()).collect();
    assert!(keys.len() > 12, "{keys:?}");
    let page = read("docs/rules.md");
    let rows = groups(r"(?m)^\| `([a-z_]+)` \| .+ \| .+ \|$", &page);
    assert_eq!(rows.iter().map(|row| row[0].to_owned()).collect::<BTreeSet<_>>(), keys);
    // And `check` tells each that a layer sets.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.toml");
    let line = |key: &String| match key.as_str() {
        "rules" => String::new(),
        "usd_per_session_max" => format!("{key} = '1'\n"),
        key if key.ends_with("_max") => format!("{key} = 1\n"),
        key => format!(
            "{key} = ['{}']\n",
            if key == "upstreams_allowed" { "https://a" } else { "plan" }
        ),
    };
    fs::write(&file, format!("[org]\n{}", keys.iter().map(line).collect::<String>())).unwrap();
    let told = output(weighbridge().args(["check", "--team", "a", "--config"]).arg(&file));
    let told: BTreeSet<String> =
        groups(r"(?m)^(\w+) +org ", &told).iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(told, keys.into_iter().filter(|key| key != "rules").collect());
}

/// The keys of tables that have no name of their own: `check` shows these in any case.
fn standing_keys() -> BTreeSet<String> {
    keys_in_source().into_iter().filter(|key| !key.contains(".NAME.")).collect()
}

#[test]
fn every_key_is_documented_and_no_other() {
    let source = keys_in_source();
    assert!(source.len() > 20, "{source:?}");
    let page = read("docs/configuration.md");
    let rows = groups(r"(?m)^\| `([a-z]+(?:\.NAME)?\.[a-z_]+)` \| .+ \| .+ \|$", &page);
    let page: BTreeSet<String> = rows.iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(page, source);

    let mut section = String::new();
    let mut example = BTreeSet::new();
    for line in read("deploy/weighbridge.example.toml").lines() {
        let table = r"^(?:# )?\[(\w+)(\.[a-z-]+)?\]$|^(?:# )?([a-z_]+) = ";
        for found in groups(table, line) {
            match (found[0], found[1]) {
                ("", _) => drop(example.insert(format!("{section}.{}", found[2]))),
                (name, "") => name.clone_into(&mut section),
                (name, _) => section = format!("{name}.NAME"),
            }
        }
    }
    assert_eq!(example, source);
}

#[test]
fn the_example_sets_the_defaults() {
    let values = |command: &mut Command| -> BTreeMap<String, String> {
        let text = output(command);
        // Two blanks end a value: a list has single ones.
        let rows = groups(r"(?m)^(\w+(?:\.[a-z-]+)?\.\w+) +(\S+(?: \S+)*?)(?:  | \w+$)", &text);
        rows.iter().map(|row| (row[0].to_owned(), row[1].to_owned())).collect()
    };
    let defaults = values(weighbridge().arg("check"));
    assert_eq!(defaults.keys().cloned().collect::<BTreeSet<_>>(), standing_keys());
    let example = root().join("deploy/weighbridge.example.toml");
    assert_eq!(values(weighbridge().arg("check").arg("--config").arg(&example)), defaults);

    // What is commented out is right too, once it is set.
    let text = read("deploy/weighbridge.example.toml");
    let commented = Regex::new(r"(?m)^# ([a-z_]+ = |\[[a-z.-]+\]$)").unwrap();
    let all = commented.replace_all(&text, "$1").into_owned();
    let all = Regex::new(r"(?m)^files = .*$").unwrap().replace_all(&all, "").into_owned();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.toml");
    fs::write(&file, all).unwrap();
    let set = values(weighbridge().arg("check").arg("--config").arg(&file));
    assert_eq!(set["upstream.key"], "env:ANTHROPIC_API_KEY");
    assert_eq!(set["budget.search-month.session_usd"], "25");

    // A table with a name has what is required, and the defaults of the page for the rest.
    let verifier = text.split("verifier = \"").nth(1).and_then(|rest| rest.split('"').next());
    let tables = format!(
        "[budget.a]\nusd = '1'\n[notify.a]\nurl = 'http://x'\n\
         [witness.a]\nto = 'http://x'\nverifier = '{}'\n",
        verifier.unwrap()
    );
    fs::write(&file, tables).unwrap();
    let least = values(weighbridge().arg("check").arg("--config").arg(&file));
    let named = |(key, value): (&String, &String)| {
        let (table, field) = key.split_once(".a.")?;
        Some((format!("{table}.NAME.{field}"), value.clone()))
    };
    let least: BTreeMap<String, String> = least.iter().filter_map(named).collect();
    let all: BTreeSet<String> = least.keys().cloned().chain(standing_keys()).collect();
    assert_eq!(all, keys_in_source());
    let required =
        ["budget.NAME.usd", "notify.NAME.url", "witness.NAME.to", "witness.NAME.verifier"];
    let least = least.into_iter().filter(|(key, _)| !required.contains(&key.as_str()));
    let defaults: BTreeMap<String, String> = defaults.into_iter().chain(least).collect();

    let page = read("docs/configuration.md");
    for (key, value) in defaults.iter().filter(|(key, value)| *value != "–" && *key != "ledger.dir")
    {
        let row = format!("| `{key}` | `{value}` |");
        assert!(page.contains(&row), "docs/configuration.md lacks {row}");
    }
}

#[test]
fn every_bound_has_the_name_it_has_in_the_source() {
    let page = read("docs/configuration.md");
    let rows = groups(r"(?m)^\| .* \| `([A-Z_]+)` \| `([a-z_/.]+)` \|$", &page);
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let source = read(row[1]);
        assert!(source.contains(&format!("const {}:", row[0])), "{} is not in {}", row[0], row[1]);
    }
}

/// What stands in code blocks and code spans.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            found.push(line.to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_command_and_flag_exists() {
    let mut helps = BTreeMap::<String, String>::new();
    let mut flags = 0;
    for page in pages() {
        for line in code(&read(&page)) {
            let command = r"(?:^|[ (])weighbridge ((?:audit |keys |pricing |hooks )?[a-z]+(?:-[a-z]+)*)([^|&#;]*)";
            for found in groups(command, &line) {
                let name = found[0].to_owned();
                let help = helps
                    .entry(name.clone())
                    .or_insert_with(|| output(weighbridge().args(name.split(' ')).arg("--help")));
                // After `--` stands somebody else's command.
                let own = found[1].split(" -- ").next().unwrap_or_default();
                for flag in groups(r"(?:^| )(--[a-z][a-z-]*)", own) {
                    assert!(
                        help.contains(flag[0]),
                        "{page}: weighbridge {name} has no {}",
                        flag[0]
                    );
                    flags += 1;
                }
            }
        }
    }
    assert!(helps.len() > 7 && flags > 7, "{:?}, {flags} flags", helps.keys());
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let folder: PathBuf = root().join(&page).parent().unwrap().to_owned();
        for link in groups(r"\]\(([^)\s]+)\)", &read(&page)) {
            let (path, anchor) = link[0].split_once('#').unwrap_or((link[0], ""));
            if path.contains("://") {
                continue;
            }
            let target = if path.is_empty() { root().join(&page) } else { folder.join(path) };
            assert!(target.exists(), "{page} links to {path}");
            if anchor.is_empty() {
                continue;
            }
            let text = fs::read_to_string(&target).unwrap();
            let headings = text.lines().filter(|line| line.starts_with('#'));
            let mut anchors = headings.map(|line| {
                let heading = line.trim_start_matches('#').trim().to_lowercase();
                let kept = |c: &char| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_';
                heading.chars().filter(kept).collect::<String>().replace(' ', "-")
            });
            assert!(anchors.any(|known| known == anchor), "{page} links to {}", link[0]);
        }
    }
}
