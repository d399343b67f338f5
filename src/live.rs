//! What runs now: queries, sessions and tool calls, as far as metrics and rules need them.
//!
//! Memory that follows the ledger's entries, after they are in the ledger. After a restart it
//! begins empty but for what sessions have spent ([`Live::resume`]): a tool call whose first
//! sighting was before counts by what is seen of it from then on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::accounting::Money;
use crate::agent::calls::{Name, Settled, Sighting, ToolCall, ToolCalls};
use crate::agent::query::{Begin, End, Queries, Query};
use crate::agent::session::{Payer, Sessions};
use crate::policy::starts_agent;
use crate::privacy::Identifier;
use crate::record::sighting;
use crate::record::{Closing, HookEvent, Opening, Outcome, ToolsAsked, ToolsReturned};

/// Calls and queries ended in one look for what was left.
const EXPIRED_MAX: usize = 1_024;
/// The tags that name a task.
const TASK_TAG: &str = "task";

/// What ended with an entry.
#[derive(Debug, Default)]
pub struct Ended {
    /// Tool calls that settled.
    pub calls: Vec<ToolCall>,
    /// Queries that are over.
    pub queries: Vec<Query>,
}

/// What rules ask of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who paid for its last call; absent where none was seen.
    pub payer: Option<Payer>,
    /// Everybody who paid for a call of it.
    pub payers: Vec<Payer>,
    /// Queries that began.
    pub turns: u64,
    /// Whether one runs.
    pub in_turn: bool,
    /// Calls to the model since the last prompt.
    pub calls: u64,
    /// What its closed calls cost.
    pub spent: Money,
    /// Sub-agents that run.
    pub agents_running: u64,
    /// How often the tool call that is asked about came in a row before.
    pub repeats: u64,
}

/// A tool call that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The sub-agent.
    pub agent: Option<&'a str>,
    /// The API's id of it.
    pub id: &'a str,
    /// Tool and input, hashed.
    pub repeat: u128,
}

#[derive(Default)]
struct Inner {
    tools: ToolCalls,
    queries: Queries,
    sessions: Sessions,
    /// What all closed calls of this process cost.
    spent: Money,
}

/// What runs now.
#[derive(Default)]
pub struct Live(Mutex<Inner>);

fn text(name: Option<&Identifier>) -> Option<&str> {
    name.map(Identifier::as_str)
}

/// What queries depend on, of an exchange that opens.
fn begin(opening: &Opening, at_ns: u64) -> Begin<'_> {
    Begin {
        exchange: &opening.exchange,
        session: text(opening.session.as_ref()),
        call: &opening.call,
        team: &opening.team,
        agent: text(opening.agent.as_ref()),
        model: text(opening.model.as_ref()),
        parent_agent: text(opening.parent_agent.as_ref()),
        trace: None,
        at_ns,
    }
}

/// How an exchange ended, as far as queries depend on it.
fn end(closing: &Closing) -> End {
    let error = closing.error_type.is_some();
    let left = closing.outcome == Outcome::ClientLeft;
    match closing.outcome {
        // Our own word is not repeated.
        Outcome::Refused => End::Failed,
        _ => End::of(closing.status, error, text(closing.stop_reason.as_ref()), left),
    }
}

/// Who pays for an exchange.
#[must_use]
pub fn payer_of(opening: &Opening) -> Payer {
    Payer {
        team: opening.team.clone(),
        project: opening.project.clone(),
        task: opening.tags.get(TASK_TAG).map(|task| task.as_str().to_owned()),
    }
}

impl Live {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a session spent before this process.
    pub fn resume(&self, session: &str, spent: Money, at_ns: u64) {
        let mut inner = self.inner();
        let session = inner.sessions.seen(session, at_ns);
        session.spent = session.spent.saturating_add(spent);
    }

