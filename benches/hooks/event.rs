//! Events as Claude Code posts them: bodies that were captured from it, with ids and texts of their
//! own in each, in the order of a session's turns.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde_json::{Value, json};

/// The usual size of what a tool is given.
const USUAL_BYTES: usize = 500;
/// A file that is written whole.
const LONG_BYTES: usize = 20 * 1024;
/// One turn in so many writes such a file.
const LONG_EVERY: usize = 8;
/// What texts are made of: a client escapes quotes and line ends.
const LINE: &str = "    let weight = scale.read()?; // \"settled\" – at the gate\n";

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../tests/fixtures/hooks/", $name, ".json")))),*]
    };
}

/// Captured bodies by name.
pub(crate) struct Templates(BTreeMap<&'static str, Value>);

impl Templates {
    pub(crate) fn read() -> Self {
        let captured = templates![
            "UserPromptSubmit",
            "PreToolUse_Bash",
            "PostToolUse_Bash",
            "PreToolUse_Read",
            "PostToolUse_Read",
            "PreToolUse_Write",
            "PostToolUse_Write",
            "PreToolUse_Agent",
            "PostToolUse_Agent",
            "SubagentStart_sub",
            "PreToolUse_Bash_sub",
            "PostToolUse_Bash_sub",
            "SubagentStop_sub",
            "Stop",
        ];
        let read = |(name, text)| (name, serde_json::from_str(text).unwrap());
        Self(captured.into_iter().map(read).collect())
    }
}

struct Step {
    template: &'static str,
    call: u64,
    bytes: usize,
}

/// A session, which goes on for ever.
pub(crate) struct Session {
    id: String,
    number: usize,
    turn: usize,
    calls: u64,
    steps: VecDeque<Step>,
}

impl Session {
    /// `round` and `number` make its ids, which are the same in every run.
    pub(crate) fn new(round: u32, number: usize) -> Self {
        let id = format!("{round:08x}-0000-4000-8000-{number:012x}");
        Self { id, number, turn: 0, calls: 0, steps: VecDeque::new() }
    }

    /// Its next event.
    pub(crate) fn next_event(&mut self, templates: &Templates) -> Bytes {
        if self.steps.is_empty() {
            self.begin_turn();
        }
        let step = self.steps.pop_front().unwrap();
        Bytes::from(self.body(templates.0[step.template].clone(), &step).to_string())
    }

    /// A prompt, one to five commands, a file read and one written, a sub-agent in every second
    /// turn, the end. Sessions have turns of different lengths, so they do not keep step.
    fn begin_turn(&mut self) {
        self.turn += 1;
        let kind = self.number + self.turn;
        self.step("UserPromptSubmit", USUAL_BYTES);
        for _ in 0..=kind % 5 {
            self.call(["PreToolUse_Bash", "PostToolUse_Bash"], USUAL_BYTES);
        }
        self.call(["PreToolUse_Read", "PostToolUse_Read"], USUAL_BYTES);
        let long = if kind.is_multiple_of(LONG_EVERY) { LONG_BYTES } else { USUAL_BYTES };
        self.call(["PreToolUse_Write", "PostToolUse_Write"], long);
        if kind.is_multiple_of(2) {
            self.calls += 1;
            let agent = self.calls;
            self.step("PreToolUse_Agent", USUAL_BYTES);
            self.step("SubagentStart_sub", 0);
            self.call(["PreToolUse_Bash_sub", "PostToolUse_Bash_sub"], USUAL_BYTES);
            self.step("SubagentStop_sub", 0);
            let template = "PostToolUse_Agent";
            self.steps.push_back(Step { template, call: agent, bytes: USUAL_BYTES });
        }
        self.step("Stop", 0);
    }

    fn step(&mut self, template: &'static str, bytes: usize) {
        self.steps.push_back(Step { template, call: self.calls, bytes });
    }

    /// A tool call: announced, then done.
    fn call(&mut self, templates: [&'static str; 2], bytes: usize) {
        self.calls += 1;
        for template in templates {
            self.step(template, bytes);
        }
    }

    fn body(&self, mut body: Value, step: &Step) -> Value {
        let (session, turn, call) = (&self.id, self.turn, step.call);
        let folder = format!("/home/dev/.claude/projects/-srv-project/{session}");
        body["session_id"] = json!(session);
        body["transcript_path"] = json!(format!("{folder}.jsonl"));
        body["prompt_id"] = json!(format!("{turn:08x}-{}", &session[9..]));
        if body.get("agent_id").is_some() {
            body["agent_id"] = json!(format!("a{turn:016x}"));
        }
        if body.get("tool_use_id").is_some() {
            // No two of a run are the same, and a tool's end has its beginning's.
            let hash = &session[..8];
            body["tool_use_id"] = json!(format!("toolu_01{hash}{:04}{call:010}", self.number));
        }
        let text = format!("# {session} {call}\n{}", LINE.repeat(step.bytes / LINE.len() + 1));
        for place in [
            "/prompt",
            "/tool_input/command",
            "/tool_input/content",
            "/tool_input/prompt",
            "/tool_response/stdout",
            "/tool_response/content",
            "/tool_response/file/content",
        ] {
            if let Some(field) = body.pointer_mut(place).filter(|field| field.is_string()) {
                *field = json!(text);
            }
        }
        body
    }
}
