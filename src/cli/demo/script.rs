//! Who calls, and what happens to them: four teams at once, and a stranger.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::answer::text;
use super::api::Scene;
use super::traffic::{Call, Heard, Road};

/// How many calls the script makes, every attempt counted.
pub(super) const CALLS: u32 = 61;
/// The teams and the project each pays for.
pub(super) const TEAMS: [(&str, &str); 4] =
    [("platform", "payments"), ("research", "reports"), ("search", "labels"), ("support", "chat")];
/// A model that no price list has.
pub(super) const UNPRICED_MODEL: &str = "claude-unlisted";
/// A key that nobody made.
pub(super) const STRANGERS_KEY: &str = "wbk_nobody_made_this_key";

const OPUS: &str = "claude-opus-5-5";
const SONNET: &str = "claude-sonnet-5-5";
const HAIKU: &str = "claude-haiku-5-5";

/// Bytes of text, at four a token.
const KILOTOKEN: usize = 4_000;
/// Calls that use a tool in the session, before the last one that does not.
const TOOL_TURNS: usize = 7;
/// In which of them the API is overloaded, and in which one a sub-agent is sent off.
const OVERLOADED_TURN: usize = 2;
const AGENT_TURN: usize = 4;
const AGENT_TOOL_TURNS: usize = 2;
/// Questions that each conversation of the support team has.
const QUESTIONS: usize = 5;
/// Labels that each worker of the search team makes.
const LABELS: u32 = 5;
/// A client's pause between two calls.
const PAUSE: Duration = Duration::from_millis(20);

/// Everybody's part, at the same time.
pub(super) struct Script<'a> {
    pub(super) road: &'a Road,
    /// A virtual key for each team.
    pub(super) keys: &'a BTreeMap<String, String>,
    /// The id of the platform team's session, and of the agent that works for it.
    pub(super) session: &'a str,
    pub(super) agent: &'a str,
}

/// A text block of about so many thousand tokens, kept in the prompt cache for a while.
fn kept(kilotokens: usize, ttl: &str) -> Value {
    json!({"type": "text", "text": text(kilotokens * KILOTOKEN),
        "cache_control": {"type": "ephemeral", "ttl": ttl}})
}

fn user(content: impl Into<Value>) -> Value {
    json!({"role": "user", "content": content.into()})
}

fn expect(heard: &Heard, status: u16, whole: bool) -> Result<()> {
    if heard.status == status && heard.whole == whole {
        return Ok(());
    }
    Err(anyhow!("a simulated call got status {} where {status} was due", heard.status))
}

