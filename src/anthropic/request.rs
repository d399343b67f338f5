//! The few facts of a request body, read while its bytes pass.
//!
//! A request holds the whole context, often megabytes, and a handful of facts. The scanner walks
//! the top level of the object and skips every nested value at the speed of `memchr`: nothing is
//! joined, nothing is copied but the facts, each within a bound. How the body is cut into chunks
//! makes no difference. Where the last messages begin and end is noted in passing, so that results
//! of tools, which stand in them alone, are read without a look at the context before
//! ([`super::tail`]).

use super::tail::{Places, Span};
use super::tools::{McpServer, Offered, ToolReturned};
use memchr::memchr;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The longest key that is compared, in raw bytes with its quotes: `inferenceConfig` all in
/// `\u` escapes.
const KEY_BYTES_MAX: usize = 96;

/// The longest `model` that is kept, in raw bytes with its quotes.
const MODEL_BYTES_MAX: usize = 256;

/// The longest number or literal that is kept.
const SCALAR_BYTES_MAX: usize = 32;

/// The longest `mcp_servers` that is kept, in raw bytes.
const SERVERS_BYTES_MAX: usize = 64 * 1024;

/// The longest `metadata` that is kept, in raw bytes.
const METADATA_BYTES_MAX: usize = 8 * 1024;

/// What a request body says. All texts are the caller's own and unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Bytes observed.
    pub bytes: u64,
    /// The body is not one whole JSON object. Values that are skipped are not validated.
    pub malformed: bool,
    /// `max_tokens`.
    pub max_tokens: Option<u64>,
    /// Seeded hash of both ends and the length of the raw `messages`; groups retries in memory,
    /// never written down.
    pub messages_hash: Option<u64>,
    /// What it offers to the model that rules look at.
    pub offered: Offered,
    /// The messages that are new with this request, where they are asked for.
    pub new_messages: Vec<Vec<u8>>,
    /// Results of tools that are new with this request.
    pub returned: Vec<ToolReturned>,
    /// `model`.
    pub model: Option<String>,
    /// `session_id` inside `metadata.user_id`, where that is a JSON object in a string.
    pub session: Option<String>,
    /// `stream` is `true`.
    pub stream: bool,
    /// `metadata.user_id`.
    pub user_id: Option<String>,
}

/// What is read at the end of a body beside the facts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The tools of the API that it offers: for rules.
    pub offers: bool,
    /// The messages that are new with it: where contents are kept.
    pub messages: bool,
}

/// Where the walk over the top level stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the opening brace.
    Start,
    /// After the opening brace: a key or the end.
    FirstKey,
    /// After a comma: a key.
    NextKey,
    /// Inside a key.
    Key,
    /// Between a key and its colon.
    Colon,
    /// Before a value.
    Value,
    /// Inside a value.
    Inside,
    /// After a value: a comma or the end.
    Comma,
    /// After the closing brace.
    End,
    /// Not an object; the rest is only counted.
    Lost,
}

/// The keys that carry a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Model,
    Stream,
    MaxTokens,
    Metadata,
    Messages,
    Tools,
    McpServers,
    InferenceGeo,
    /// Bedrock's Converse form: holds `maxTokens`.
    InferenceConfig,
    None,
}

/// How much of each end of `messages` is hashed.
const SAMPLE_BYTES: usize = 4 * 1024;

/// Reads a request body chunk by chunk.
pub struct RequestScanner {
    bytes: u64,
    place: Place,
    skip: Skip,
    fact: Fact,
    /// The raw bytes of the key or value that is being read.
    capture: Capture,
    messages: Sample,
    seed: u64,
    facts: RequestFacts,
    places: Places,
    /// Where the value that is read begins.
    began: u64,
}

impl RequestScanner {
    /// `seed` makes the hash of `messages` unguessable.
    #[must_use]
    pub fn new(seed: u64) -> RequestScanner {
        RequestScanner {
            bytes: 0,
            place: Place::Start,
            skip: Skip::default(),
            fact: Fact::None,
            capture: Capture::default(),
            messages: Sample::default(),
            seed,
            facts: RequestFacts::default(),
            places: Places::default(),
            began: 0,
        }
    }

