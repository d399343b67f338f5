//! One exchange as a line of JSON, a row of a table, or a page of everything that is known.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::period::{instant, readable};
use super::render::usd_readable;
use super::sums::Facts;
use super::text::{NOTHING, printable, thousands};
use super::tool::Judged;
use crate::accounting::Money;

/// Everything the index knows of an exchange, borrowed from it. `None` is unknown or absent.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "named as in the interface and in the index's schema")]
pub struct Exchange<'a> {
    pub sequence: u64,
    pub closed_sequence: Option<u64>,
    pub id: &'a str,
    pub instance: &'a str,
    pub opened_at: i64,
    pub closed_at: Option<i64>,
    pub duration_us: Option<u64>,
    pub first_token_us: Option<u64>,
    pub outcome: Option<&'a str>,
    pub status: Option<u64>,
    pub endpoint: Option<&'a str>,
    pub model: Option<&'a str>,
    pub model_requested: Option<&'a str>,
    pub team: Option<&'a str>,
    pub user: Option<&'a str>,
    pub project: Option<&'a str>,
    pub session: Option<&'a str>,
    pub agent: Option<&'a str>,
    pub parent_agent: Option<&'a str>,
    pub key: Option<&'a str>,
    /// The first attempt's exchange; this one's own id where it is the first.
    pub call: &'a str,
    pub attempt: Option<u64>,
    pub streamed: Option<bool>,
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub write_5m: Option<u64>,
    pub write_1h: Option<u64>,
    pub usd: Option<Money>,
    /// At list prices, where that is not `usd`.
    pub list: Option<Money>,
    /// The upper end where `usd` is the lower end of a range.
    pub usd_max: Option<Money>,
    /// What a cut stream may have cost beyond `usd`.
    pub estimated: Option<Money>,
    pub estimated_max: Option<Money>,
    /// What the cache saved.
    pub savings: Option<Money>,
    pub unpriced: bool,
    /// A subscription paid: `usd` is not billed.
    pub notional: bool,
    pub pricing: Option<&'a str>,
    pub request_id: Option<&'a str>,
    pub stop_reason: Option<&'a str>,
    pub error_type: Option<&'a str>,
    /// What the error is where its type does not say it.
    pub error_class: Option<&'a str>,
    /// JSON as it stands in the ledger.
    pub flags: Option<&'a str>,
    pub tags: Option<&'a str>,
    pub usage: Option<&'a str>,
    pub lines: Option<&'a str>,
    /// The correction that moved it to its team, and the team before the first one.
    pub moved_sequence: Option<u64>,
    pub moved_from: Option<&'a str>,
    /// What a fetch of a batch's results held: a JSON object.
    pub batch: Option<&'a str>,
}

/// One attempt of a logical call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Its exchange.
    pub id: String,
    /// 1 for the first.
    pub attempt: Option<u64>,
    /// Why it closed.
    pub outcome: Option<String>,
    /// Status sent to the client.
    pub status: Option<u64>,
    /// What it cost.
    pub usd: Option<Money>,
}

/// What other entries say about an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Related {
    /// All attempts of its call.
    pub attempts: Vec<Attempt>,
    /// The tools that its answer asked for.
    pub asked: Vec<Judged>,
    /// The tools whose results its request carried.
    pub carried: Vec<Judged>,
    /// What rules said of it.
    pub rules: Vec<RuleSaid>,
}

/// What a rule said of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleSaid {
    /// What came of it: `refused`, `observed`.
    pub action: String,
    /// The rule.
    pub rule: String,
    /// Whose rule.
    pub layer: String,
    /// The version of the rules.
    pub policy: String,
}

/// A line item as the ledger holds it.
#[derive(Debug, Deserialize)]
pub struct Item<'a> {
    /// A token kind's name or a server tool's.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// At list price, where that is not `usd`.
    pub list_usd: Option<Money>,
    /// Its model, where that is not the exchange's.
    #[serde(borrow)]
    pub model: Option<Name<'a>>,
    /// How many.
    pub quantity: u64,
    /// The amount.
    pub usd: Money,
}

/// Text that is borrowed where it can be; inside an `Option`, a bare `Cow` never is.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Name<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The columns of the table of exchanges.
pub const HEADER: [&str; 10] =
    ["opened (UTC)", "id", "team", "model", "outcome", "status", "time", "input", "output", "usd"];