    /// A metered exchange opened. Gives the first exchange of its query.
    pub fn opened(&self, opening: &Opening, at_ns: u64, ended: &mut Ended) -> String {
        let mut inner = self.inner();
        let place = inner.queries.begin(&begin(opening, at_ns));
        ended.queries.extend(place.ended);
        if let Some(session) = &opening.session {
            let session = inner.sessions.seen(session.as_str(), at_ns);
            // What brings results goes on with a prompt, also where we stopped it before.
            if place.query == opening.exchange && opening.returned == 0 {
                session.turns = session.turns.saturating_add(1);
                session.calls = 0;
            }
            session.calls = session.calls.saturating_add(1);
            session.paid_by(payer_of(opening));
        }
        place.query
    }

    /// A metered exchange closed that belongs to the query `first`.
    pub fn closed(
        &self,
        (opening, first): (&Opening, &str),
        closing: &Closing,
        at_ns: u64,
        ended: &mut Ended,
    ) {
        let mut inner = self.inner();
        let at = (at_ns, closing.response_bytes);
        let began_ns = at_ns.saturating_sub(closing.duration_us.saturating_mul(1000));
        let begin = begin(opening, began_ns);
        ended.queries.extend(inner.queries.end((&begin, first), end(closing), at));
        let charge = closing.charge.as_ref().filter(|charge| charge.notional == 0);
        let Some(usd) = charge.and_then(|charge| charge.usd) else { return };
        inner.spent = inner.spent.saturating_add(usd);
        if let Some(session) = &opening.session {
            let session = inner.sessions.seen(session.as_str(), at_ns);
            session.spent = session.spent.saturating_add(usd);
        }
    }

    /// An answer asked for tools. `repeats`: tool and input of each, hashed. Gives what settled,
    /// and of each tool whether nobody had named it before: of two that tell it at once, one is
    /// first.
    pub fn asked(
        &self,
        entry: &ToolsAsked,
        repeats: &[u128],
        at_ns: u64,
    ) -> (Vec<ToolCall>, Vec<bool>) {
        let mut inner = self.inner();
        let (mut settled, mut first) = (Vec::new(), Vec::with_capacity(entry.tools.len()));
        for (place, (name, about, sighting)) in
            sighting::of_asked(entry, at_ns).into_iter().enumerate()
        {
            if let Some(repeat) = repeats.get(place) {
                inner.count(name, about.agent, *repeat, at_ns);
            }
            first.push(!inner.is_named(name));
            settled.extend(inner.tools.take(name, &about, sighting));
        }
        (settled, first)
    }

    /// Results were sent.
    pub fn returned(&self, entry: &ToolsReturned, at_ns: u64) -> Vec<ToolCall> {
        let mut inner = self.inner();
        let mut settled = Vec::new();
        for (name, about, sighting) in sighting::of_returned(entry, at_ns) {
            settled.extend(inner.tools.take(name, &about, sighting));
            if let Some(session) = name.session {
                inner.sessions.seen(session, at_ns).starting(name.id, false);
            }
        }
        settled
    }

    /// Whether a result was seen before.
    #[must_use]
    pub fn has_returned(&self, session: Option<&str>, id: &str) -> bool {
        self.inner().tools.is_settled(Name { session, id })
    }

    /// What rules ask of a tool call, whether it runs or has settled; nothing where it was not
    /// seen.
    #[must_use]
    pub fn call(&self, session: Option<&str>, id: &str) -> Settled {
        self.inner().tools.known(Name { session, id }).unwrap_or_default()
    }

    /// A hook posted. `repeat` as in [`Asked`]. Gives what ended, and whether nobody had named its
    /// tool call before.
    pub fn hook(&self, event: &HookEvent, repeat: Option<u128>, at_ns: u64) -> (Ended, bool) {
        let mut inner = self.inner();
        let (mut ended, mut is_first) = (Ended::default(), false);
        if let Some(session) = text(event.session.as_ref()) {
            inner.session_hook(session, event, at_ns, &mut ended);
        }
        for (name, about, sighting) in sighting::of_hook(event, at_ns) {
            if let (Some(repeat), Sighting::Announced(_)) = (repeat, sighting) {
                inner.count(name, about.agent, repeat, at_ns);
            }
            is_first |= !inner.is_named(name);
            ended.calls.extend(inner.tools.take(name, &about, sighting));
        }
        (ended, is_first)
    }

