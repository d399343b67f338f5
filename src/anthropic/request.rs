//! The few facts of a request body, read while its bytes pass.

/// What a request body says. All texts are the caller's own and unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Bytes observed.
    pub bytes: u64,
    /// The body is not one whole JSON object.
    pub malformed: bool,
    /// `max_tokens`.
    pub max_tokens: Option<u64>,
    /// Seeded hash of the raw bytes of `messages`; groups retries in memory, never written down.
    pub messages_hash: Option<u64>,
    /// `model`.
    pub model: Option<String>,
    /// `session_id` inside `metadata.user_id`, where that is a JSON object in a string.
    pub session: Option<String>,
    /// `stream` is `true`.
    pub stream: bool,
    /// `metadata.user_id`.
    pub user_id: Option<String>,
}

/// Reads a request body chunk by chunk.
#[derive(Debug)]
pub struct RequestScanner {
    facts: RequestFacts,
}

impl RequestScanner {
    /// `seed` makes the hash of `messages` unguessable.
    #[must_use]
    pub fn new(seed: u64) -> RequestScanner {
        let _ = seed;
        RequestScanner { facts: RequestFacts::default() }
    }

    /// Takes the next bytes of the body.
    pub fn observe(&mut self, chunk: &[u8]) {
        self.facts.bytes += chunk.len() as u64;
    }

    /// The facts.
    #[must_use]
    pub fn finish(self) -> RequestFacts {
        self.facts
    }
}