impl Exchange<'_> {
    /// The line items of its charge; none where they cannot be read.
    #[must_use]
    pub fn items(&self) -> Vec<Item<'_>> {
        self.lines.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// What sums need of it.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        let tokens = [self.input, self.output, self.cache_read, self.write_5m, self.write_1h];
        Facts {
            opened_at: self.opened_at,
            tokens: tokens.map(|count| count.unwrap_or(0)),
            usd: self.usd,
            usd_max: self.usd_max,
            list: self.list,
            estimated: self.estimated,
            estimated_max: self.estimated_max,
            notional: self.notional,
            unpriced: self.unpriced,
            open: self.closed_sequence.is_none(),
            moved: self.moved_sequence.is_some(),
            flags: self.flags,
            pricing: self.pricing,
            further: false,
        }
    }

    /// A row below [`HEADER`].
    #[must_use]
    pub fn cells(&self) -> Vec<String> {
        let text = |value: Option<&str>| printable(value.unwrap_or(NOTHING)).into_owned();
        let number = |value: Option<u64>| value.map_or_else(|| NOTHING.to_owned(), thousands);
        vec![
            readable(self.opened_at),
            printable(self.id).into_owned(),
            text(self.team),
            text(self.model),
            text(Some(self.outcome.unwrap_or("open"))),
            self.status.map_or_else(|| NOTHING.to_owned(), |status| status.to_string()),
            self.duration_us.map_or_else(|| NOTHING.to_owned(), duration),
            number(self.input),
            number(self.output),
            self.amount(),
        ]
    }

    /// One line of JSON Lines, without the newline.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// One line with everything: the keys of [`Exchange::json`] and more.
    pub fn json_detail(&self, related: &Related) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Detail { exchange: self, related })
    }

    /// Everything, for people.
    #[must_use]
    pub fn page(&self, related: &Related) -> String {
        let mut page = format!("exchange {}\n", printable(self.id));
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(page, "  {name:<14} {}", printable(&value));
            }
        };
        let own = |value: Option<&str>| value.map(str::to_owned);
        line("opened", Some(instant(self.opened_at)));
        line("closed", Some(self.closed_at.map_or_else(|| "still open".to_owned(), instant)));
        line("took", self.duration_us.map(duration));
        line("first token", self.first_token_us.map(duration));
        line("outcome", own(self.outcome));
        line("status", self.status.map(|status| status.to_string()));
        line("error", own(self.error_type));
        line("error class", own(self.error_class));
        line("stop reason", own(self.stop_reason));
        line("endpoint", own(self.endpoint));
        line("model", own(self.model));
        line("asked for", own(self.model_requested));
        line("streamed", self.streamed.map(|yes| if yes { "yes" } else { "no" }.to_owned()));
        line("team", own(self.team));
        let moved = self.moved_from.zip(self.moved_sequence);
        line("moved", moved.map(|(from, entry)| format!("from {from}, by entry {entry}")));
        line("user", own(self.user));
        line("project", own(self.project));
        line("session", own(self.session));
        line("agent", own(self.agent));
        line("parent agent", own(self.parent_agent));
        line("key", own(self.key));
        line("request id", own(self.request_id));
        line("instance", own(Some(self.instance)));
        let closing = self.closed_sequence.map_or_else(|| NOTHING.to_owned(), |n| n.to_string());
        line("in the log", Some(format!("opened at {}, closed at {closing}", self.sequence)));
        line("batch results", own(self.batch));
        line("flags", own(self.flags));
        line("tags", own(self.tags));
        let unknown = self.flags.is_some_and(|flags| flags.contains("\"usage_unknown\""));
        line("usage", own(self.usage.or(unknown.then_some("unknown"))));
        line("pricing", own(self.pricing));
        line("usd", Some(self.exact()));
        let exact = |amount: Option<Money>| amount.map(|amount| amount.to_string());
        line("at most", exact(self.usd_max));
        line("at list price", exact(self.list));
        line("estimated", exact(self.estimated).map(|low| format!("{low} more, not in usd")));
        line("estimated max", exact(self.estimated_max));
        line("cache savings", exact(self.savings));
        line("paid by", self.notional.then(|| "a subscription: usd is notional".to_owned()));
        for said in &related.rules {
            let RuleSaid { action, rule, layer, policy } = said;
            line("rule", Some(format!("{action} by {rule} ({layer}), rules {policy}")));
        }
        self.write_items(&mut page);
        write_attempts(&mut page, &related.attempts);
        write_tools(&mut page, "asked for", &related.asked);
        write_tools(&mut page, "carried the results of", &related.carried);
        page
    }

    fn write_items(&self, page: &mut String) {
        for Item { kind, list_usd, model, quantity, usd } in self.items() {
            let quantity = thousands(quantity);
            let _ = write!(page, "    {:<16} {quantity:>12}  {usd}", printable(&kind));
            let list = list_usd.map(|list| format!("  list {list}"));
            let model = model.map(|model| format!("  ({})", printable(&model.0)));
            let _ = writeln!(page, "{}{}", list.unwrap_or_default(), model.unwrap_or_default());
        }
    }

    /// The amount for a table.
    #[must_use]
    pub fn amount(&self) -> String {
        match self.usd {
            Some(usd) if self.notional => format!("{} notional", usd_readable(usd, 6)),
            Some(usd) => usd_readable(usd, 6),
            None if self.unpriced => "unpriced".to_owned(),
            None => NOTHING.to_owned(),
        }
    }

    fn exact(&self) -> String {
        match self.usd {
            Some(usd) => usd.to_string(),
            None if self.unpriced => "unknown: no rate is known for it".to_owned(),
            None => NOTHING.to_owned(),
        }
    }

    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("id", self.id)?;
        map.serialize_entry("opened_at", &instant(self.opened_at))?;
        map.serialize_entry("closed_at", &self.closed_at.map(instant))?;
        map.serialize_entry("outcome", &self.outcome)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("model", &self.model)?;
        map.serialize_entry("team", &self.team)?;
        map.serialize_entry("user", &self.user)?;
        map.serialize_entry("project", &self.project)?;
        map.serialize_entry("session", &self.session)?;
        map.serialize_entry("agent", &self.agent)?;
        map.serialize_entry("streamed", &self.streamed)?;
        map.serialize_entry("usage", &raw(self.usage))?;
        map.serialize_entry("usd", &self.usd)?;
        map.serialize_entry("flags", &raw(self.flags.or(Some("[]"))))?;
        map.serialize_entry("instance", self.instance)?;
        map.serialize_entry("sequence", &self.sequence)
    }
}

