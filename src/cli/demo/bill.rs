//! The simulated API's own price list and bill. Nothing here knows the pricing table, `Money` or
//! the ledger: two independent sums that agree prove something, one sum twice does not.
//!
//! The list repeats what the pricing table says of these models; where the table gets a new
//! period for one of them, the list follows.

use std::collections::BTreeMap;

/// A Haiku prompt longer than this is charged at the higher tier, every token of it.
const HAIKU_TIER_ABOVE: u64 = 100_000;
/// Pico-dollars in one dollar.
const PICO_PER_USD: u128 = 1_000_000_000_000;
/// Digits that a pico-dollar leaves after the point.
const DECIMALS: usize = 12;

/// What one call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) cache_write_5m: u64,
    pub(super) cache_write_1h: u64,
    pub(super) cache_read: u64,
    pub(super) output: u64,
}

/// Rates in pico-dollars per token, which is millionths of a dollar per million tokens.
struct Rates {
    input: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    cache_read: u64,
    output: u64,
}

const OPUS_5_5: Rates = Rates {
    input: 4_000_000,
    cache_write_5m: 5_000_000,
    cache_write_1h: 8_000_000,
    cache_read: 200_000,
    output: 20_000_000,
};
const SONNET_5_5: Rates = Rates {
    input: 2_000_000,
    cache_write_5m: 2_500_000,
    cache_write_1h: 4_000_000,
    cache_read: 100_000,
    output: 10_000_000,
};
const HAIKU_5_5: Rates = Rates {
    input: 100_000,
    cache_write_5m: 125_000,
    cache_write_1h: 200_000,
    cache_read: 10_000,
    output: 500_000,
};
const HAIKU_5_5_LONG: Rates = Rates {
    input: 500_000,
    cache_write_5m: 625_000,
    cache_write_1h: 1_000_000,
    cache_read: 50_000,
    output: 2_500_000,
};

/// The rates for a prompt of this model; `None` where it is not on the list.
fn rates(model: &str, prompt: u64) -> Option<&'static Rates> {
    match model {
        "claude-opus-5-5" => Some(&OPUS_5_5),
        "claude-sonnet-5-5" => Some(&SONNET_5_5),
        "claude-haiku-5-5" if prompt > HAIKU_TIER_ABOVE => Some(&HAIKU_5_5_LONG),
        "claude-haiku-5-5" => Some(&HAIKU_5_5),
        _ => None,
    }
}

/// What was charged, by request id, in pico-dollars.
#[derive(Debug, Default)]
pub(super) struct Bill(BTreeMap<String, u128>);

impl Bill {
    /// Charges a call; one of a model that is not on the list is given away.
    pub(super) fn charge(&mut self, request_id: &str, model: &str, tokens: &Tokens) {
        let Tokens { input, cache_write_5m, cache_write_1h, cache_read, output } = *tokens;
        let Some(rates) = rates(model, input + cache_write_5m + cache_write_1h + cache_read) else {
            return;
        };
        let parts = [
            (input, rates.input),
            (cache_write_5m, rates.cache_write_5m),
            (cache_write_1h, rates.cache_write_1h),
            (cache_read, rates.cache_read),
            (output, rates.output),
        ];
        let pico = parts.iter().map(|(count, rate)| u128::from(*count) * u128::from(*rate)).sum();
        self.0.insert(request_id.to_owned(), pico);
    }

    /// The amounts, as people write them, by request id.
    pub(super) fn charges(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(id, pico)| (id.clone(), dollars(*pico))).collect()
    }

    /// The sum, to the last digit.
    pub(super) fn total(&self) -> String {
        dollars(self.0.values().sum())
    }
}

/// An amount without trailing zeros.
fn dollars(pico: u128) -> String {
    let (whole, rest) = (pico / PICO_PER_USD, pico % PICO_PER_USD);
    let text = format!("{whole}.{rest:0DECIMALS$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_by_hand() {
        let mut bill = Bill::default();
        let tokens =
            Tokens { input: 3, cache_write_5m: 100, cache_write_1h: 10, cache_read: 7, output: 2 };
        // 3 × 4 + 100 × 5 + 10 × 8 + 7 × 0.2 + 2 × 20 = 633.4 millionths of a dollar.
        bill.charge("a", "claude-opus-5-5", &tokens);
        assert_eq!(bill.total(), "0.0006334");
        let at = |input| Tokens { input, ..Tokens::default() };
        bill.charge("b", "claude-haiku-5-5", &at(HAIKU_TIER_ABOVE));
        bill.charge("c", "claude-haiku-5-5", &at(HAIKU_TIER_ABOVE + 1));
        bill.charge("d", "claude-nobody-knows", &at(5));
        assert_eq!(bill.charges()["b"], "0.01");
        assert_eq!(bill.charges()["c"], "0.0500005");
        assert!(!bill.charges().contains_key("d"));
        assert_eq!(dollars(0), "0");
        assert_eq!(dollars(12 * PICO_PER_USD), "12");
    }
}
