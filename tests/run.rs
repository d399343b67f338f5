//! `weighbridge run`: a command behind a sidecar of its own.
#![cfg(test)]

mod support;

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::api::Fake;
use support::sidecar::Site;

/// A client in the shell: one call to where the environment points, then this exit code.
const CLIENT: &str = r#"
address=${ANTHROPIC_BASE_URL#http://}
body='{"model":"claude-opus-5-5","max_tokens":64,"messages":[{"role":"user","content":"hi"}]}'
exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
printf 'POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-api-key: sk-ant-fake\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s' ${#body} "$body" >&3
cat <&3
cat
exit 7
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_command_runs_unchanged_and_its_cost_is_told() {
    let (site, fake) = (Site::new(), Fake::start("plain").await);
    let reports = ["cost.json", "cost.md", "cost.xml", "cost.html"];
    let mut arguments = vec!["run", "--upstream", &fake.url];
    for report in reports {
        arguments.extend(["--report", report]);
    }
    arguments.extend(["--", "bash", "-c", CLIENT]);
    let mut command = site.command(&arguments);
    let input = site.file("input", "from standard input\n");
    command.stdin(std::fs::File::open(input).unwrap()).env("PATH", "/usr/bin:/bin");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (said, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(7), "{told}");
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"usage\""), "{said}");
    assert!(said.ends_with("from standard input\n"), "{said}");

    let cost = fake.billed().list_cost();
    let report: Value =
        serde_json::from_slice(&std::fs::read(site.path("cost.json")).unwrap()).unwrap();
    let usd = report["total"]["usd"].as_str().unwrap();
    assert_eq!(support::message::atto(&report["total"]["usd"]), cost);
    assert!(told.contains(&format!("1 call, ${usd}")), "{told}");
    let markdown = std::fs::read_to_string(site.path("cost.md")).unwrap();
    assert!(markdown.contains(&format!("| claude-opus-5-5 | 1 | {usd} |")), "{markdown}");
    let junit = std::fs::read_to_string(site.path("cost.xml")).unwrap();
    assert!(junit.contains(&format!("name=\"usd\" value=\"{usd}\"")), "{junit}");
    assert!(junit.contains("failure message=\"exit code 7\""), "{junit}");

    let page = std::fs::read_to_string(site.path("cost.html")).unwrap();
    assert!(page.contains(&format!("The exact total is ${usd}.")), "{page}");

    // The run is in the reports of everything that is recorded at home, and holds no reserve.
    let output = site.run(&["report", "--by", "model", "--format", "json"]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(all["total"]["usd"], usd);
    let mut kept = Vec::new();
    support::sidecar::files(&site.path("home"), &mut kept);
    assert!(kept.iter().any(|path| path.ends_with("index.sqlite")));
    assert!(!kept.iter().any(|path| path.ends_with("reserve")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_goes_on_to_the_command() {
    let (site, fake) = (Site::new(), Fake::start("plain").await);
    let script = "trap 'echo ended; exit 3' TERM; echo running; while :; do sleep 0.05; done";
    let mut command = site.command(&["run", "--upstream", &fake.url, "--", "bash", "-c", script]);
    let mut child = command.env("PATH", "/usr/bin:/bin").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "running");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "ended");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_command_that_makes_no_call_keeps_its_exit_code_and_gets_its_reports() {
    let site = Site::new();
    let reports = ["none.json", "none.md", "none.xml", "none.html"];
    for report in reports {
        let mut command = site.command(&["run", "--report", report, "--", "sh", "-c", "exit 5"]);
        let output = command.env("PATH", "/usr/bin:/bin").output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{report}: {told}");
        assert!(told.contains("0 calls"), "{told}");
        let text = std::fs::read_to_string(site.path(report)).unwrap();
        assert!(!text.is_empty(), "{report}");
        if report.ends_with(".html") {
            assert!(text.contains("No call was recorded"), "{text}");
        }
    }
    let mut kept = Vec::new();
    support::sidecar::files(&site.path("home"), &mut kept);
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test]
async fn a_budget_stops_the_run_and_its_overshoot_is_what_ran() {
    let fake = Fake::start("plain").await;
    let site = Site::new();
    let script = r#"
for i in 1 2 3; do
  address="${ANTHROPIC_BASE_URL#http://}"
  exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
  body='{"model":"claude-opus-5-5","max_tokens":9,"messages":[]}'
  printf 'POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\nconnection: close\r\n' >&3
  printf 'content-type: application/json\r\ncontent-length: %s\r\n\r\n%s' "${#body}" "$body" >&3
  read -r _ status _ <&3
  # To its end: a call counts once it is closed.
  cat <&3 >/dev/null
  printf '%s ' "$status"
  exec 3>&-
done
"#;
    // The first call costs 0.000056 dollars.
    for (budget, code, told) in [("0.00005", 1, "200 429 429 "), ("5", 0, "200 200 200 ")] {
        let mut command = site.command(&["run", "--upstream", &fake.url, "--budget", budget]);
        command.args(["--", "bash", "-c", script]).env("PATH", "/usr/bin:/bin");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stdout), told, "{errors}");
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert_eq!(errors.contains("was stopped at its budget"), code == 1, "{errors}");
    }
}

#[test]
fn what_cannot_run_leaves_nothing_behind() {
    let site = Site::new();
    for (arguments, code) in [
        (["run", "--", "no-such-command-here", ""].as_slice(), 1),
        (&["run", "--budget", "none", "--", "true"], 2),
        (&["run", "--report", "cost.pdf", "--", "true"], 2),
        (&["run"], 2),
    ] {
        let output = site.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?} says why");
    }
    let mut kept = Vec::new();
    support::sidecar::files(&site.path("home"), &mut kept);
    assert!(kept.is_empty(), "{kept:?}");
}