impl Serialize for Exchange<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.entries(&mut map)?;
        map.end()
    }
}

struct Detail<'e> {
    exchange: &'e Exchange<'e>,
    related: &'e Related,
}

impl Serialize for Detail<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let exchange = self.exchange;
        let mut map = serializer.serialize_map(None)?;
        exchange.entries(&mut map)?;
        map.serialize_entry("closed_sequence", &exchange.closed_sequence)?;
        map.serialize_entry("duration_us", &exchange.duration_us)?;
        map.serialize_entry("first_token_us", &exchange.first_token_us)?;
        map.serialize_entry("endpoint", &exchange.endpoint)?;
        map.serialize_entry("model_requested", &exchange.model_requested)?;
        map.serialize_entry("parent_agent", &exchange.parent_agent)?;
        map.serialize_entry("key", &exchange.key)?;
        map.serialize_entry("request_id", &exchange.request_id)?;
        map.serialize_entry("stop_reason", &exchange.stop_reason)?;
        map.serialize_entry("error_type", &exchange.error_type)?;
        map.serialize_entry("error_class", &exchange.error_class)?;
        map.serialize_entry("pricing_version", &exchange.pricing)?;
        map.serialize_entry("usd_max", &exchange.usd_max)?;
        map.serialize_entry("list_usd", &exchange.list.or(exchange.usd))?;
        map.serialize_entry("estimated_usd", &exchange.estimated)?;
        map.serialize_entry("estimated_max_usd", &exchange.estimated_max)?;
        map.serialize_entry("cache_savings_usd", &exchange.savings)?;
        map.serialize_entry("notional", &exchange.notional)?;
        map.serialize_entry("moved_from", &exchange.moved_from)?;
        map.serialize_entry("moved_sequence", &exchange.moved_sequence)?;
        map.serialize_entry("lines", &raw(exchange.lines.or(Some("[]"))))?;
        map.serialize_entry("tags", &raw(exchange.tags.or(Some("{}"))))?;
        map.serialize_entry("batch", &raw(exchange.batch))?;
        map.serialize_entry("call", exchange.call)?;
        map.serialize_entry("attempt", &exchange.attempt)?;
        map.serialize_entry("attempts", &self.related.attempts)?;
        map.serialize_entry("tools_asked", &self.related.asked)?;
        map.serialize_entry("tools_carried", &self.related.carried)?;
        map.serialize_entry("rules", &self.related.rules)?;
        map.end()
    }
}