    /// Takes the next bytes of the body.
    pub fn observe(&mut self, chunk: &[u8]) {
        let end = self.bytes + chunk.len() as u64;
        let mut rest = chunk;
        while !rest.is_empty() && self.place != Place::Lost {
            self.bytes = end - rest.len() as u64;
            rest = match self.place {
                Place::Key | Place::Inside => self.skip_on(rest),
                _ => self.step(rest),
            };
        }
        self.bytes = end;
    }

    /// The facts, without a second look at the body.
    #[must_use]
    pub fn finish(mut self) -> RequestFacts {
        self.facts.bytes = self.bytes;
        self.facts.malformed = self.place != Place::End;
        self.facts
    }

    /// The facts, and what is read of the last messages: `chunks` are those that were observed.
    /// `offers`: whether somebody asks what the request offers; real clients' lists have 90 KB.
    #[must_use]
    pub fn finish_over<'a>(
        mut self,
        chunks: impl Iterator<Item = &'a [u8]> + Clone,
        wanted: Wanted,
    ) -> RequestFacts {
        let places = std::mem::take(&mut self.places);
        let mut facts = self.finish();
        if facts.malformed {
            return facts;
        }
        let (returned, unread) = places.returned(chunks.clone());
        facts.returned = returned;
        facts.offered.unread |= unread;
        if wanted.messages {
            facts.new_messages = places.new_messages(chunks.clone());
        }
        if wanted.offers {
            let (tools, unread) = places.server_tools(chunks);
            facts.offered.server_tools = tools;
            facts.offered.unread |= unread;
        }
        facts
    }

    /// Takes one byte between keys and values.
    fn step<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let Some((&byte, tail)) = rest.split_first() else { return rest };
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return tail;
        }
        self.place = match (self.place, byte) {
            (Place::Start, b'{') => Place::FirstKey,
            (Place::FirstKey | Place::NextKey, b'"') => {
                self.skip = Skip::new(byte);
                self.capture.restart(KEY_BYTES_MAX);
                self.place = Place::Key;
                return rest;
            }
            (Place::FirstKey | Place::Comma, b'}') => Place::End,
            (Place::Colon, b':') => Place::Value,
            (Place::Comma, b',') => Place::NextKey,
            (Place::Value, b'"' | b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.start_value(byte);
                return rest;
            }
            _ => Place::Lost,
        };
        tail
    }

    fn start_value(&mut self, byte: u8) {
        self.skip = Skip::new(byte);
        self.place = Place::Inside;
        self.began = self.bytes;
        match self.fact {
            Fact::Model | Fact::InferenceGeo => self.capture.restart(MODEL_BYTES_MAX),
            Fact::McpServers => self.capture.restart(SERVERS_BYTES_MAX),
            Fact::Stream | Fact::MaxTokens => self.capture.restart(SCALAR_BYTES_MAX),
            Fact::Metadata | Fact::InferenceConfig => self.capture.restart(METADATA_BYTES_MAX),
            Fact::Messages => {
                self.messages.restart();
                self.places.messages.clear();
                self.skip.elements = Some(0);
            }
            Fact::Tools | Fact::None => {}
        }
    }

    /// Goes on in a key or a value, to its end or the chunk's.
    fn skip_on<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (length, done) = self.skip.advance(rest, self.bytes, &mut self.places);
        let (part, tail) = rest.split_at(length);
        match (self.place, self.fact) {
            (Place::Inside, Fact::Messages) => self.messages.append(part),
            (Place::Inside, Fact::None | Fact::Tools) => {}
            _ => self.capture.append(part),
        }
        if done && self.place == Place::Key {
            self.fact = self.capture.whole().map_or(Fact::None, fact_of);
            self.place = Place::Colon;
        } else if done {
            self.end_value(self.bytes + length as u64);
            self.place = Place::Comma;
        }
        tail
    }

    /// Of a repeated key the last value holds, as in the parsers the API is known to use.
    fn end_value(&mut self, end: u64) {
        match self.fact {
            Fact::Model => self.facts.model = self.capture.text(),
            Fact::Stream => self.facts.stream = self.capture.whole() == Some(b"true"),
            Fact::MaxTokens => {
                self.facts.max_tokens =
                    self.capture.whole().and_then(|raw| serde_json::from_slice(raw).ok());
            }
            Fact::Metadata => {
                let metadata: Option<Value> =
                    self.capture.whole().and_then(|raw| serde_json::from_slice(raw).ok());
                self.facts.user_id = metadata.as_ref().and_then(|value| text_in(value, "user_id"));
                self.facts.session = self.facts.user_id.as_deref().and_then(session_in);
            }
            Fact::InferenceConfig => {
                let config: Option<Value> =
                    self.capture.whole().and_then(|raw| serde_json::from_slice(raw).ok());
                let count = config.as_ref().and_then(|config| config.get("maxTokens"));
                self.facts.max_tokens = count.and_then(Value::as_u64);
            }
            Fact::Messages => self.facts.messages_hash = Some(self.messages.hash(self.seed)),
            Fact::Tools => self.places.tools = Some(Span { start: self.began, end }),
            Fact::McpServers => {
                let servers = self.capture.whole().and_then(mcp_servers);
                self.facts.offered.unread |= servers.is_none();
                self.facts.offered.mcp_servers = servers.unwrap_or_default();
            }
            Fact::InferenceGeo => self.facts.offered.inference_geo = self.capture.text(),
            Fact::None => {}
        }
    }
}

