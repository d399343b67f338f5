//! FOCUS 1.2: cost and usage as FinOps tools read it.
//!
//! One row is one charge period, team, model, kind of line item and price, so that quantity × unit
//! price is the cost to the last digit. What is not billed never looks billed: estimates and what a
//! subscription paid for have costs of 0 and their amount in a column of ours, what has no known
//! price has no cost at all.

use std::collections::HashMap;

use serde::Deserialize;

use super::dimension::Dimension;
use super::exchange::{Exchange, Name};
use super::period::{self, NS_PER_DAY, NS_PER_HOUR};
use super::statement::is_token;
use crate::accounting::attribution::UNATTRIBUTED;
use crate::accounting::{Money, TokenKind};

mod columns;

pub use columns::COLUMNS;

/// Tokens in one pricing unit: prices are published per million.
const TOKENS_PER_UNIT: i128 = 1_000_000;
/// The most rows of one table: about a gigabyte.
const ROWS_MAX: usize = 1_000_000;
/// The kind of a row that holds what a charge does not break down.
const NOT_BROKEN_DOWN: &str = "not_broken_down";
/// The kind of a row that holds estimates.
const ESTIMATE: &str = "estimate";

/// There are more rows than anything could load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the FOCUS table has more than {ROWS_MAX} rows; name fewer dimensions in --by, or a shorter \
     period with --from and --to"
)]
pub struct TooManyRows;

/// What kind of amount a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Billed, as the API reported the usage.
    Billed,
    /// A subscription paid.
    Notional,
    /// No rate is known.
    Unpriced,
    /// Beyond what was reported.
    Estimated,
}

/// Prices of one pricing unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Price {
    contracted: Money,
    list: Money,
    /// For so many tokens or requests; absent where the amounts do not come out even: then the
    /// whole amount is the price of one unit.
    per: Option<i128>,
}

/// What makes a row one of its own.
#[derive(Clone, Debug)]
struct Row {
    start: i64,
    end: i64,
    standing: Standing,
    instance: String,
    endpoint: String,
    team: Option<String>,
    /// Who had paid before corrections moved it to `team`.
    moved_from: Option<String>,
    model: Option<String>,
    kind: String,
    tier: Option<String>,
    speed: Option<String>,
    geography: Option<String>,
    pricing: Option<String>,
    tags: Vec<(String, String)>,
    price: Option<Price>,
    sums: RowSums,
}

/// What is added up in a row.
#[derive(Clone, Debug, Default)]
struct RowSums {
    quantity: u64,
    usd: Money,
    list: Money,
    /// The upper end; differs for estimates only.
    most: Money,
    exchanges: u64,
    /// The request's id while the row is of one only.
    request: Option<String>,
}

/// How a request was served, out of its usage.
#[derive(Debug, Default, Deserialize)]
struct Served<'a> {
    #[serde(borrow)]
    service_tier: Option<Name<'a>>,
    #[serde(borrow)]
    speed: Option<Name<'a>>,
    #[serde(borrow)]
    inference_geo: Option<Name<'a>>,
}

/// One line of an exchange on its way into a row.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    standing: Standing,
    model: Option<&'a str>,
    kind: &'a str,
    quantity: u64,
    usd: Money,
    list: Money,
    most: Money,
}

/// FOCUS rows while they are added up.
#[derive(Debug)]
pub struct Focus {
    /// Beyond team, model and day.
    by: Vec<Dimension>,
    step: i64,
    rows: HashMap<Vec<u8>, Row>,
    key: Vec<u8>,
    full: bool,
}

impl Focus {
    /// Rows by day, team and model, and by what `by` names beyond that, which becomes tags; with
    /// an hour in it, rows by hour.
    #[must_use]
    pub fn new(by: &[Dimension]) -> Focus {
        let hourly = by.contains(&Dimension::Hour);
        let known = [Dimension::Team, Dimension::Model, Dimension::Day, Dimension::Hour];
        let by = by.iter().filter(|dimension| !known.contains(dimension)).cloned().collect();
        let step = if hourly { NS_PER_HOUR } else { NS_PER_DAY };
        Focus { by, step, rows: HashMap::new(), key: Vec::new(), full: false }
    }

