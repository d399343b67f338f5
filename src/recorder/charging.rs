//! A charge as it is written down.

use crate::accounting::charge::{Charge, LineItem};
use crate::accounting::estimate::Range;
use crate::accounting::price_book::PriceBook;
use crate::accounting::{Call, Flag, Money};
use crate::privacy::Identifier;
use crate::record::{ChargeRecord, LineRecord};

/// Lines of one charge; what comes after is in one last line. An entry of the ledger is bounded.
const LINES_MAX: usize = 32;
/// The kind of that last line.
const REST: &str = "other";

/// Prices a call. `estimated` is the output of a cut stream, in tokens, with what was reported of
/// it; what is flagged goes to `flags`.
pub(super) fn record(
    book: &PriceBook,
    call: &Call<'_>,
    (estimated, notional): (Option<Range>, bool),
    flags: &mut Vec<Flag>,
    identifier: impl Fn(&str) -> Identifier,
) -> ChargeRecord {
    let record = ChargeRecord {
        notional: u8::from(notional),
        pricing: book.version().to_owned(),
        ..ChargeRecord::default()
    };
    let Ok(charge) = book.charge(call) else {
        flags.extend([Flag::UsageAnomaly, Flag::Unpriced]);
        return record;
    };
    let estimate = estimated.and_then(|range| estimate(book, call, &charge, range));
    if estimate.is_some() {
        flags.push(Flag::Estimated);
    }
    let differs = |amount: Option<Money>| amount.filter(|_| amount != charge.total);
    flags.extend(&charge.flags);
    ChargeRecord {
        cache_savings_usd: charge.cache_savings,
        estimated_usd: estimate.map(|(low, _)| low),
        estimated_max_usd: estimate.map(|(_, high)| high),
        lines: lines(&charge, identifier),
        list_usd: differs(charge.list),
        usd: charge.total,
        usd_max: charge.max,
        ..record
    }
}

/// What the output costs that was streamed and never reported.
fn estimate(
    book: &PriceBook,
    call: &Call<'_>,
    charge: &Charge<'_>,
    range: Range,
) -> Option<(Money, Money)> {
    let reported = call.usage.output_tokens.unwrap_or(0);
    let more = |output: u64| {
        let mut usage = call.usage.clone();
        usage.output_tokens = Some(output.max(reported));
        let whole = book.charge(&Call { usage: &usage, ..*call }).ok()?;
        whole.total?.checked_sub(charge.total?).ok()
    };
    Some((more(range.low)?, more(range.high)?))
}

