//! Tool calls, hooks and rules in a ledger, as the recorder would write them.

use weighbridge::agent::tool_use::ToolKind;
use weighbridge::record::exchange::Endpoint;
use weighbridge::record::hook::{BatchedTool, HookEvent};
use weighbridge::record::tool::{
    AskedTool, Committed, ReturnedTool, RuleAction, RuleApplied, ToolsAsked, ToolsReturned,
};
use weighbridge::record::{Closing, Entry, Opening};

use super::{DAY, Log, closed, closing, name, opened, opening};

pub const MILLI: u64 = 1_000_000;
pub const SESSION: &str = "1130e4cf-8ca6-4058-ab4c-45485ae45be7";

/// Entries of one session, one after the other, at a clock that moves on.
pub struct Scene<'l> {
    pub log: &'l mut Log,
    pub at: u64,
    pub session: Option<&'static str>,
    events: u64,
}

pub fn content(mark: &str, bytes: u64) -> Committed {
    let sha256 =
        Some(format!("{:0>64}", mark.bytes().map(|b| format!("{b:02x}")).collect::<String>()));
    // The mark is the first half.
    let sha256 = sha256.map(|text| text.chars().rev().collect());
    Committed { bytes, sha256 }
}

impl<'l> Scene<'l> {
    pub fn new(log: &'l mut Log, session: Option<&'static str>) -> Scene<'l> {
        Scene { log, at: DAY + 64_967_000 * MILLI, session, events: 0 }
    }

    pub fn wait(&mut self, ms: u64) -> &mut Self {
        self.at += ms * MILLI;
        self
    }

    pub fn put(&mut self, entry: &Entry) -> &mut Self {
        self.log.put(entry, self.at);
        self
    }

    pub fn open(&mut self, id: &str, agent: Option<&str>, model: &str) -> &mut Self {
        let opening = Opening {
            agent: agent.map(name),
            model: Some(name(model)),
            session: self.session.map(name),
            ..opening(id)
        };
        self.put(&opened(opening))
    }

    pub fn close(&mut self, id: &str, model: &str, stop: &str, usd: &str) -> &mut Self {
        let closing = Closing {
            duration_us: 1_400_000,
            model: Some(name(model)),
            stop_reason: Some(name(stop)),
            ..closing(id, Some(usd))
        };
        self.put(&closed(closing))
    }

    /// A call that is not metered.
    pub fn count_tokens(&mut self, id: &str) -> &mut Self {
        let session = self.session.map(name);
        let opening = Opening { endpoint: Endpoint::CountTokens, session, ..opening(id) };
        self.put(&opened(opening));
        let closing = Closing { charge: None, usage: None, stop_reason: None, ..closing(id, None) };
        self.put(&closed(Closing { flags: vec![], ..closing }))
    }

    /// An answer asked for tools: id and name.
    pub fn ask(
        &mut self,
        exchange: &str,
        agent: Option<&str>,
        tools: &[(&str, &str)],
    ) -> &mut Self {
        let tools = tools.iter().map(|(id, tool)| AskedTool {
            cut: 0,
            id: name(id),
            input: content(id, 48),
            kind: ToolKind::Client,
            name: name(tool),
            server: None,
            skill: (*tool == "Skill").then(|| name(&format!("skill-of-{id}"))),
        });
        self.put(&Entry::ToolsAsked(Box::new(ToolsAsked {
            agent: agent.map(name),
            exchange: exchange.to_owned(),
            session: self.session.map(name),
            team: "search".to_owned(),
            tools: tools.collect(),
        })))
    }

    /// Results were sent: id and whether it failed.
    pub fn give_back(
        &mut self,
        exchange: &str,
        agent: Option<&str>,
        tools: &[(&str, bool)],
    ) -> &mut Self {
        let tools = tools.iter().map(|(id, failed)| ReturnedTool {
            failed: u8::from(*failed),
            id: name(id),
            name: None,
            output: content(id, 1_234),
            skill: None,
        });
        self.put(&Entry::ToolsReturned(Box::new(ToolsReturned {
            agent: agent.map(name),
            exchange: exchange.to_owned(),
            session: self.session.map(name),
            team: "search".to_owned(),
            tools: tools.collect(),
        })))
    }

    /// An event as Claude Code sends it.
    pub fn event(&mut self, event: &str) -> HookEvent {
        self.events += 1;
        HookEvent {
            agent: None,
            agent_type: None,
            bytes: 300,
            cwd: None,
            denied: 0,
            digest: name(&format!("hmac:{:032x}", self.events)),
            duration_ms: None,
            event: name(event),
            input: None,
            interrupted: 0,
            mode: Some(name("default")),
            model: None,
            output: None,
            prompt: None,
            reason: None,
            server: None,
            session: self.session.map(name),
            skill: None,
            text_bytes: None,
            tool: None,
            tool_use: None,
            tools: vec![],
            tools_more: 0,
        }
    }

    pub fn hook(&mut self, hook: HookEvent) -> &mut Self {
        self.put(&Entry::Hook(Box::new(hook)))
    }

    pub fn told(&mut self, event: &str) -> &mut Self {
        let event = self.event(event);
        self.hook(event)
    }

    /// An event about a tool call.
    pub fn tool(
        &mut self,
        event: &str,
        agent: Option<&str>,
        (id, tool): (&str, &str),
    ) -> HookEvent {
        HookEvent {
            agent: agent.map(name),
            agent_type: agent.map(|_| name("general-purpose")),
            input: Some(content(id, 48)),
            tool: Some(name(tool)),
            tool_use: Some(name(id)),
            ..self.event(event)
        }
    }

    /// A tool is announced, runs and ends.
    pub fn run(&mut self, agent: Option<&str>, tool: (&str, &str), ms: u64) -> &mut Self {
        let announced = self.tool("PreToolUse", agent, tool);
        self.hook(announced).wait(ms);
        let done = HookEvent { duration_ms: Some(ms), ..self.tool("PostToolUse", agent, tool) };
        self.hook(done)
    }

    pub fn batch(&mut self, agent: Option<&str>, ids: &[&str]) -> &mut Self {
        let tools = ids.iter().map(|id| BatchedTool { id: name(id), output: content(id, 1_234) });
        let event = HookEvent {
            agent: agent.map(name),
            tools: tools.collect(),
            ..self.event("PostToolBatch")
        };
        self.hook(event)
    }

    /// A rule denies a tool in answer to its hook.
    pub fn deny(&mut self, (id, tool): (&str, &str)) -> &mut Self {
        let hook = HookEvent { denied: 1, ..self.tool("PreToolUse", None, (id, tool)) };
        self.hook(hook).put_rule(RuleApplied {
            action: RuleAction::Denied,
            tool: Some(name(tool)),
            tool_use: Some(name(id)),
            ..applied()
        })
    }

    pub fn put_rule(&mut self, rule: RuleApplied) -> &mut Self {
        let session = self.session.map(name);
        self.put(&Entry::RuleApplied(Box::new(RuleApplied { session, ..rule })))
    }
}

