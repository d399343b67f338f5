//! A real Alertmanager takes a budget's alert, shows it as active, and lets it go when the spend
//! has moved away. Needs `prometheus-alertmanager` (Debian's package of that name) on the PATH.
#![cfg(test)]
#![cfg(feature = "real-clients")]
#![expect(clippy::disallowed_methods, reason = "the program is looked for on this machine's PATH")]

mod support;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use support::api::Fake;
use support::client::{self, Request};
use support::message::atto;
use support::sidecar::{Options, Sidecar, Site};

const PROGRAM: &str = "prometheus-alertmanager";
const CONFIG: &str = "route:\n  receiver: nobody\n  group_by: [alertname, budget]\n\
                      receivers:\n  - name: nobody\n";

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM));
    let found = places.into_iter().find(|place| place.is_file());
    found.unwrap_or_else(|| panic!("{PROGRAM} is not on the PATH: apt-get install {PROGRAM}"))
}

/// It ends with the test.
struct Alertmanager {
    child: Child,
    address: SocketAddr,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Alertmanager {
    async fn start(site: &Site, address: SocketAddr, name: &str) -> Alertmanager {
        let config = site.file("alertmanager.yml", CONFIG);
        let log = std::fs::File::create(site.path(&format!("{name}.log"))).unwrap();
        let mut command = Command::new(program());
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", site.path(name).display()));
        command.arg(format!("--web.listen-address={address}"));
        // No cluster: nothing else is listened on.
        command.arg("--cluster.listen-address=").env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let started = Alertmanager { child: command.spawn().unwrap(), address };
        let start = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(start.elapsed() < support::SOON, "{PROGRAM} does not listen");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        started
    }

    /// The active alerts.
    async fn active(&self) -> Vec<Value> {
        let request = Request::new("GET", "/api/v2/alerts?active=true");
        let response = client::call(self.address, &request).await;
        assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
        response.json().as_array().unwrap().clone()
    }

    /// Waits until the active alerts have these thresholds.
    async fn shows(&self, thresholds: &[&str]) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let mut active = self.active().await;
            active.sort_by_key(|alert| alert["labels"]["threshold"].to_string());
            if active
                .iter()
                .map(|a| a["labels"]["threshold"].as_str())
                .eq(thresholds.iter().map(|threshold| Some(*threshold)))
            {
                return active;
            }
            assert!(start.elapsed() < support::SOON, "not {thresholds:?} but {active:?}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn a_budget_alert_is_active_until_the_spend_has_moved() {
    let site = Site::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let first = Alertmanager::start(&site, address, "first").await;
    let fake = Fake::start("burst").await;
    let call = Request::messages("burst", true);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let moved = sidecar.call(&call).await.exchange();
    sidecar.stop();
    // One call is 60 % of the limit, two are 120 %.
    let cost = atto(&site.report("team")["total"]["usd"]);
    let (unit, limit) = (support::message::ATTO, cost * 10 / 6);
    let config = format!(
        "[budget.teams]\nscope = 'team'\nusd = '{}.{:018}'\nthresholds = [50, 100]\n\
         forecast = false\nburn = false\nnotify = ['ops']\n\
         [notify.ops]\nkind = 'alertmanager'\nurl = 'http://{address}'\n",
        limit / unit,
        limit % unit
    );
    let options = Options::to(&fake.url).config(&config);
    let sidecar = Sidecar::start(&site, &options);
    first.shows(&["50"]).await;
    sidecar.call(&call).await;
    let active = first.shows(&["100", "50"]).await;
    let alert = &active[0];
    assert_eq!(alert["status"]["state"], "active");
    for (label, value) in [
        ("alertname", "WeighbridgeBudget"),
        ("budget", "teams"),
        ("scope", "team"),
        ("name", "unattributed"),
        ("period", "month"),
        ("severity", "critical"),
    ] {
        assert_eq!(alert["labels"][label], value, "{alert}");
    }
    assert!(alert["annotations"]["summary"].as_str().unwrap().contains("Budget teams"), "{alert}");
    assert!(alert["endsAt"].as_str().unwrap().contains("-01T00:00:00"), "the month's end: {alert}");

    // One that has forgotten everything is told again, though all was delivered.
    drop(first);
    sidecar.kill();
    let second = Alertmanager::start(&site, address, "second").await;
    let sidecar = Sidecar::start(&site, &options);
    second.shows(&["100", "50"]).await;

    // Half of the spend moves to another team: each of the two is at 60 %.
    site.ok(&["reattribute", &moved, "--team", "search", "--reason", "FIN-1"]);
    let active = second.shows(&["50", "50"]).await;
    let mut names: Vec<&str> =
        active.iter().map(|alert| alert["labels"]["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["search", "unattributed"]);
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.sum("weighbridge_notifications_pending", &[]), 0.0);
    sidecar.stop();
}
