//! A scripted load: something of everything that metrics, reports and dashboards show.

use serde_json::{Value, json};

use super::api::Fake;
use super::client::{Raw, Request, Response};
use super::sidecar::{Options, Sidecar, Site};
use super::{batch, eventually, hooks};

/// Who pays in the load; what has no key of ours is `unattributed`.
pub const TEAMS: [&str; 3] = ["search", "support", "legal"];
/// The models it calls that have a price.
pub const MODELS: [&str; 3] = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-4-5"];
/// The model it calls that has none.
pub const UNPRICED: &str = "claude-new-9";

/// Rules of which [`Load::round`] meets something.
const RULES: &str = "
[team.search]
tools_denied = ['WebFetch']
repeated_calls_max = 1
[team.legal]
rules = 'observe'
calls_per_turn_max = 1
";

/// A sidecar in front of a fake API, with a virtual key for each team.
#[derive(Debug)]
pub struct Load {
    pub site: Site,
    pub fake: Fake,
    pub sidecar: Sidecar,
    keys: Vec<String>,
    rounds: usize,
}

impl Load {
    /// Starts both; `config` is added to the sidecar's.
    pub async fn start(config: &str) -> Load {
        let mut site = Site::new();
        site.env("LOAD_UPSTREAM_KEY", "sk-ant-api03-upstream");
        let keys = TEAMS.map(|team| site.add_key(&["--team", team, "--user", "ada"])).to_vec();
        let fake = Fake::start("steady").await;
        let upstream = "[upstream]\nkey = \"env:LOAD_UPSTREAM_KEY\"\n";
        let options = Options::to(&fake.url).config(upstream).config(RULES).config(config);
        let sidecar = Sidecar::start(&site, &options);
        Load { site, fake, sidecar, keys, rounds: 0 }
    }

    /// One round of everything; returns when all of it is closed. Rounds repeat nothing, so each
    /// moves every counter by the same.
    pub async fn round(&mut self) {
        self.rounds += 1;
        for team in 0..TEAMS.len() {
            for model in MODELS {
                self.conversation(team, model).await;
            }
        }
        self.conversation(0, UNPRICED).await;
        self.failures().await;
        self.ends().await;
        self.others().await;
        self.agents().await;
        let closed = || {
            let all = self.site.exchanges();
            all.iter().all(|exchange| !exchange["closed_at"].is_null()).then_some(())
        };
        eventually("the whole load is closed", closed).await;
    }