/// One line for each kind of each model, whatever number of iterations it comes from.
fn lines(charge: &Charge<'_>, identifier: impl Fn(&str) -> Identifier) -> Vec<LineRecord> {
    let mut sums: Vec<(LineItem<'_>, &'static str)> = Vec::with_capacity(charge.lines.len());
    for line in charge.lines.iter().filter(|line| line.quantity > 0) {
        let alike = |known: &&mut (LineItem<'_>, &str)| {
            known.0.kind == line.kind && known.0.model == line.model
        };
        let at_bound = sums.len() >= LINES_MAX;
        let sum = match sums.iter_mut().find(alike) {
            Some(sum) => sum,
            None if at_bound => match sums.last_mut() {
                Some(last) => {
                    (last.0.model, last.1) = (None, REST);
                    last
                }
                None => continue,
            },
            None => {
                sums.push((line.clone(), line.kind.name()));
                continue;
            }
        };
        // The sums of all lines are in range, so these are.
        sum.0.quantity = sum.0.quantity.saturating_add(line.quantity);
        sum.0.amount = sum.0.amount.saturating_add(line.amount);
        sum.0.list = sum.0.list.saturating_add(line.list);
    }
    let record = |(line, kind): (LineItem<'_>, &str)| LineRecord {
        kind: kind.to_owned(),
        list_usd: Some(line.list).filter(|list| *list != line.amount),
        model: line.model.filter(|model| Some(*model) != charge.model).map(&identifier),
        quantity: line.quantity,
        usd: line.amount,
    };
    sums.into_iter().map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::{Iteration, Usage};
    use crate::record::encoding::LINE_BYTES_MAX;

    const MODEL: &str = "claude-opus-5-5";

    fn recorded(usage: &Usage, estimated: Option<Range>) -> (ChargeRecord, Vec<Flag>) {
        let book = PriceBook::embedded().unwrap();
        let call = Call::new(MODEL, jiff::civil::date(2026, 11, 20), usage);
        let mut flags = Vec::new();
        let identifier = |name: &str| Identifier::plain(name.as_bytes()).unwrap();
        (record(&book, &call, (estimated, false), &mut flags, identifier), flags)
    }

    fn usage(input: u64, output: u64) -> Usage {
        Usage { input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() }
    }

    #[test]
    fn an_estimate_stands_beside_the_amount_and_is_flagged() {
        let (record, flags) = recorded(&usage(1000, 3), Some(Range { low: 103, high: 203 }));
        let text = |usd: Option<Money>| usd.map(|usd| usd.to_string()).unwrap_or_default();
        assert_eq!(text(record.usd), "0.00406");
        assert_eq!(
            (text(record.estimated_usd), text(record.estimated_max_usd)),
            ("0.002".into(), "0.004".into())
        );
        assert_eq!(flags, [Flag::Estimated]);
        // More was reported than is guessed: nothing is missing.
        let (record, _) = recorded(&usage(1000, 300), Some(Range { low: 103, high: 203 }));
        assert_eq!(record.estimated_max_usd, Some(Money::ZERO));
        let (record, flags) = recorded(&usage(1000, 3), None);
        assert_eq!((record.estimated_usd, flags.len()), (None, 0));
    }

    #[test]
    fn lines_are_one_a_kind_and_model_and_add_up() {
        let step = |kind: &str, model: Option<&str>| Iteration {
            kind: kind.to_owned(),
            model: model.map(str::to_owned),
            input_tokens: Some(10),
            output_tokens: Some(1),
            ..Iteration::default()
        };
        let advisor = Some("claude-fable-5-2");
        let steps =
            [step("message", None), step("advisor_message", advisor), step("message", None)];
        let (record, flags) = recorded(&Usage { iterations: steps.to_vec(), ..usage(20, 2) }, None);
        let lines = record.lines.iter().map(|line| {
            (line.kind.as_str(), line.model.as_ref().map(Identifier::as_str), line.quantity)
        });
        let expected = [
            ("input", None, 20),
            ("output", None, 2),
            ("input", advisor, 10),
            ("output", advisor, 1),
        ];
        assert!(lines.eq(expected), "{:?}", record.lines);
        assert_eq!(record.lines.iter().map(|line| line.usd).sum::<Money>(), record.usd.unwrap());
        assert!(flags.is_empty());
    }

    #[test]
    fn any_number_of_models_fits_an_entry() {
        let book = PriceBook::embedded().unwrap();
        let steps = book.models().map(|model| Iteration {
            kind: "advisor_message".to_owned(),
            model: Some(model.to_owned()),
            cache_read_input_tokens: Some(1 << 62),
            input_tokens: Some(1 << 62),
            output_tokens: Some(1 << 62),
            ..Iteration::default()
        });
        let (record, _) = recorded(&Usage { iterations: steps.collect(), ..usage(1, 1) }, None);
        assert_eq!(
            (record.lines.len(), record.lines.last().unwrap().kind.as_str()),
            (LINES_MAX, REST)
        );
        assert_eq!(record.lines.iter().map(|line| line.usd).sum::<Money>(), record.usd.unwrap());
        assert!(serde_json::to_string(&record).unwrap().len() < LINE_BYTES_MAX / 2);
    }
}