pub fn applied() -> RuleApplied {
    RuleApplied {
        action: RuleAction::Refused,
        agent: None,
        exchange: None,
        layer: "org".to_owned(),
        policy: "abc".to_owned(),
        rule: "tools_denied".to_owned(),
        session: None,
        team: "search".to_owned(),
        tool: None,
        tool_use: None,
    }
}

const OPUS: &str = "claude-opus-5-5";
const HAIKU: &str = "claude-haiku-5-5";

/// A session with hooks: two tools, one denied, one sub-agent; then a turn without hooks, a call
/// beside the turns and a forged event.
pub fn session(log: &mut Log) {
    let id = |n: u32| format!("01a2046c-c8f8-77e2-97cd-56c1b249996{n}");
    let (bash, write, agent) =
        (("toolu_01bash", "Bash"), ("toolu_02write", "Write"), ("toolu_03agent", "Agent"));
    let sub = Some("a771f66c248d33781");
    let mut s = Scene::new(log, Some(SESSION));
    s.told("UserPromptSubmit").wait(40);
    s.open(&id(1), None, OPUS).wait(3_200);
    s.ask(&id(1), None, &[bash, write, agent]).close(&id(1), OPUS, "tool_use", "0.0300007");
    s.wait(20).run(None, bash, 412).deny(write);
    let announced = s.tool("PreToolUse", None, agent);
    s.hook(announced);
    let start = HookEvent {
        agent: sub.map(name),
        agent_type: Some(name("general-purpose")),
        ..s.event("SubagentStart")
    };
    s.hook(start).wait(30);
    let grep = ("toolu_04grep", "Grep");
    s.open(&id(2), sub, HAIKU).wait(2_100);
    s.ask(&id(2), sub, &[grep]).close(&id(2), HAIKU, "tool_use", "0.0011");
    s.run(sub, grep, 95).batch(sub, &[grep.0]);
    s.open(&id(3), sub, HAIKU).give_back(&id(3), sub, &[(grep.0, false)]).wait(1_800);
    s.close(&id(3), HAIKU, "end_turn", "0.0009").wait(10);
    let done = HookEvent { duration_ms: Some(4_110), ..s.tool("PostToolUse", None, agent) };
    s.hook(done).batch(None, &[bash.0, agent.0]);
    s.open(&id(4), None, OPUS);
    s.give_back(&id(4), None, &[(bash.0, false), (write.0, true), (agent.0, false)]).wait(2_400);
    s.close(&id(4), OPUS, "end_turn", "0.04").told("Stop");

    s.wait(45_000).count_tokens(&id(5)).wait(1_000);
    let issue = ("toolu_05issue", "mcp__github__create_issue");
    s.open(&id(6), None, OPUS).wait(2_000).ask(&id(6), None, &[issue]);
    s.close(&id(6), OPUS, "tool_use", "0.010000000000000001").wait(700);
    s.open(&id(7), None, OPUS).give_back(&id(7), None, &[(issue.0, false)]).wait(1_500);
    s.close(&id(7), OPUS, "end_turn", "0.02").wait(100);
    let forged = s.tool("PostToolUse", None, ("toolu_forged", "Bash"));
    s.hook(forged).wait(60_000).told("SessionEnd");
    s.log.flush();
}
