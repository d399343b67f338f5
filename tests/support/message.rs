//! Answers as the Messages API gives them: a whole message, or the events of a stream.
//!
//! Written as text, not through a JSON value, so that the order of fields is the API's own.

use serde_json::Value;

/// The figures of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub input: u64,
    pub write_5m: u64,
    pub write_1h: u64,
    pub read: u64,
    pub output: u64,
    pub searches: u64,
}

impl Figures {
    pub const fn new(input: u64, write_5m: u64, write_1h: u64, read: u64, output: u64) -> Figures {
        Figures { input, write_5m, write_1h, read, output, searches: 0 }
    }

    /// As at the start of a stream: the input is known, the output has just begun.
    pub const fn at_start(mut self) -> Figures {
        self.output = 1;
        self.searches = 0;
        self
    }

    /// The `usage` object.
    pub fn json(self) -> String {
        let tools = match self.searches {
            0 => String::new(),
            n => format!(
                ",\"server_tool_use\":{{\"web_search_requests\":{n},\"web_fetch_requests\":0}}"
            ),
        };
        format!(
            "{{\"input_tokens\":{},\"cache_creation_input_tokens\":{},\
             \"cache_read_input_tokens\":{},\"cache_creation\":{{\
             \"ephemeral_5m_input_tokens\":{},\"ephemeral_1h_input_tokens\":{}}},\
             \"output_tokens\":{},\"service_tier\":\"standard\",\
             \"inference_geo\":\"not_available\"{tools}}}",
            self.input,
            self.write_5m + self.write_1h,
            self.read,
            self.write_5m,
            self.write_1h,
            self.output,
        )
    }

    /// Adds another answer's figures.
    pub fn add(&mut self, other: Figures) {
        self.input += other.input;
        self.write_5m += other.write_5m;
        self.write_1h += other.write_1h;
        self.read += other.read;
        self.output += other.output;
        self.searches += other.searches;
    }
}