    /// Counts one exchange.
    pub fn add(&mut self, exchange: &Exchange<'_>) {
        let facts = exchange.facts();
        let mut served: Served<'_> =
            exchange.usage.and_then(|usage| serde_json::from_str(usage).ok()).unwrap_or_default();
        let tier = served.service_tier.as_ref().map(|tier| &*tier.0);
        if exchange.endpoint == Some("batches") && matches!(tier, None | Some("standard")) {
            served.service_tier = Some(Name("batch".into()));
        }
        let tags = self.tags(exchange);
        let standing = match facts.notional {
            true => Standing::Notional,
            false => Standing::Billed,
        };
        let blank = Entry {
            standing,
            model: exchange.model,
            kind: NOT_BROKEN_DOWN,
            quantity: 1,
            usd: Money::ZERO,
            list: Money::ZERO,
            most: Money::ZERO,
        };
        let mut put = |entry: Entry<'_>| self.put(exchange, &served, &tags, entry);
        if let Some(usd) = facts.usd {
            let list = facts.list.unwrap_or(usd);
            let (mut rest, mut rest_list) = (usd.atto(), list.atto());
            for item in &exchange.items() {
                let listed = item.list_usd.unwrap_or(item.usd);
                rest = rest.saturating_sub(item.usd.atto());
                rest_list = rest_list.saturating_sub(listed.atto());
                let model = item.model.as_ref().map_or(exchange.model, |name| Some(&name.0));
                let (kind, quantity) = (&*item.kind, item.quantity);
                put(Entry { model, kind, quantity, usd: item.usd, list: listed, ..blank });
            }
            if rest != 0 || rest_list != 0 {
                let (usd, list) = (Money::from_atto(rest), Money::from_atto(rest_list));
                put(Entry { usd, list, ..blank });
            }
        }
        if facts.unpriced {
            let standing = Standing::Unpriced;
            for (kind, quantity) in TokenKind::ALL.into_iter().zip(facts.tokens) {
                if quantity > 0 {
                    put(Entry { standing, kind: kind.name(), quantity, ..blank });
                }
            }
        }
        // What may have been billed beyond what was reported, in one row.
        let low = facts.estimated.unwrap_or(Money::ZERO);
        let wider = facts.usd_max.zip(facts.usd).map_or(0, |(most, usd)| most.atto() - usd.atto());
        let most = facts.estimated_max.unwrap_or(low).saturating_add(Money::from_atto(wider));
        if !facts.notional && (low != Money::ZERO || most != Money::ZERO) {
            put(Entry { standing: Standing::Estimated, kind: ESTIMATE, usd: low, most, ..blank });
        }
    }

    fn put(
        &mut self,
        exchange: &Exchange<'_>,
        served: &Served<'_>,
        tags: &[(String, String)],
        entry: Entry<'_>,
    ) {
        let start = exchange.opened_at.div_euclid(self.step).saturating_mul(self.step);
        let price = price(&entry);
        let text = |name: &Option<Name<'_>>| name.as_ref().map(|name| name.0.clone().into_owned());
        self.key.clear();
        self.key.extend_from_slice(&start.to_le_bytes());
        self.key.push(entry.standing as u8);
        for part in [price.map(|p| p.contracted), price.map(|p| p.list)] {
            let atto = part.map_or(i128::MIN, Money::atto);
            self.key.extend_from_slice(&atto.to_le_bytes());
        }
        self.key.push(u8::from(price.is_some_and(|price| price.per.is_some())));
        let named = |name: &'_ Option<Name<'_>>| name.as_ref().map(|name| name.0.to_string());
        let served_as = [&served.service_tier, &served.speed, &served.inference_geo].map(named);
        let moved_from = exchange.moved_from.map(|team| match team {
            "" => UNATTRIBUTED,
            team => team,
        });
        let plain = [Some(exchange.instance), exchange.endpoint, exchange.team, entry.model]
            .into_iter()
            .chain([Some(entry.kind), exchange.pricing, moved_from])
            .chain(served_as.iter().map(Option::as_deref))
            .chain(tags.iter().map(|(_, value)| Some(value.as_str())));
        for part in plain {
            let part = part.map_or(&[0xff][..], str::as_bytes);
            self.key.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.key.extend_from_slice(part);
        }
        if !self.rows.contains_key(&self.key) {
            if self.rows.len() >= ROWS_MAX {
                self.full = true;
                return;
            }
            let own = |text: Option<&str>| text.map(str::to_owned);
            let row = Row {
                start,
                end: start.saturating_add(self.step),
                standing: entry.standing,
                instance: exchange.instance.to_owned(),
                endpoint: exchange.endpoint.unwrap_or_default().to_owned(),
                team: own(exchange.team),
                moved_from: own(moved_from),
                model: own(entry.model),
                kind: entry.kind.to_owned(),
                tier: text(&served.service_tier),
                speed: text(&served.speed),
                geography: text(&served.inference_geo),
                pricing: own(exchange.pricing),
                tags: tags.to_vec(),
                price,
                sums: RowSums::default(),
            };
            self.rows.insert(self.key.clone(), row);
        }
        if let Some(row) = self.rows.get_mut(&self.key) {
            row.sums.add(&entry, exchange.request_id);
        }
    }