    /// What rules ask of a session, and of a tool call in it.
    #[must_use]
    pub fn standing(&self, session: Option<&str>, asked: Option<Asked<'_>>) -> Standing {
        let inner = self.inner();
        let Some(name) = session else { return Standing::default() };
        let in_turn = inner.queries.exchanges(name).is_some();
        let mut standing = Standing { in_turn, ..Standing::default() };
        let Some(known) = inner.sessions.get(name) else { return standing };
        standing.payer.clone_from(&known.payer);
        standing.payers = known.payers().cloned().collect();
        (standing.turns, standing.calls, standing.spent) = (known.turns, known.calls, known.spent);
        standing.agents_running = known.agents_running();
        if let Some(asked) = asked {
            let times = known.repeats(asked.agent, asked.repeat);
            // Where the traffic has shown it already, this time is among them.
            let counted = inner.tools.open(Name { session, id: asked.id }).is_some();
            standing.repeats = times.saturating_sub(u64::from(counted));
        }
        standing
    }

    /// How often the agent's last tool call came in a row.
    #[must_use]
    pub fn repeated(&self, session: Option<&str>, agent: Option<&str>) -> u64 {
        let inner = self.inner();
        session.and_then(|name| inner.sessions.get(name)).map_or(0, |s| s.repeated(agent))
    }

    /// What all closed calls of this process cost.
    #[must_use]
    pub fn spent(&self) -> Money {
        self.inner().spent
    }

    /// Tool calls that run.
    #[must_use]
    pub fn calls_open(&self) -> u64 {
        self.inner().tools.count() as u64
    }

    /// Ends what nothing more was seen of.
    pub fn expire(&self, now_ns: u64) -> Ended {
        let mut inner = self.inner();
        let queries = inner.queries.expire(now_ns, EXPIRED_MAX);
        let calls = inner.tools.expire(now_ns, EXPIRED_MAX);
        Ended { calls, queries }
    }
}

impl Inner {
    /// Whether a call runs of which somebody has told the tool.
    fn is_named(&self, name: Name<'_>) -> bool {
        self.tools.open(name).is_some_and(|call| call.tool.is_some())
    }

    /// Counts a tool call in its session, at the first sighting of it.
    fn count(&mut self, name: Name<'_>, agent: Option<&str>, repeat: u128, at_ns: u64) {
        let is_new = self.tools.open(name).is_none() && !self.tools.is_settled(name);
        if let Some(session) = name.session.filter(|_| is_new) {
            self.sessions.seen(session, at_ns).called(agent, repeat);
        }
    }

    fn session_hook(&mut self, name: &str, event: &HookEvent, at_ns: u64, ended: &mut Ended) {
        ended.queries.extend(self.queries.hook(&event.said(), at_ns));
        if event.event.as_str() == "SessionEnd" {
            ended.calls.extend(self.tools.session_over(name));
        }
        let session = self.sessions.seen(name, at_ns);
        let agent = text(event.agent.as_ref());
        let starts = event.tool.as_ref().is_some_and(|tool| starts_agent(tool.as_str()));
        match (event.event.as_str(), agent, &event.tool_use) {
            ("UserPromptSubmit", ..) if event.denied == 0 => session.calls = 0,
            ("SubagentStart", Some(agent), _) => session.agent(agent, true),
            ("SubagentStop", Some(agent), _) => session.agent(agent, false),
            ("PreToolUse", _, Some(id)) if starts && event.denied == 0 => {
                session.starting(id.as_str(), true);
            }
            ("PostToolUse" | "PostToolUseFailure" | "PermissionDenied", _, Some(id)) if starts => {
                session.starting(id.as_str(), false);
            }
            _ => {}
        }
    }
}
