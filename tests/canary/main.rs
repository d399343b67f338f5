//! Nothing that was said, asked, answered or kept secret is in anything that the program leaves
//! behind: values that stand nowhere else are planted in every place, and every sink is searched
//! for each of them in every form.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod forms;
mod planted;
mod posts;
mod refused;
mod sinks;
mod traffic;

use forms::Search;
use planted::{Canary, Planted, Way};
use serde_json::Value;
use sinks::Sinks;
use support::api::Fake;
use support::client::{Raw, Request, Response};
use support::collector::Collector;
use support::eventually;
use support::sidecar::{Options, Sidecar, Site};

/// Well-formed names: documented to be kept.
const PROJECT: &str = "kept-project-4471";
const SESSION: &str = "kept-session-4472";

/// Every rule that looks at something of a call or an event.
const RULES: &str = "[org]\ntools_denied = ['WebFetch']\nmodels_allowed = ['claude-opus-*']\n\
    mcp_servers_allowed = ['github@managed']\npermission_modes = ['default']\n\
    trust_project_files = true\nusd_per_session_max = '1000'\n";

/// A sidecar, everybody around it, and what was planted and gathered.
struct Rig {
    sidecar: Option<Sidecar>,
    site: Site,
    fake: Fake,
    /// Hears notifications.
    ears: Fake,
    collector: Collector,
    planted: Planted,
    sinks: Sinks,
    /// What the client got from the API.
    received: Vec<u8>,
}

impl Rig {
    async fn new() -> Rig {
        let (mut site, mut planted) = (Site::new(), Planted::default());
        sinks::environment(&mut site, &mut planted);
        site.env("RUST_LOG", "trace");
        let fake = Fake::start("plain").await;
        answers::teach(&fake, &mut planted);
        let (ears, collector) = (Fake::start("plain").await, Collector::start().await);
        let (sinks, received) = (Sinks::default(), Vec::new());
        Rig { site, fake, ears, collector, planted, sinks, sidecar: None, received }
    }

    fn sidecar(&self) -> &Sidecar {
        self.sidecar.as_ref().expect("it runs")
    }

    /// Starts the sidecar. Each part of the traffic has one of its own: so no line of the log is
    /// left out because there are many.
    fn start(&mut self, more: &str) {
        let (collector, ears) = (&self.collector.url, &self.ears.url);
        let config = format!(
            "{more}[upstream]\nkey = 'env:UPSTREAM_KEY'\n[listen]\nbody_bytes_max = 65536\n\
             [otlp]\nendpoint = '{collector}'\nheaders = 'env:COLLECTOR_HEADERS'\n\
             semconv = 'both'\ndelay = '50ms'\nmetrics_interval = '200ms'\n\
             [budget.all]\nusd = '0.0001'\nsession_usd = '0.000001'\nnotify = ['ops']\n\
             [budget.models]\nscope = 'model'\nusd = '0.0001'\nnotify = ['ops']\n\
             [notify.ops]\nkind = 'webhook'\nurl = '{ears}/ears'\ntoken = 'env:NOTIFY_TOKEN'\n\
             errors = ['overloaded_error', 'rate_limit_error', 'not_found_error']\n"
        );
        let options = Options::to(&self.fake.url).config(&config);
        self.sidecar = Some(Sidecar::start(&self.site, &options));
    }

    /// Gathers what there is while it runs, and stops it.
    async fn stop(&mut self) {
        sinks::pages(self).await;
        self.sinks.files(&self.site);
        let metrics = self.sidecar().metrics().await;
        let left_out = metrics.sum("weighbridge_log_suppressed_total", &[]);
        assert_eq!(left_out, 0.0, "every line of the log is seen");
        self.sidecar.take().expect("it runs").stop();
        self.sinks.files(&self.site);
    }

    /// A call that goes to the API and comes back.
    async fn exchange(&mut self, request: &Request) {
        let Some(response) = self.call(request).await else { return };
        self.received.extend_from_slice(&response.head.raw);
        self.received.extend_from_slice(&response.body);
    }

    /// A call that the sidecar answers.
    async fn refused(&mut self, what: &str, request: &Request) {
        let Some(response) = self.call(request).await else { return };
        self.own(&format!("answer to {what}"), &response);
    }

    /// An answer, where one comes: what breaks off may take its head along.
    async fn call(&self, request: &Request) -> Option<Response> {
        let mut raw = Raw::connect(self.sidecar().address).await;
        raw.send(request).await;
        let answer = tokio::time::timeout(support::SOON, raw.try_response());
        answer.await.expect("the connection ends")
    }

    fn own(&mut self, name: &str, answer: &Response) {
        self.sinks.answer(name, answer);
    }

    /// Everything that the API got.
    fn sent(&self) -> Vec<u8> {
        let seen = self.fake.seen().into_iter();
        seen.flat_map(|seen| [seen.head.raw, seen.body].concat()).collect()
    }