/// One content block.
#[derive(Clone, Debug)]
pub enum Block {
    Thinking(&'static str),
    Text(String),
    /// Name, number in its id, input as JSON.
    ToolUse(&'static str, u32, &'static str),
    /// A block that comes whole: JSON.
    Whole(&'static str),
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

const SIGNATURE: &str = "RkFLRS1TSUdOQVRVUkU=";

impl Block {
    pub fn text(text: &str) -> Block {
        Block::Text(text.to_owned())
    }

    fn json(&self) -> String {
        match self {
            Block::Thinking(text) => format!(
                "{{\"type\":\"thinking\",\"thinking\":{},\"signature\":\"{SIGNATURE}\"}}",
                quoted(text)
            ),
            Block::Text(text) => format!("{{\"type\":\"text\",\"text\":{}}}", quoted(text)),
            Block::ToolUse(name, n, input) => tool_use(name, *n, input),
            Block::Whole(json) => (*json).to_owned(),
        }
    }

    /// The block as it starts in a stream, before its deltas.
    fn start(&self) -> String {
        match self {
            Block::Thinking(_) => {
                "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}".to_owned()
            }
            Block::Text(_) => "{\"type\":\"text\",\"text\":\"\"}".to_owned(),
            Block::ToolUse(name, n, _) => tool_use(name, *n, "{}"),
            Block::Whole(json) => (*json).to_owned(),
        }
    }

    fn deltas(&self) -> Vec<String> {
        let delta = |kind: &str, field: &str, text: &str| {
            format!("{{\"type\":\"{kind}\",\"{field}\":{}}}", quoted(text))
        };
        match self {
            Block::Thinking(text) => pieces(text, 20)
                .map(|piece| delta("thinking_delta", "thinking", &piece))
                .chain([delta("signature_delta", "signature", SIGNATURE)])
                .collect(),
            Block::Text(text) => {
                pieces(text, 12).map(|piece| delta("text_delta", "text", &piece)).collect()
            }
            Block::ToolUse(_, _, input) => [String::new()]
                .into_iter()
                .chain(pieces(input, 16))
                .map(|piece| delta("input_json_delta", "partial_json", &piece))
                .collect(),
            Block::Whole(_) => Vec::new(),
        }
    }
}

fn tool_use(name: &str, n: u32, input: &str) -> String {
    format!(
        "{{\"type\":\"tool_use\",\"id\":\"toolu_01FAKE{n:020}\",\"name\":\"{name}\",\
         \"input\":{input}}}"
    )
}

fn pieces(text: &str, chars: usize) -> impl Iterator<Item = String> {
    let all: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = all.chunks(chars).map(|c| c.iter().collect()).collect();
    pieces.into_iter()
}

/// One answer of the model.
#[derive(Clone, Debug)]
pub struct Answer {
    pub id: String,
    pub model: String,
    pub blocks: Vec<Block>,
    pub stop_reason: &'static str,
    pub figures: Figures,
}

impl Answer {
    fn message(&self, content: &str, stop_reason: &str, figures: Figures) -> String {
        format!(
            "{{\"id\":\"{}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":{},\
             \"content\":[{content}],\"stop_reason\":{stop_reason},\"stop_sequence\":null,\
             \"stop_details\":null,\"usage\":{}}}",
            self.id,
            quoted(&self.model),
            figures.json()
        )
    }

    /// The whole message.
    pub fn json(&self) -> String {
        let content: Vec<String> = self.blocks.iter().map(Block::json).collect();
        self.message(&content.join(","), &quoted(self.stop_reason), self.figures)
    }

    /// The stream: each event's name and data.
    pub fn events(&self) -> Vec<(&'static str, String)> {
        let start = self.message("", "null", self.figures.at_start());
        let mut events =
            vec![("message_start", format!("{{\"type\":\"message_start\",\"message\":{start}}}"))];
        for (i, block) in self.blocks.iter().enumerate() {
            let start = block.start();
            events.push((
                "content_block_start",
                format!(
                    "{{\"type\":\"content_block_start\",\"index\":{i},\"content_block\":{start}}}"
                ),
            ));
            if i == 0 {
                events.push(("ping", "{\"type\":\"ping\"}".to_owned()));
            }
            events.extend(block.deltas().into_iter().map(|delta| {
                let data =
                    format!("{{\"type\":\"content_block_delta\",\"index\":{i},\"delta\":{delta}}}");
                ("content_block_delta", data)
            }));
            let data = format!("{{\"type\":\"content_block_stop\",\"index\":{i}}}");
            events.push(("content_block_stop", data));
        }
        let delta = format!(
            "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":{},\"stop_sequence\":null,\
             \"stop_details\":null}},\"usage\":{}}}",
            quoted(self.stop_reason),
            self.figures.json()
        );
        events.push(("message_delta", delta));
        events.push(("message_stop", "{\"type\":\"message_stop\"}".to_owned()));
        events
    }
}

/// An event as it stands in a stream.
pub fn sse(name: &str, data: &str) -> Vec<u8> {
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

/// The body of an API error.
pub fn error(kind: &str, message: &str) -> String {
    format!(
        "{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":{}}},\
         \"request_id\":\"req_01FAKE\"}}",
        quoted(message)
    )
}

/// What the fake model says to a request: the conversation that the real clients can follow.
pub fn answer(scenario: &str, head_agent: bool, request: &Value, nth: u32) -> Answer {
    let results = tool_results(request);
    let has_tools = request["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let format = &request["output_config"]["format"];
    let (blocks, stop_reason, figures) = if scenario == "websearch" {
        web_search()
    } else if scenario == "refusal" {
        (vec![Block::text("")], "refusal", Figures::new(12, 0, 0, 0, 1))
    } else if (scenario == "maxtok" && nth == 1) || scenario == "maxtok_always" {
        let blocks = vec![Block::text("partial answer that stops")];
        (blocks, "max_tokens", Figures::new(12, 0, 0, 0, 64))
    } else if format.is_object() && !has_tools {
        (vec![Block::Text(structured(format))], "end_turn", Figures::new(180, 0, 0, 0, 12))
    } else if scenario == "plain" || !has_tools || request["max_tokens"] == 1 {
        (vec![Block::text("ok")], "end_turn", Figures::new(9, 0, 0, 0, 1))
    } else if scenario == "agents" {
        several(results, head_agent)
    } else if scenario == "subagent" && !head_agent {
        delegate(results)
    } else if results == 0 {
        let blocks = vec![
            Block::Thinking("The user wants hello. I will run echo."),
            Block::text("I'll run it."),
            Block::ToolUse("Bash", 1, r#"{"command":"echo hello","description":"Print hello"}"#),
        ];
        (blocks, "tool_use", Figures::new(4, 11_000, 1_200, 0, 74))
    } else {
        let blocks = vec![Block::text("Done: the command printed hello. – ✓ naïve café")];
        (blocks, "end_turn", Figures::new(6, 210, 0, 12_200, 21))
    };
    let model = request["model"].as_str().unwrap_or("claude-unknown").to_owned();
    Answer { id: "msg_01FAKE".to_owned(), model, blocks, stop_reason, figures }
}

type Said = (Vec<Block>, &'static str, Figures);

fn web_search() -> Said {
    let blocks = vec![
        Block::text("I'll search."),
        Block::Whole(concat!(
            r#"{"type":"server_tool_use","id":"srvtoolu_01FAKE","name":"web_search","#,
            r#""input":{"query":"weather"}}"#
        )),
        Block::Whole(concat!(
            r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_01FAKE","content":[{"#,
            r#""type":"web_search_result","url":"http://example.test/","title":"Example","#,
            r#""encrypted_content":"RkFLRQ==","page_age":null}]}"#
        )),
        Block::text("Sunny."),
    ];
    let figures = Figures { searches: 1, ..Figures::new(2_100, 0, 0, 9_000, 88) };
    (blocks, "end_turn", figures)
}

/// A prompt that takes two tools at once and then a sub-agent, which takes one.
fn several(results: usize, is_sub_agent: bool) -> Said {
    const ECHO: &str = r#"{"command":"echo hello","description":"Print hello"}"#;
    const FETCH: &str = r#"{"url":"http://127.0.0.1:9/","prompt":"What does it say?"}"#;
    match (is_sub_agent, results) {
        (true, 0) => {
            (vec![Block::ToolUse("Bash", 11, ECHO)], "tool_use", Figures::new(5, 900, 0, 40, 31))
        }
        (true, _) => {
            (vec![Block::text("It printed hello.")], "end_turn", Figures::new(7, 60, 0, 940, 9))
        }
        (false, 0) => {
            let blocks =
                vec![Block::ToolUse("Bash", 1, ECHO), Block::ToolUse("WebFetch", 2, FETCH)];
            (blocks, "tool_use", Figures::new(4, 11_000, 1_200, 0, 74))
        }
        (false, 2) => delegate(0),
        (false, _) => {
            (vec![Block::text("All done.")], "end_turn", Figures::new(6, 350, 0, 12_000, 18))
        }
    }
}

fn delegate(results: usize) -> Said {
    if results > 0 {
        let blocks = vec![Block::text("The subagent reported hello.")];
        return (blocks, "end_turn", Figures::new(6, 350, 0, 12_000, 18));
    }
    let input = concat!(
        r#"{"description":"Say hello","prompt":"SUBTASK: run echo hello and report","#,
        r#""subagent_type":"general-purpose","run_in_background":false}"#
    );
    let blocks = vec![Block::text("Delegating."), Block::ToolUse("Agent", 900, input)];
    (blocks, "tool_use", Figures::new(4, 12_000, 0, 0, 95))
}

/// Something that fits the schema a client asks for.
fn structured(format: &Value) -> String {
    let fields = format["schema"]["properties"].as_object();
    let filled: serde_json::Map<String, Value> = fields
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let is_text = schema["type"] == "string";
            (name.clone(), if is_text { "Fake title".into() } else { true.into() })
        })
        .collect();
    Value::Object(filled).to_string()
}

fn tool_results(request: &Value) -> usize {
    let messages = request["messages"].as_array().into_iter().flatten();
    messages
        .filter(|message| message["role"] == "user")
        .flat_map(|message| message["content"].as_array().into_iter().flatten())
        .filter(|block| block["type"] == "tool_result")
        .count()
}

/// Dollars as whole numbers of 10⁻¹⁸.
pub const ATTO: i128 = 1_000_000_000_000_000_000;

impl Figures {
    /// What this costs on `claude-opus-5-5` by the published list, in 10⁻¹⁸ dollars. Worked out
    /// here a second time, so that the program's own table is not its own witness.
    pub fn list_cost(self) -> i128 {
        let million = ATTO / 1_000_000;
        let count = |n: u64| i128::from(n);
        count(self.input) * 4 * million
            + count(self.output) * 20 * million
            + count(self.write_5m) * 5 * million
            + count(self.write_1h) * 8 * million
            + count(self.read) * million / 5
            + count(self.searches) * ATTO / 100
    }
}

/// A decimal string of dollars in 10⁻¹⁸ dollars.
#[track_caller]
pub fn atto(usd: &Value) -> i128 {
    let text = usd.as_str().unwrap_or_else(|| panic!("not a decimal string: {usd}"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= 18, "{text}");
    let digits = format!("{whole}{fraction:0<18}");
    digits.parse().unwrap_or_else(|_| panic!("not a decimal: {text}"))
}
