//! One tool call, seen from four sides, and what follows from it.
//!
//! | sighting | seen in | says |
//! |---|---|---|
//! | asked | the answer that holds `tool_use` | the model wants it |
//! | announced | `PreToolUse` | the client is about to run it |
//! | done | `PostToolUse`, `PostToolUseFailure` | the client ran it |
//! | returned | the next request's `tool_result` | the model gets its result |
//!
//! The first and the last are observed in the traffic, the two between are claims of the client's.
//! All four carry the API's id of the call. A client waits for the answers to its hooks, so by the
//! time the result is sent everything else has been seen: what is missing then is a gap.

use serde::{Deserialize, Serialize};

/// Where a tool runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// At the client: it has hooks.
    #[default]
    Client,
    /// At the API.
    Server,
    /// At an MCP server that the API calls.
    Mcp,
}

impl ToolKind {
    /// The name used in entries and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ToolKind::Client => "client",
            ToolKind::Server => "server",
            ToolKind::Mcp => "mcp",
        }
    }

    /// The kind of that name; a client's where it is not known.
    #[must_use]
    pub fn named(name: &str) -> ToolKind {
        [ToolKind::Server, ToolKind::Mcp].into_iter().find(|k| k.name() == name).unwrap_or_default()
    }
}

/// Size and mark of a content: equal contents of one side of a call have equal marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its size, in bytes.
    pub bytes: u64,
    /// The first half of its commitment; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u128>,
}

impl Content {
    /// From a size and a commitment's hexadecimal digits.
    #[must_use]
    pub fn new(bytes: u64, commitment: Option<&str>) -> Content {
        let digits = commitment.and_then(|digits| digits.get(..32));
        Content { bytes, mark: digits.and_then(|d| u128::from_str_radix(d, 16).ok()) }
    }

    /// Whether both are known and not the same.
    fn differs(&self, other: &Content) -> bool {
        self.mark.zip(other.mark).is_some_and(|(one, two)| one != two)
    }
}

/// The client ran it, as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// When its event came, nanoseconds since 1970 (UTC).
    pub at_ns: u64,
    /// The tool failed.
    pub failed: bool,
    /// How long it took by the client's clock, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What it was given in the end.
    pub input: Content,
}

/// Its result was sent to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// When, nanoseconds since 1970 (UTC).
    pub at_ns: u64,
    /// The result says that it failed.
    pub failed: bool,
    /// What was sent.
    pub output: Content,
}

/// Who denied a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// A rule of ours, in answer to the client's hook.
    Rule,
    /// The client: its own permissions, its user, or a hook of somebody else.
    Client,
}

impl Decider {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Decider::Rule => "rule",
            Decider::Client => "client",
        }
    }
}

/// What was seen of one tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// Where the tool runs.
    pub kind: ToolKind,
    /// When the model's answer asked for it, nanoseconds since 1970 (UTC), and with what input.
    pub asked: Option<(u64, Content)>,
    /// When the client announced it, and with what input.
    pub announced: Option<(u64, Content)>,
    /// The client ran it.
    pub done: Option<Done>,
    /// What goes back to the model, as the client said before it did.
    pub batched: Option<Content>,
    /// Its result was sent.
    pub returned: Option<Returned>,
    /// Somebody denied it.
    pub denied: Option<Decider>,
}

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Seen from all sides, and it succeeded.
    Complete,
    /// It was denied and did not run.
    Denied,
    /// It ran and failed.
    Failed,
    /// Nothing says that it ran.
    NotExecuted,
    /// It ran, and not all of its hooks said so.
    HookMissing,
    /// What the model got is not what the client said.
    OutputRewritten,
    /// Hooks speak of it and the traffic does not.
    Unverified,
}

impl State {
    /// All of them.
    pub const ALL: [State; 7] = [
        State::Complete,
        State::Denied,
        State::Failed,
        State::NotExecuted,
        State::HookMissing,
        State::OutputRewritten,
        State::Unverified,
    ];

    /// The name used in labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Complete => "complete",
            State::Denied => "denied",
            State::Failed => "failed",
            State::NotExecuted => "not_executed",
            State::HookMissing => "hook_missing",
            State::OutputRewritten => "output_rewritten",
            State::Unverified => "unverified",
        }
    }

    /// In words, for people and reports.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            State::NotExecuted => "not executed",
            State::HookMissing => "hook missing",
            State::OutputRewritten => "output rewritten",
            other => other.name(),
        }
    }

    /// Whether everything that should be known of it is.
    #[must_use]
    pub const fn is_accounted_for(self) -> bool {
        matches!(self, State::Complete | State::Denied | State::Failed | State::OutputRewritten)
    }
}

