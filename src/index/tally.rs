//! What reports add up. Sums are made in Rust while a scan goes by, see [`super::queries`].

use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};

use super::queries::{COLUMNS, Filter, columns, count, integer, money, text};
use super::replay::{BESIDE, Sessions, Step};
use super::{Index, IndexError};
use crate::policy::server_of;
use crate::report::skill::Skills;
use crate::report::{Dimension, Facts, Period, Tally};

/// What a report reads of each exchange, before its dimensions.
const FACTS: [&str; 22] = [
    "opened_at",
    "closed_seq",
    "input",
    "output",
    "cache_read",
    "write_5m",
    "write_1h",
    "usd_nano",
    "usd_atto",
    "unpriced",
    "notional",
    "list_nano",
    "list_atto",
    "max_nano",
    "max_atto",
    "estimated_nano",
    "estimated_atto",
    "estimated_max_nano",
    "estimated_max_atto",
    "flags",
    "pricing",
    "moved_seq",
];
/// Parts the results that one exchange carries; no name holds it.
const BETWEEN: char = '\n';
/// What a server's value begins with where it is one, and where it is a tool that may name one.
const SERVER: char = 's';
const TOOL: char = 't';

impl Index {
    /// Adds every exchange opened in `period` to `tally`.
    pub fn tally(&self, period: Period, tally: &mut Tally) -> Result<(), IndexError> {
        let (dimensions, mut values) = dimension_columns(tally.by());
        if tally.by().iter().any(Dimension::is_replayed) {
            return self.tally_turns(period, tally, (dimensions, values));
        }
        let (condition, bound) = Filter { period, ..Filter::default() }.sql();
        values.extend(bound);
        let columns: Vec<&str> =
            FACTS.into_iter().chain(dimensions.iter().map(String::as_str)).collect();
        let sql = format!("SELECT {} FROM exchanges{condition}", columns.join(", "));
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let by = tally.by().to_vec();
        while let Some(row) = rows.next()? {
            add_parts(tally, &facts(row)?, (row, FACTS.len(), &by), |_| None);
        }
        Ok(())
    }

    /// The same where it takes the exchanges before the period to know whose turn one is.
    fn tally_turns(
        &self,
        period: Period,
        tally: &mut Tally,
        (dimensions, values): (Vec<String>, Vec<Value>),
    ) -> Result<(), IndexError> {
        let mut selected = columns(|name| !BESIDE.contains(&name));
        let first = COLUMNS.split(',').count();
        for column in &dimensions {
            selected.push_str(", ");
            selected.push_str(column);
        }
        let started = first + dimensions.len();
        selected.push_str(", ");
        selected.push_str(&carried("iif(t.returned_failed = 1, NULL, t.skill)"));
        let by = tally.by().to_vec();
        let mut skills = Skills::default();
        self.replay(&Sessions::All, (&selected, values), 0, &mut |step| {
            let (row, exchange, turn) = match step {
                Step::Over(query) => {
                    skills.end(&query);
                    return Ok(());
                }
                Step::Exchange { row, exchange, turn } => (row, exchange, turn),
            };
            let started = text(row, started).and_then(|list| list.rsplit(BETWEEN).next());
            let skill = match turn {
                Some(turn) => skills.at(turn, exchange.agent, started),
                None => started,
            };
            if !period.contains(exchange.opened_at) {
                return Ok(());
            }
            let replayed = |place: usize| match by.get(place) {
                Some(Dimension::Turn) => Some(turn),
                Some(Dimension::Skill) => Some(skill),
                _ => None,
            };
            let facts = exchange.facts();
            add_parts(tally, &facts, (row, first, &by), replayed);
            Ok(())
        })
    }
}

/// Adds an exchange, in as many parts as it carries results where that is asked for. The
/// dimensions' columns stand from `first` on; `replayed` gives the values that stand in no column.
fn add_parts<'r>(
    tally: &mut Tally,
    facts: &Facts<'_>,
    (row, first, by): (&'r Row<'_>, usize, &[Dimension]),
    replayed: impl Fn(usize) -> Option<Option<&'r str>>,
) {
    let Some(divided) = by.iter().position(Dimension::divides) else {
        return tally
            .add(facts, |place| replayed(place).unwrap_or_else(|| text(row, first + place)));
    };
    let parts = text(row, first + divided).map_or(1, |list| list.split(BETWEEN).count());
    for (part, facts) in facts.parts(parts).enumerate() {
        tally.add(&facts, |place| {
            let whole = || text(row, first + place);
            let one = || whole()?.split(BETWEEN).nth(part).filter(|name| !name.is_empty());
            match by.get(place) {
                Some(Dimension::Tool) => one(),
                Some(Dimension::McpServer) => one().and_then(server),
                _ => replayed(place).unwrap_or_else(whole),
            }
        });
    }
}

/// The server in a value of [`Dimension::McpServer`].
fn server(value: &str) -> Option<&str> {
    value.strip_prefix(SERVER).or_else(|| server_of(value.strip_prefix(TOOL)?))
}

/// A list of what stands in the tool calls whose results an exchange carries: its own, else those
/// of its call's first attempt, which sent the same request.
fn carried(value: &str) -> String {
    let of = |exchange: &str| {
        format!(
            "(SELECT group_concat({value}, char(10) ORDER BY c.place) FROM carried c
              LEFT JOIN tool_calls t ON t.session = coalesce(exchanges.session, '') AND t.id = c.id
              WHERE c.exchange = exchanges.{exchange})"
        )
    };
    format!("coalesce({}, {})", of("id"), of("call"))
}

/// A column for each dimension, and what is bound to them.
fn dimension_columns(by: &[Dimension]) -> (Vec<String>, Vec<Value>) {
    let mut values = Vec::new();
    let mut column = |dimension: &Dimension| {
        let column = match dimension {
            Dimension::Team => "team",
            Dimension::User => "user",
            Dimension::Project => "project",
            Dimension::Session => "session",
            Dimension::Agent => "agent",
            Dimension::AgentType => {
                "(SELECT agent_type FROM agents WHERE agents.session = exchanges.session
                  AND agents.agent = coalesce(exchanges.agent, ''))"
            }
            Dimension::Tool => return carried("coalesce(t.tool, '')"),
            Dimension::McpServer => {
                let value = format!("coalesce('{SERVER}' || t.server, '{TOOL}' || t.tool, '')");
                return carried(&value);
            }
            Dimension::Model => "model",
            Dimension::Key => "key",
            Dimension::Outcome => "outcome",
            Dimension::Instance => "instance",
            Dimension::Day | Dimension::Hour | Dimension::Turn | Dimension::Skill => "NULL",
            Dimension::Tag(name) => {
                values.push(Value::Text(name.clone()));
                "tags ->> ?"
            }
        };
        column.to_owned()
    };
    let columns = by.iter().map(&mut column).collect();
    (columns, values)
}

fn facts<'r>(row: &'r Row<'_>) -> Result<Facts<'r>, IndexError> {
    let tokens = |place| count(row, place).unwrap_or(0);
    Ok(Facts {
        opened_at: integer(row, 0).unwrap_or(0),
        open: integer(row, 1).is_none(),
        tokens: [tokens(2), tokens(3), tokens(4), tokens(5), tokens(6)],
        usd: money(row, 7),
        unpriced: integer(row, 9) == Some(1),
        notional: integer(row, 10) == Some(1),
        list: money(row, 11),
        usd_max: money(row, 13),
        estimated: money(row, 15),
        estimated_max: money(row, 17),
        flags: text(row, 19),
        pricing: text(row, 20),
        moved: integer(row, 21).is_some(),
        further: false,
    })
}