    /// A call with names that may be kept, paid for by a virtual key.
    async fn control(&mut self) {
        let key = self.site.add_key(&["--team", "cardiology"]);
        let request = Request::plain("hello").without("x-api-key").header("x-api-key", &key);
        let request = request.header("x-weighbridge-project", PROJECT);
        let request = request.header("x-claude-code-session-id", SESSION);
        assert_eq!(self.sidecar().call(&request).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sink_keeps_what_was_planted() {
    let mut rig = Rig::new().await;
    rig.start("");
    traffic::messages(&mut rig).await;
    rig.control().await;
    rig.stop().await;
    rig.start("");
    traffic::failures(&mut rig).await;
    rig.stop().await;
    rig.start("");
    traffic::others(&mut rig).await;
    rig.stop().await;
    rig.start("");
    let events = posts::every_event(&mut rig).await;
    posts::refused(&mut rig).await;
    posts::command(&mut rig);
    rig.stop().await;
    rig.start(RULES);
    traffic::refusals(&mut rig).await;
    posts::refused(&mut rig).await;
    posts::every_event(&mut rig).await;
    rig.stop().await;
    rig.start("");
    let open = traffic::left_open(&mut rig).await;
    rig.sinks.files(&rig.site);
    rig.sidecar.take().expect("it runs").kill();
    drop(open);
    rig.start(RULES);
    sinks::commands(&mut rig);
    let shown = sinks::help(&mut rig);
    assert!(shown > 20, "{shown} commands");
    rig.stop().await;
    refused::configurations(&mut rig);
    gather(&mut rig, events).await;
    judge(&rig);
}

/// What was sent to somebody else; and that there is something to search everywhere.
async fn gather(rig: &mut Rig, events: usize) {
    let exported = {
        let book = rig.collector.book();
        assert!(!book.spans.is_empty() && !book.records.is_empty() && !book.points.is_empty());
        book.bytes.clone()
    };
    rig.collector.assert_strict();
    rig.sinks.add("what the collector got", &exported);
    let heard = eventually("notifications come", || {
        let heard = rig.ears.seen();
        (heard.len() > 3).then_some(heard)
    })
    .await;
    for heard in heard {
        // The token is for the channel.
        let head = heard.head.headers.iter().filter(|(name, _)| name != "authorization");
        let head: Vec<String> = head.map(|(name, value)| format!("{name}: {value}")).collect();
        rig.sinks.add("head of a notification", head.join("\n").as_bytes());
        rig.sinks.add("notification", &heard.body);
    }
    for sink in [
        "file 0",
        "file index.sqlite",
        "file index.sqlite-wal",
        "file said.txt",
        "file ready.json",
        "file otlp.json",
        "/metrics",
        "answer to a hook",
        "answer to rule",
        "standard output of report",
        "standard output of sessions",
        "standard output of --help",
        "standard error of weighbridge hook",
    ] {
        assert!(rig.sinks.count(sink) > 0, "no {sink}");
    }
    let log = std::fs::read_to_string(rig.site.path("said.txt")).unwrap();
    assert!(log.contains("\"level\":\"debug\"") && !log.contains("panicked"), "{log}");
    let kept = rig.site.ledger_lines();
    let kept: Vec<Value> = kept.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    let hooks = kept.iter().filter(|line| line["kind"] == "hook").count();
    assert!(hooks > 2 * events - 10, "{hooks} of {events} events are on record");
    let project = kept.iter().find(|line| line["body"]["tags"]["project"] == PROJECT);
    assert_eq!(project.expect("a name is kept")["body"]["session"], SESSION);
    assert!(kept.iter().any(|line| {
        line["body"]["tags"]["project"].as_str().is_some_and(|tag| tag.starts_with("hmac:"))
    }));
}

/// The traffic was real, and nothing of it is left.
fn judge(rig: &Rig) {
    let (sent, received) = (rig.sent(), &rig.received);
    let lost = |way: Way, bytes: &[u8]| {
        let of = rig.planted.all.iter().filter(|canary| canary.way == way);
        let lost = of.filter(|one| memchr::memmem::find(bytes, one.value.as_bytes()).is_none());
        lost.cloned().collect::<Vec<Canary>>()
    };
    let (up, down) = (lost(Way::Up, &sent), lost(Way::Down, received));
    assert!(up.is_empty(), "the API did not get {up:#?}");
    assert!(down.is_empty(), "the client did not get {down:#?}");
    // The same search sees the names that may be kept, where they are kept.
    let control = [PROJECT, SESSION].map(|name| Canary {
        place: "control".to_owned(),
        value: name.to_owned(),
        way: Way::Stays,
    });
    let kept = rig.sinks.find(&Search::new(&control));
    for sink in ["file 0", "file index.sqlite", "standard output of report", "what the collector"] {
        assert!(kept.iter().any(|found| found.starts_with(sink)), "{sink}: {kept:#?}");
    }
    let found = rig.sinks.find(&Search::new(&rig.planted.all));
    let bytes: usize = rig.sinks.0.iter().map(|(_, bytes)| bytes.len()).sum();
    println!("{} canaries, {} sinks, {bytes} bytes", rig.planted.all.len(), rig.sinks.0.len());
    assert!(found.is_empty(), "{} finds:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_search_finds_every_form() {
    let mut planted = Planted::default();
    planted.word(Way::Stays, "a word");
    planted.person(Way::Stays, "a person");
    let search = Search::new(&planted.all);
    for canary in &planted.all {
        let value = canary.value.as_bytes();
        for (form, needle) in forms::forms(&canary.value) {
            for needle in [needle.clone(), needle.to_ascii_uppercase()] {
                let found = search.find(&[b"before ", &needle[..], b" after"].concat());
                assert_eq!(found.len(), 1, "{canary:?} {form}: {found:?}");
                assert!(found[0].contains(&canary.place), "{found:?}");
            }
        }
        for before in ["", "x", "xy", "xyz"] {
            use base64::Engine as _;
            use base64::engine::general_purpose::{STANDARD, URL_SAFE};
            let text = [before.as_bytes(), value, b"\xff\xfe>?"].concat();
            for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                let found = search.find(encoded.as_bytes());
                assert_eq!(found.len(), 1, "{canary:?} behind {before:?}");
            }
        }
        let mut sinks = Sinks::default();
        sinks.add("a sink", &[&[0; 5000][..], value].concat());
        assert!(sinks.find(&search)[0].starts_with("a sink: "));
    }
    assert!(search.find(b"nothing of that").is_empty());
}