/// What is missing or does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// The answer that asks for it was not seen.
    NotAsked,
    /// The client did not announce it.
    NotAnnounced,
    /// The client did not say that it ran.
    NotDone,
    /// Its result was not sent.
    NotReturned,
    /// It was given something else than the model asked for.
    InputChanged,
    /// The model got something else than the client said.
    OutputChanged,
    /// It ran although it was denied.
    RanAlthoughDenied,
}

impl Gap {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Gap::NotAsked => "no answer asked for it",
            Gap::NotAnnounced => "no PreToolUse",
            Gap::NotDone => "no PostToolUse",
            Gap::NotReturned => "no result was sent",
            Gap::InputChanged => "input changed",
            Gap::OutputChanged => "output changed",
            Gap::RanAlthoughDenied => "ran although denied",
        }
    }
}

impl Sightings {
    /// How it ended; `None` while it runs. `over`: nothing more will be seen of it.
    #[must_use]
    pub fn state(&self, over: bool) -> Option<State> {
        if self.asked.is_none() && self.returned.is_none() {
            return over.then_some(State::Unverified);
        }
        if self.kind != ToolKind::Client {
            return match self.returned {
                Some(returned) if returned.failed => Some(State::Failed),
                Some(_) => Some(State::Complete),
                None => over.then_some(State::NotExecuted),
            };
        }
        match (&self.returned, &self.done) {
            (None, _) if !over => None,
            (None, None) if self.denied.is_some() => Some(State::Denied),
            (None, None) => Some(State::NotExecuted),
            (_, None) if self.is_denied() => Some(State::Denied),
            (_, None) => Some(State::HookMissing),
            (_, Some(_)) if self.announced.is_none() => Some(State::HookMissing),
            (_, Some(done)) if done.failed => Some(State::Failed),
            (_, Some(_)) if self.is_rewritten() => Some(State::OutputRewritten),
            (_, Some(_)) => Some(State::Complete),
        }
    }

    /// What was announced, did not run and came back as a failure was denied on the way: a tool
    /// that runs and fails has an event of its own.
    fn is_denied(&self) -> bool {
        let failed = self.returned.is_some_and(|returned| returned.failed);
        self.done.is_none() && (self.denied.is_some() || self.announced.is_some()) && failed
    }

    /// Who denied it.
    #[must_use]
    pub fn denied_by(&self) -> Option<Decider> {
        self.denied.or_else(|| self.is_denied().then_some(Decider::Client))
    }

    fn is_rewritten(&self) -> bool {
        let told = self.batched.zip(self.returned);
        told.is_some_and(|(batched, returned)| batched.differs(&returned.output))
    }

    /// What is missing or does not fit. `over` as for [`Sightings::state`].
    #[must_use]
    pub fn gaps(&self, over: bool) -> Vec<Gap> {
        let (over, client) = (over || self.returned.is_some(), self.kind == ToolKind::Client);
        let ran = self.done.is_some() || !self.is_denied();
        let input = self.asked.map(|(_, input)| input);
        let given = [self.announced.map(|(_, input)| input), self.done.map(|done| done.input)];
        let changed = given.into_iter().flatten().any(|g| input.is_some_and(|i| i.differs(&g)));
        let unfinished = self.returned.is_none() && (self.done.is_some() || !client);
        [
            (self.asked.is_none(), Gap::NotAsked),
            (over && client && self.announced.is_none(), Gap::NotAnnounced),
            (over && client && self.done.is_none() && ran, Gap::NotDone),
            (over && unfinished, Gap::NotReturned),
            (changed, Gap::InputChanged),
            (self.is_rewritten(), Gap::OutputChanged),
            (self.denied == Some(Decider::Rule) && self.has_run(), Gap::RanAlthoughDenied),
        ]
        .into_iter()
        .filter_map(|(is_there, gap)| is_there.then_some(gap))
        .collect()
    }

    /// Whether something says that it ran.
    fn has_run(&self) -> bool {
        self.done.is_some() || self.returned.is_some_and(|returned| !returned.failed)
    }

    /// How long it took: by the client's clock, else between its events. `None` where no hook
    /// tells: the time between answer and request holds much besides.
    #[must_use]
    pub fn duration_ns(&self) -> Option<u64> {
        let done = self.done?;
        let between = || Some(done.at_ns.saturating_sub(self.announced?.0));
        done.duration_ms.map(|ms| ms.saturating_mul(1_000_000)).or_else(between)
    }