    fn tags(&self, exchange: &Exchange<'_>) -> Vec<(String, String)> {
        let mut tags = Vec::with_capacity(self.by.len());
        let asserted: Option<serde_json::Value> = match self.by.is_empty() {
            true => None,
            false => exchange.tags.and_then(|tags| serde_json::from_str(tags).ok()),
        };
        for dimension in &self.by {
            let value = match dimension {
                Dimension::User => exchange.user,
                Dimension::Project => exchange.project,
                Dimension::Session => exchange.session,
                Dimension::Agent => exchange.agent,
                Dimension::Key => exchange.key,
                Dimension::Outcome => exchange.outcome,
                Dimension::Instance => Some(exchange.instance),
                Dimension::Tag(name) => {
                    asserted.as_ref().and_then(|tags| tags.get(name)).and_then(|tag| tag.as_str())
                }
                // The first four have columns; the rest does not stand in an exchange, and whoever
                // asks for it is told so.
                Dimension::Team
                | Dimension::Model
                | Dimension::Day
                | Dimension::Hour
                | Dimension::Turn
                | Dimension::AgentType
                | Dimension::Tool
                | Dimension::McpServer
                | Dimension::Skill => None,
            };
            // Keys that we define carry our prefix, those that callers assert do not.
            let key = match dimension {
                Dimension::Tag(name) => name.clone(),
                other => format!("weighbridge/{other}"),
            };
            tags.extend(value.map(|value| (key, value.to_owned())));
        }
        tags
    }

    /// CSV (RFC 4180) with the columns of FOCUS 1.2 and ours; an empty field is null.
    pub fn csv(self) -> Result<String, TooManyRows> {
        if self.full {
            return Err(TooManyRows);
        }
        let mut rows: Vec<Row> = self.rows.into_values().collect();
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        let mut text = COLUMNS.join(",");
        text.push_str("\r\n");
        for row in &rows {
            columns::write(row, &mut text);
        }
        Ok(text)
    }
}

/// The order of rows: time, who pays, model, kind, and what is left.
fn order(row: &Row) -> impl Ord + '_ {
    let kind = TokenKind::ALL.iter().position(|kind| kind.name() == row.kind);
    let served = (&row.tier, &row.speed, &row.geography, &row.pricing);
    let place = (kind.unwrap_or(TokenKind::ALL.len()), &row.kind, row.standing, row.price);
    let origin = (&row.moved_from, &row.tags, &row.instance, &row.endpoint);
    (row.start, &row.team, &row.model, place, served, origin)
}

impl RowSums {
    fn add(&mut self, entry: &Entry<'_>, request: Option<&str>) {
        self.request = match self.exchanges {
            0 => request.map(str::to_owned),
            _ => self.request.take().filter(|known| Some(known.as_str()) == request),
        };
        self.exchanges = self.exchanges.saturating_add(1);
        self.quantity = self.quantity.saturating_add(entry.quantity);
        self.usd = self.usd.saturating_add(entry.usd);
        self.list = self.list.saturating_add(entry.list);
        self.most = self.most.saturating_add(entry.most);
    }
}

/// The unit prices that make quantity × price the amount exactly.
fn price(entry: &Entry<'_>) -> Option<Price> {
    if matches!(entry.standing, Standing::Unpriced | Standing::Estimated) {
        return None;
    }
    let per = if is_token(entry.kind) { TOKENS_PER_UNIT } else { 1 };
    let quantity = i128::from(entry.quantity);
    let unit = |usd: Money| {
        let scaled = usd.atto().checked_mul(per)?;
        (quantity > 0 && scaled % quantity == 0).then(|| Money::from_atto(scaled / quantity))
    };
    let prices = unit(entry.usd).zip(unit(entry.list));
    let uneven = entry.kind == NOT_BROKEN_DOWN;
    Some(match prices.filter(|_| !uneven) {
        Some((contracted, list)) => Price { contracted, list, per: Some(per) },
        None => Price { contracted: Money::ZERO, list: Money::ZERO, per: None },
    })
}

/// An instant as FOCUS wants it: to the second, `Z`.
fn instant(ns: i64) -> String {
    period::hour(ns.div_euclid(NS_PER_HOUR))
}