impl std::fmt::Debug for RequestScanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestScanner").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The fact behind a raw key, quotes included. Only a key with an escape needs a parser.
fn fact_of(raw: &[u8]) -> Fact {
    let plain = raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\""));
    match plain.filter(|key| !key.contains(&b'\\')) {
        Some(key) => fact_named(key),
        None => serde_json::from_slice::<String>(raw)
            .map_or(Fact::None, |key| fact_named(key.as_bytes())),
    }
}

fn fact_named(key: &[u8]) -> Fact {
    match key {
        b"model" => Fact::Model,
        b"stream" => Fact::Stream,
        b"max_tokens" => Fact::MaxTokens,
        b"metadata" => Fact::Metadata,
        b"messages" => Fact::Messages,
        b"tools" => Fact::Tools,
        b"mcp_servers" => Fact::McpServers,
        b"inference_geo" => Fact::InferenceGeo,
        b"inferenceConfig" => Fact::InferenceConfig,
        _ => Fact::None,
    }
}

/// The connector's servers; `None` where the list is not one.
fn mcp_servers(raw: &[u8]) -> Option<Vec<McpServer>> {
    let servers: Vec<Value> = serde_json::from_slice(raw).ok()?;
    let server = |server: &Value| McpServer {
        name: text_in(server, "name").unwrap_or_default(),
        url: text_in(server, "url"),
    };
    Some(servers.iter().map(server).collect())
}