    /// A turn that writes to the cache, one that reads from it, and one without tools. The first
    /// text names somebody and holds a secret.
    async fn conversation(&self, team: usize, model: &str) {
        let first = self.tools(team, model, "ada@example.com, password=hunter2-hunter2", true);
        self.call("slow", &first).await;
        let mut second = first.clone();
        let result = json!([{"type": "tool_result", "tool_use_id": "toolu_1", "content": "hello"}]);
        let messages = second["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "user", "content": result}));
        self.call("steady", &second).await;
        self.call("plain", &self.tools(team, model, "json", false)).await;
    }

    /// Every error that the API names, and retries that help in the end.
    async fn failures(&self) {
        let scenarios = [
            "e400",
            "context_length",
            "credit",
            "e401",
            "e402",
            "e403",
            "e404",
            "e413",
            "e429_forever",
            "e500_forever",
            "e529_forever",
        ];
        for scenario in scenarios {
            let response = self.call(scenario, &self.tools(1, MODELS[0], scenario, false)).await;
            assert!(response.status >= 400, "{scenario}: {}", response.status);
        }
        let repeated = self.tools(0, MODELS[1], "repeated", true);
        for scenario in ["e529_forever", "e429_forever", "steady"] {
            self.call(scenario, &repeated).await;
        }
        // No such key: refused here, on the record.
        let unknown = Request::json("/v1/messages", &repeated)
            .without("x-api-key")
            .header("x-api-key", &format!("wbk_{}", "A".repeat(43)));
        assert_eq!(self.sidecar.call(&unknown).await.status, 401);
    }

    /// Answers that end otherwise than with a turn's end.
    async fn ends(&self) {
        for scenario in ["refusal", "maxtok_always", "cut_always", "error_mid_always"] {
            self.call(scenario, &self.tools(2, MODELS[0], scenario, true)).await;
        }
        let mut raw = Raw::connect(self.sidecar.address).await;
        let leaves = self.tools(2, MODELS[1], "leaves", true);
        raw.send(&self.request("stall_always", &leaves)).await;
        raw.read_until(b"event: ping").await;
        raw.reset();
    }

    /// What is no plain call: a login, a batch, unmetered paths.
    async fn others(&self) {
        let login = self.request("steady", &self.tools(0, MODELS[0], "login", true));
        let login = login
            .without("x-api-key")
            .header("authorization", "Bearer sk-ant-oat01-fake")
            .header("anthropic-beta", "oauth-2025-04-20");
        assert_eq!(self.sidecar.call(&login).await.status, 200);
        let requests = 9 + self.rounds;
        let one = json!({"custom_id": "c", "params": {"model": MODELS[0]}});
        let made = Request::json("/v1/messages/batches", &json!({"requests": vec![one; requests]}));
        assert_eq!(self.sidecar.call(&self.keyed(made, 1)).await.status, 200);
        let results = format!("/v1/messages/batches/{}/results", batch::id(requests));
        for _ in 0..2 {
            let fetch = self.keyed(Request::new("GET", &results), 1);
            assert_eq!(self.sidecar.call(&fetch).await.status, 200);
        }
        let count = self.tools(0, MODELS[0], "count", false);
        let count = Request::json("/v1/messages/count_tokens", &count);
        for request in [count, Request::new("GET", "/v1/models")] {
            assert_eq!(self.sidecar.call(&self.keyed(request, 0)).await.status, 200);
        }
    }

    /// A session with hooks: a tool call in each state, a sub-agent, and what [`RULES`] deny.
    async fn agents(&self) {
        let call = self.tools(0, MODELS[0], "agents", true);
        let session = self.session(0);
        let hook = |name: &'static str, more: Value| self.hook(&session, name, more);
        hook("UserPromptSubmit", json!({})).await;
        self.call("steady", &call).await;
        hook("SubagentStart", json!({"agent_id": "a", "agent_type": "general-purpose"})).await;
        let (mut results, mut batch) = (Vec::new(), Vec::new());
        for (tool, ends, returned) in [
            ("Read", "PostToolUse", "hello"),
            ("Bash", "PostToolUseFailure", "no such file"),
            ("WebFetch", "", "denied"),
            ("Edit", "PostToolUse", "what no hook told"),
        ] {
            let id = format!("toolu_{tool}_{}", self.rounds);
            let about = json!({"tool_name": tool, "tool_use_id": id, "tool_input": {"of": id}});
            hook("PreToolUse", about.clone()).await;
            let mut done = about;
            done["tool_response"] = "hello".into();
            if !ends.is_empty() {
                hook(ends, done.clone()).await;
                batch.push(done);
            }
            results.push(json!({"type": "tool_result", "tool_use_id": id, "content": returned,
                "is_error": ends != "PostToolUse"}));
        }
        hook("PostToolBatch", json!({"tool_calls": batch})).await;
        let mut second = call.clone();
        let messages = second["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "user", "content": results}));
        assert_eq!(self.call("steady", &second).await.status, 200);
        // The traffic knows nothing of these, and the last repeats one.
        for id in ["first", "second"] {
            let same = json!({"tool_name": "Bash", "tool_use_id": id, "tool_input": {"x": 1}});
            hook("PreToolUse", same).await;
        }
        // Which ends the session.
        assert_eq!(self.call("steady", &call).await.status, 429);
        for _ in 0..2 {
            hook("SessionEnd", json!({"reason": "other"})).await;
        }
        let stranger = hooks::post(&self.sidecar, b"{}").without("Authorization");
        assert_eq!(hooks::send(&self.sidecar, &stranger).await.status, 401);
    }

    async fn hook(&self, session: &str, name: &str, more: Value) {
        let mut event = json!({"hook_event_name": name, "session_id": session});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let post = hooks::post(&self.sidecar, event.to_string().as_bytes());
        assert_eq!(hooks::send(&self.sidecar, &post).await.status, 200);
    }

    /// The body of a call with tools, different in every round.
    fn tools(&self, team: usize, model: &str, text: &str, stream: bool) -> Value {
        let text = format!("{text} {model} of {}, round {}", TEAMS[team], self.rounds);
        json!({"model": model, "max_tokens": 1024, "stream": stream,
            "metadata": {"user_id": TEAMS[team]},
            "messages": [{"role": "user", "content": text}],
            "tools": [{"name": "Bash", "input_schema": {"type": "object"}}]})
    }

    fn request(&self, scenario: &str, body: &Value) -> Request {
        let team = body["metadata"]["user_id"].as_str().unwrap_or_default();
        let team = TEAMS.iter().position(|known| *known == team).unwrap();
        let request = Request::json("/v1/messages", body).header("x-fake-scenario", scenario);
        self.keyed(request, team).header("x-claude-code-session-id", &self.session(team))
    }

    fn keyed(&self, request: Request, team: usize) -> Request {
        request.without("x-api-key").header("x-api-key", &self.keys[team])
    }

    fn session(&self, team: usize) -> String {
        format!("00000000-0000-4000-8000-{team:06}{:06}", self.rounds)
    }

    async fn call(&self, scenario: &str, body: &Value) -> Response {
        self.sidecar.call(&self.request(scenario, body)).await
    }

    /// The text of a scrape.
    pub async fn scrape(&self) -> String {
        let response = self.sidecar.telemetry("/metrics").await;
        assert_eq!(response.status, 200);
        String::from_utf8(response.body).unwrap()
    }
}