fn write_attempts(page: &mut String, attempts: &[Attempt]) {
    if attempts.len() < 2 {
        return;
    }
    page.push_str("  attempts of this call\n");
    for attempt in attempts {
        let number = attempt.attempt.map_or_else(|| NOTHING.to_owned(), |n| n.to_string());
        let outcome = attempt.outcome.as_deref().unwrap_or("open");
        let status = attempt.status.map_or_else(|| NOTHING.to_owned(), |s| s.to_string());
        let usd = attempt.usd.map_or_else(|| NOTHING.to_owned(), |usd| usd.to_string());
        let id = printable(&attempt.id);
        let _ = writeln!(page, "    {number:>2}  {id}  {}  {status}  {usd}", printable(outcome));
    }
}

fn write_tools(page: &mut String, what: &str, tools: &[Judged]) {
    if tools.is_empty() {
        return;
    }
    let _ = writeln!(page, "  {what}");
    for judged in tools {
        let tool = judged.call.tool.as_deref().unwrap_or("unnamed tool");
        let (id, tool, words) = (printable(&judged.call.id), printable(tool), judged.words());
        let _ = writeln!(page, "    {id}  {tool}  {}", printable(&words));
    }
}

/// JSON that is passed on as it stands; what is not JSON becomes null.
fn raw(text: Option<&str>) -> Option<&RawValue> {
    text.and_then(|text| serde_json::from_str(text).ok())
}

/// A duration for people.
fn duration(us: u64) -> String {
    if us < 1_000_000 {
        return format!("{}.{} ms", us / 1000, us % 1000 / 100);
    }
    format!("{}.{} s", thousands(us / 1_000_000), us % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_every_key_and_null_for_what_is_unknown() {
        let exchange = Exchange { id: "e", instance: "i", call: "e", ..Exchange::default() };
        let line: serde_json::Value = serde_json::from_str(&exchange.json().unwrap()).unwrap();
        let keys = [
            "id",
            "opened_at",
            "closed_at",
            "outcome",
            "status",
            "model",
            "team",
            "user",
            "project",
            "session",
            "agent",
            "streamed",
            "usage",
            "usd",
            "flags",
            "instance",
            "sequence",
        ];
        let object = line.as_object().unwrap();
        assert_eq!(object.len(), keys.len());
        assert!(keys.iter().all(|key| object.contains_key(*key)));
        assert!(line["usage"].is_null() && line["usd"].is_null() && line["streamed"].is_null());
        assert_eq!(line["flags"], serde_json::json!([]));
    }

    #[test]
    fn nothing_on_a_page_steers_the_terminal() {
        let exchange = Exchange {
            id: "e",
            model: Some("\u{1b}[2J"),
            tags: Some("{\"a\":\"\u{202e}\"}"),
            ..Exchange::default()
        };
        let page = exchange.page(&Related::default());
        assert!(page.contains("\\u{1b}[2J") && page.contains("\\u{202e}"), "{page}");
        assert!(!page.contains('\u{1b}'));
        assert!(!exchange.cells().concat().contains('\u{1b}'));
    }

    #[test]
    fn an_amount_is_never_a_silent_zero() {
        let exchange = |usd: Option<&str>, unpriced| {
            let usd = usd.map(|text| text.parse().unwrap());
            Exchange { usd, unpriced, ..Exchange::default() }.amount()
        };
        assert_eq!(exchange(None, true), "unpriced");
        assert_eq!(exchange(None, false), NOTHING);
        assert_eq!(exchange(Some("0"), false), "0.000000");
        assert_eq!(exchange(Some("0.0000000055"), false), "<0.000001");
    }
}
