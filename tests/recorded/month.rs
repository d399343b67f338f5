//! A month of several teams, for looking at reports and for adding them up.

use weighbridge::accounting::usage::{CacheCreation, Iteration};
use weighbridge::accounting::{Flag, Money, Usage};
use weighbridge::record::{ChargeRecord, Closing, LineRecord, Opening};

use super::{HOUR, Log, closed, closing, name, opened, opening};

/// 2026-10-12T00:00:00Z in nanoseconds.
const START: u64 = 1_791_763_200_000_000_000;
const MINUTE: u64 = 60_000_000_000;

/// Name, and pico-dollars per token in the order of [`KINDS`].
const MODELS: [(&str, [i128; 5]); 3] = [
    ("claude-opus-5-5", [4_000_000, 20_000_000, 200_000, 5_000_000, 8_000_000]),
    ("claude-sonnet-5-5", [2_000_000, 10_000_000, 100_000, 2_500_000, 4_000_000]),
    ("claude-haiku-5-5", [100_000, 500_000, 10_000, 125_000, 200_000]),
];
const KINDS: [&str; 5] = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"];

/// Numbers that look random and are the same every time.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// One call's figures on their way into a closing.
struct Call {
    model: usize,
    /// In the order of [`KINDS`].
    tokens: [u64; 5],
    /// Tenths of the list price.
    tenths: i128,
}

impl Call {
    fn charge(&self) -> ChargeRecord {
        let rates = MODELS[self.model].1.map(|pico| pico * 1_000_000);
        let line = |place: usize| {
            let list = i128::from(self.tokens[place]) * rates[place];
            let usd = Money::from_atto(list * self.tenths / 10);
            let list = Money::from_atto(list);
            LineRecord {
                kind: KINDS[place].into(),
                list_usd: (list != usd).then_some(list),
                model: None,
                quantity: self.tokens[place],
                usd,
            }
        };
        let lines: Vec<LineRecord> =
            (0..5).filter(|place| self.tokens[*place] > 0).map(line).collect();
        let usd: Money = lines.iter().map(|line| line.usd).sum();
        let list: Money = lines.iter().map(|line| line.list_usd.unwrap_or(line.usd)).sum();
        let cached = (2..5).map(|place| {
            i128::from(self.tokens[place]) * (rates[0] - rates[place]) * self.tenths / 10
        });
        let savings: i128 = cached.sum();
        ChargeRecord {
            cache_savings_usd: (savings != 0).then(|| Money::from_atto(savings)),
            list_usd: (list != usd).then_some(list),
            lines,
            pricing: "2026-11-22.1+7c6868eae046".to_owned(),
            usd: Some(usd),
            ..ChargeRecord::default()
        }
    }

    fn usage(&self) -> Usage {
        Usage {
            cache_creation: Some(CacheCreation {
                ephemeral_1h_input_tokens: Some(self.tokens[4]),
                ephemeral_5m_input_tokens: Some(self.tokens[3]),
            }),
            cache_creation_input_tokens: Some(self.tokens[3] + self.tokens[4]),
            cache_read_input_tokens: Some(self.tokens[2]),
            inference_geo: Some("global".to_owned()),
            input_tokens: Some(self.tokens[0]),
            output_tokens: Some(self.tokens[1]),
            service_tier: Some("standard".to_owned()),
            ..Usage::default()
        }
    }
}

const TEAMS: [&str; 6] =
    ["platform", "search", "data-science", "support", "mobile", "unattributed"];

/// Six weeks of sessions.
pub fn write(log: &mut Log, sessions_a_day: u64) {
    let mut dice = Dice(7);
    let mut number = 0;
    for day in 0..42 {
        let weekend = day % 7 >= 5;
        let sessions = if weekend { sessions_a_day / 6 } else { sessions_a_day * (40 + day) / 50 };
        for _ in 0..sessions {
            let begin = START + day * 24 * HOUR + 7 * HOUR + dice.below(11 * 60) * MINUTE;
            session(log, &mut dice, begin, &mut number);
        }
    }
    log.flush();
}

fn session(log: &mut Log, dice: &mut Dice, begin: u64, number: &mut u64) {
    let ticket = dice.below(TEAMS.len() as u64).min(dice.below(TEAMS.len() as u64));
    let team = TEAMS[usize::try_from(ticket).unwrap()];
    let model = [0, 1, 1, 2][usize::try_from(dice.below(4)).unwrap()];
    let id = format!("{:08x}-7a10-4c1e-9d00-{:012x}", dice.below(1 << 31), dice.below(1 << 31));
    let mut prefix = 0;
    let mut at = begin;
    for turn in 0..3 + dice.below(14) {
        *number += 1;
        let exchange = format!("01a2046c-c8f8-77e2-97cd-{number:012x}");
        at += 20_000_000_000 + dice.below(100) * 1_000_000_000;
        let late = dice.below(12) == 0;
        if late {
            at += 8 * MINUTE;
        }
        let hour = if turn == 0 && team == "platform" { 9_000 } else { 0 };
        let write = 1_500 + dice.below(6_000) + if turn == 0 { 14_000 } else { 0 };
        let read = if late { prefix / 3 } else { prefix };
        let write = write + (prefix - read);
        let tokens = [4 + dice.below(40), 150 + dice.below(2_400), read, write, hour];
        prefix = read + write + hour;
        let tenths = if team == "platform" || team == "search" { 9 } else { 10 };
        let call = Call { model, tokens, tenths };
        put(log, dice, (&exchange, &id, team), at, &call);
    }
}

fn put(log: &mut Log, dice: &mut Dice, names: (&str, &str, &str), at: u64, call: &Call) {
    let (exchange, session, team) = names;
    let wanted = MODELS[call.model].0;
    let user = Some(format!("user-{}", session.len() as u64 + dice.below(9)));
    log.put(
        &opened(Opening {
            team: team.to_owned(),
            user,
            session: Some(name(session)),
            model: Some(name(wanted)),
            ..opening(exchange)
        }),
        at,
    );
    let mut closing = Closing {
        charge: Some(call.charge()),
        model: Some(name(wanted)),
        usage: Some(call.usage()),
        ..closing(exchange, Some("0"))
    };
    let charge = closing.charge.as_mut().unwrap();
    match dice.below(60) {
        0 => {
            closing.flags = vec![Flag::Partial];
            charge.estimated_usd = Some("0.0041".parse().unwrap());
            charge.estimated_max_usd = Some("0.0163".parse().unwrap());
        }
        1 => {
            closing.model = Some(name("claude-mythos-preview"));
            closing.flags = vec![Flag::Unpriced];
            *charge = ChargeRecord { pricing: charge.pricing.clone(), ..ChargeRecord::default() };
        }
        2..5 if team == "mobile" => charge.notional = 1,
        5 if call.model == 0 => {
            // An advisor of another model worked on it.
            let usage = closing.usage.as_mut().unwrap();
            usage.iterations = vec![Iteration {
                kind: "advisor_message".to_owned(),
                model: Some("claude-fable-5-2".to_owned()),
                output_tokens: Some(1_210),
                ..Iteration::default()
            }];
            let usd = "0.0484".parse().unwrap();
            charge.lines.push(LineRecord {
                kind: "output".to_owned(),
                list_usd: None,
                model: Some(name("claude-fable-5-2")),
                quantity: 1_210,
                usd,
            });
            charge.usd = charge.usd.map(|sum| sum.saturating_add(usd));
            charge.list_usd = charge.list_usd.map(|sum| sum.saturating_add(usd));
        }
        _ => {}
    }
    log.put(&closed(closing), at + 6_000_000_000);
}