fn text_in(object: &Value, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn session_in(user_id: &str) -> Option<String> {
    let object: Value = serde_json::from_str(user_id).ok()?;
    text_in(&object, "session_id")
}

/// A hash of the first and the last [`SAMPLE_BYTES`] bytes of a value, and its length. A context is
/// sent again with every turn, so its middle tells two calls apart only where its end does, too;
/// hashing all of a megabyte would take a quarter of the time that moving it takes.
#[derive(Debug, Default)]
struct Sample {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: u64,
}

impl Sample {
    fn restart(&mut self) {
        self.head.clear();
        self.tail.clear();
        self.length = 0;
    }

    fn append(&mut self, part: &[u8]) {
        self.length += part.len() as u64;
        let (head, rest) = part.split_at(part.len().min(SAMPLE_BYTES - self.head.len()));
        self.head.extend_from_slice(head);
        let last = &rest[rest.len().saturating_sub(SAMPLE_BYTES)..];
        let kept = self.tail.len().min(SAMPLE_BYTES - last.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(last);
    }

    fn hash(&self, seed: u64) -> u64 {
        let head = xxh3_64_with_seed(&self.head, seed ^ self.length);
        if self.tail.is_empty() { head } else { xxh3_64_with_seed(&self.tail, head) }
    }
}

/// Raw bytes kept up to a bound. What outgrows the bound is dropped whole: half a name is a wrong
/// name.
#[derive(Debug, Default)]
struct Capture {
    bytes: Vec<u8>,
    bytes_max: usize,
    overflowed: bool,
}

impl Capture {
    fn restart(&mut self, bytes_max: usize) {
        self.bytes.clear();
        self.bytes_max = bytes_max;
        self.overflowed = false;
    }

    fn append(&mut self, part: &[u8]) {
        self.overflowed |= self.bytes.len() + part.len() > self.bytes_max;
        if !self.overflowed {
            self.bytes.extend_from_slice(part);
        }
    }

    fn whole(&self) -> Option<&[u8]> {
        (!self.overflowed).then_some(self.bytes.as_slice())
    }

    /// The bytes as a JSON string.
    fn text(&self) -> Option<String> {
        serde_json::from_slice(self.whole()?).ok()
    }
}

/// Finds the end of one JSON value without reading it. Brackets are counted, not matched.
#[derive(Debug, Default)]
struct Skip {
    depth: u64,
    in_text: bool,
    /// The next byte of the text is escaped; it may be in the next chunk.
    escaped: bool,
    opened: bool,
    scalar: bool,
    /// Whether the places of a list's elements are noted; where the element that is open begins.
    elements: Option<u64>,
}

impl Skip {
    /// For the value that begins with `first`, which is still to come.
    fn new(first: u8) -> Skip {
        Skip { scalar: !matches!(first, b'"' | b'{' | b'['), ..Skip::default() }
    }

    /// How many bytes of `chunk` belong to the value, and whether it ends there.
    /// `base`: where the chunk begins in the body.
    fn advance(&mut self, chunk: &[u8], base: u64, places: &mut Places) -> (usize, bool) {
        if self.scalar {
            let ends =
                |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
            let end = chunk.iter().position(ends);
            return (end.unwrap_or(chunk.len()), end.is_some());
        }
        let mut at = 0;
        while at < chunk.len() {
            if self.in_text {
                at = self.skip_text(chunk, at);
            } else {
                at = self.skip_structure(chunk, at, (base, places));
            }
            if self.opened && self.depth == 0 && !self.in_text {
                return (at, true);
            }
        }
        (chunk.len(), false)
    }

    /// From inside a text to behind its closing quote.
    fn skip_text(&mut self, chunk: &[u8], start: usize) -> usize {
        let mut from = start;
        if self.escaped {
            self.escaped = false;
            from += 1;
        }
        loop {
            let tail = chunk.get(from..).unwrap_or_default();
            // Only quotes are searched for; an odd run of backslashes before one escapes it.
            let end = memchr(b'"', tail).unwrap_or(tail.len());
            let run = tail[..end].iter().rev().take_while(|byte| **byte == b'\\').count();
            let escapes = run % 2 == 1;
            if end == tail.len() {
                self.escaped = escapes;
                return chunk.len();
            }
            from += end + 1;
            if !escapes {
                self.in_text = false;
                return from;
            }
        }
    }

    /// Over brackets, numbers and punctuation, to the next text or the end of the value.
    fn skip_structure(
        &mut self,
        chunk: &[u8],
        start: usize,
        (base, places): (u64, &mut Places),
    ) -> usize {
        for (at, byte) in chunk.iter().enumerate().skip(start) {
            match byte {
                b'"' => {
                    self.in_text = true;
                    self.opened = true;
                    return at + 1;
                }
                b'{' | b'[' => {
                    if self.depth == 1
                        && let Some(began) = &mut self.elements
                    {
                        *began = base + at as u64;
                    }
                    self.depth += 1;
                    self.opened = true;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 1
                        && let Some(start) = self.elements
                    {
                        places.message(Span { start, end: base + at as u64 + 1 });
                    }
                    if self.depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
        }
        chunk.len()
    }
}

#[cfg(test)]
mod tests;