    /// The first and the last moment that something was seen, nanoseconds since 1970 (UTC).
    #[must_use]
    pub fn span_ns(&self) -> Option<(u64, u64)> {
        let moments = [
            self.asked.map(|(at, _)| at),
            self.announced.map(|(at, _)| at),
            self.done.map(|done| done.at_ns),
            self.returned.map(|returned| returned.at_ns),
        ];
        let seen = || moments.into_iter().flatten();
        seen().min().zip(seen().max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(mark: u128) -> Content {
        Content { bytes: 1, mark: Some(mark) }
    }

    fn whole() -> Sightings {
        Sightings {
            asked: Some((1, content(1))),
            announced: Some((2, content(1))),
            done: Some(Done { at_ns: 3, input: content(1), ..Done::default() }),
            batched: Some(content(5)),
            returned: Some(Returned { at_ns: 4, failed: false, output: content(5) }),
            ..Sightings::default()
        }
    }

    fn with(change: impl FnOnce(&mut Sightings)) -> Sightings {
        let mut seen = whole();
        change(&mut seen);
        seen
    }

    #[test]
    fn all_four_sides_make_it_complete() {
        assert_eq!(whole().state(false), Some(State::Complete));
        assert_eq!(whole().gaps(false), []);
        assert_eq!(whole().duration_ns(), Some(1));
        assert_eq!(whole().span_ns(), Some((1, 4)));
    }

    #[test]
    fn what_is_missing_has_a_name() {
        let failed = Some(Returned { failed: true, ..Returned::default() });
        let cases = [
            (with(|s| s.done = None), State::HookMissing, vec![Gap::NotDone]),
            (with(|s| s.announced = None), State::HookMissing, vec![Gap::NotAnnounced]),
            (
                with(|s| (s.announced, s.done, s.batched) = (None, None, None)),
                State::HookMissing,
                vec![Gap::NotAnnounced, Gap::NotDone],
            ),
            (
                with(|s| s.returned.as_mut().unwrap().output = content(6)),
                State::OutputRewritten,
                vec![Gap::OutputChanged],
            ),
            (with(|s| s.done.as_mut().unwrap().failed = true), State::Failed, vec![]),
            (with(|s| s.asked = None), State::Complete, vec![Gap::NotAsked]),
            (
                with(|s| s.done.as_mut().unwrap().input = content(9)),
                State::Complete,
                vec![Gap::InputChanged],
            ),
            (
                with(|s| (s.done, s.denied, s.returned) = (None, Some(Decider::Rule), failed)),
                State::Denied,
                vec![],
            ),
            (with(|s| (s.done, s.returned) = (None, failed)), State::Denied, vec![]),
            (
                with(|s| s.denied = Some(Decider::Rule)),
                State::Complete,
                vec![Gap::RanAlthoughDenied],
            ),
        ];
        for (seen, state, gaps) in cases {
            assert_eq!(seen.state(false), Some(state), "{seen:?}");
            assert_eq!(seen.gaps(false), gaps, "{seen:?}");
        }
    }

    #[test]
    fn without_a_result_it_runs_until_it_is_over() {
        let cases = [
            (with(|s| s.returned = None), State::Complete, vec![Gap::NotReturned]),
            (
                Sightings { asked: whole().asked, ..Sightings::default() },
                State::NotExecuted,
                vec![Gap::NotAnnounced, Gap::NotDone],
            ),
            (
                with(|s| (s.returned, s.done, s.denied) = (None, None, Some(Decider::Client))),
                State::Denied,
                vec![Gap::NotDone],
            ),
        ];
        for (seen, state, gaps) in cases {
            assert_eq!(seen.state(false), None);
            assert_eq!((seen.state(true), seen.gaps(true)), (Some(state), gaps), "{seen:?}");
        }
    }

    #[test]
    fn what_the_traffic_does_not_know_is_unverified() {
        let forged = with(|s| (s.asked, s.returned) = (None, None));
        assert_eq!((forged.state(false), forged.state(true)), (None, Some(State::Unverified)));
    }

    #[test]
    fn tools_at_the_api_have_no_hooks() {
        let mut server = Sightings {
            kind: ToolKind::Server,
            asked: whole().asked,
            returned: whole().returned,
            ..Sightings::default()
        };
        assert_eq!((server.state(false), server.gaps(false)), (Some(State::Complete), vec![]));
        server.returned = None;
        assert_eq!(server.gaps(true), [Gap::NotReturned]);
    }
}