impl Script<'_> {
    /// Plays it.
    pub(super) async fn play(&self) -> Result<()> {
        tokio::try_join!(
            self.platform(),
            self.research(),
            self.search(),
            self.support(),
            self.stranger()
        )?;
        Ok(())
    }

    fn call(&self, team: &str, model: &'static str, messages: Vec<Value>) -> Call {
        Call {
            key: self.keys.get(team).cloned().unwrap_or_default(),
            model,
            stream: true,
            max_tokens: 400,
            system: json!("Answer briefly."),
            messages,
            scene: Scene::Plain,
            has_tools: false,
            headers: Vec::new(),
        }
    }

    /// A coding session in the way of Claude Code: a title, then turns with tools, one of which
    /// sends a sub-agent off.
    async fn platform(&self) -> Result<()> {
        let session = ("x-claude-code-session-id", self.session.to_owned());
        let mut title = self.call("platform", HAIKU, vec![user("Name this session.")]);
        (title.stream, title.max_tokens) = (false, 30);
        title.headers.push(session.clone());
        self.road.ask(&title).await?;

        let mut call = self.call("platform", OPUS, vec![user("The payment tests fail. Fix them.")]);
        (call.system, call.has_tools) = (json!([kept(14, "1h")]), true);
        call.headers.push(session.clone());
        for turn in 0..TOOL_TURNS {
            if turn == OVERLOADED_TURN {
                let overloaded = Call { scene: Scene::Overloaded, ..call.clone() };
                let content = self.road.ask(&overloaded).await?;
                call.messages.push(json!({"role": "assistant", "content": content}));
                call.messages.push(user("Go on."));
            }
            if turn == AGENT_TURN {
                self.agent(session.clone()).await?;
            }
            self.tool_turn(&mut call, 350 + 260 * (turn % 3)).await?;
        }
        call.scene = Scene::Plain;
        self.road.ask(&call).await?;
        Ok(())
    }

    /// The sub-agent: a cheaper model that looks around and reports.
    async fn agent(&self, session: (&'static str, String)) -> Result<()> {
        let mut call = self.call("platform", SONNET, vec![user("Find every use of the old API.")]);
        (call.system, call.has_tools) = (json!([kept(6, "5m")]), true);
        call.headers.extend([session, ("x-claude-code-agent-id", self.agent.to_owned())]);
        for _ in 0..AGENT_TOOL_TURNS {
            self.tool_turn(&mut call, 900).await?;
        }
        call.scene = Scene::Plain;
        self.road.ask(&call).await?;
        Ok(())
    }

    /// One turn: the model asks for a tool, the tool's result goes into the next call. What is new
    /// is written to the cache, what was there is read from it.
    async fn tool_turn(&self, call: &mut Call, result_tokens: usize) -> Result<()> {
        call.scene = Scene::ToolUse;
        let content = self.road.ask(call).await?;
        let tool = content.iter().find(|block| block["type"] == "tool_use");
        let id =
            tool.map(|tool| tool["id"].clone()).ok_or_else(|| anyhow!("no tool was asked for"))?;
        let result = json!({"type": "tool_result", "tool_use_id": id,
            "content": text(result_tokens * 4), "cache_control": {"type": "ephemeral"}});
        call.messages.push(json!({"role": "assistant", "content": content}));
        call.messages.push(user(vec![result]));
        Ok(())
    }

    /// Long documents on the dearest model; a stream that is cut; a model without a price.
    async fn research(&self) -> Result<()> {
        let mut call = self.call("research", OPUS, Vec::new());
        call.system = json!([kept(90, "1h")]);
        for question in ["Summarise it.", "What is missing?", "What is new?", "Who says so?"] {
            call.messages = vec![user(question)];
            call.stream = question.len() % 2 == 0;
            self.road.ask(&call).await?;
        }
        let cut = Call { stream: true, scene: Scene::Cut, ..call.clone() };
        expect(&self.road.say(&cut).await?, 200, false)?;
        let unpriced = Call { model: UNPRICED_MODEL, system: json!("Try it."), ..call };
        self.road.ask(&unpriced).await?;
        Ok(())
    }

    /// Many short calls on the cheapest model; one enormous; one too many.
    async fn search(&self) -> Result<()> {
        let worker = async |name: &str, labels: u32| {
            for number in 0..labels {
                let question = format!("Label {number} of {name}: {}", text(1_200));
                let mut call = self.call("search", HAIKU, vec![user(question)]);
                (call.stream, call.max_tokens) = (false, 40);
                call.system = json!([kept(3, "5m")]);
                self.road.ask(&call).await?;
                tokio::time::sleep(PAUSE).await;
            }
            anyhow::Ok(())
        };
        worker("the first", 1).await?;
        let all = LABELS;
        tokio::try_join!(worker("a", all), worker("b", all), worker("c", all), worker("d", all))?;
        let long = self.call("search", HAIKU, vec![user(vec![kept(112, "5m")])]);
        self.road.ask(&long).await?;
        let mut limited = self.call("search", HAIKU, vec![user("One more.")]);
        (limited.stream, limited.scene) = (false, Scene::RateLimited);
        expect(&self.road.say(&limited).await?, 429, true)
    }

    /// Conversations over one handbook, which is written to the cache once and then read.
    async fn support(&self) -> Result<()> {
        let conversation = async |name: &str, questions: usize| {
            let mut call = self.call("support", SONNET, Vec::new());
            call.system = json!([kept(4, "5m")]);
            for number in 0..questions {
                call.messages.push(user(format!("{name} asks question {number}")));
                let content = self.road.ask(&call).await?;
                call.messages.push(json!({"role": "assistant", "content": content}));
                tokio::time::sleep(PAUSE).await;
            }
            anyhow::Ok(())
        };
        conversation("the first", 1).await?;
        let (a, b, c) = (QUESTIONS, QUESTIONS, QUESTIONS);
        tokio::try_join!(conversation("a", a), conversation("b", b), conversation("c", c))?;
        Ok(())
    }

    /// Somebody with a key that nobody made.
    async fn stranger(&self) -> Result<()> {
        let mut call = self.call("", OPUS, vec![user("Let me in.")]);
        call.key = STRANGERS_KEY.to_owned();
        expect(&self.road.say(&call).await?, 401, true)
    }
}
