//! What a run cost, in the words and formats people read at its end.

use crate::accounting::Money;
use crate::record::Closing;

/// The first call, in one line.
pub(super) fn first_call(closing: &Closing) -> String {
    let model = closing.model.as_ref().map_or("an unknown model", |model| model.as_str());
    let cost = match closing.charge.as_ref().and_then(|charge| charge.usd) {
        Some(usd) => format!("cost ${usd}"),
        None => "has no known price".to_owned(),
    };
    let tokens = closing.usage.as_ref().map_or(0, |usage| {
        usage.tokens().into_iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(count))
    });
    format!("The first call came: {model}, {tokens} tokens, {cost}. It is in the ledger.")
}

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) exchanges: u64,
    pub(super) usd: Money,
    pub(super) estimated: Money,
    pub(super) notional: Money,
    pub(super) unpriced: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cache_read_tokens: u64,
    pub(super) cache_write_tokens: u64,
    pub(super) models: Vec<(String, u64, Money)>,
}

impl Run {
    /// From the JSON form of `report --by model`: the one place where figures are added up.
    pub(super) fn from_report(report: &serde_json::Value) -> Run {
        let count = |row: &serde_json::Value, key: &str| row[key].as_u64().unwrap_or(0);
        let amount = |row: &serde_json::Value, key: &str| {
            row[key].as_str().and_then(|text| text.parse().ok()).unwrap_or(Money::ZERO)
        };
        let money = |row: &serde_json::Value| amount(row, "usd");
        let total = &report["total"];
        let writes = ["cache_write_5m_tokens", "cache_write_1h_tokens"];
        let rows = report["rows"].as_array().map_or(&[][..], Vec::as_slice);
        let models = rows.iter().map(|row| {
            let model = row["model"].as_str().unwrap_or("–").to_owned();
            (model, count(row, "exchanges"), money(row))
        });
        Run {
            exchanges: count(total, "exchanges"),
            usd: money(total),
            estimated: amount(total, "estimated_usd"),
            notional: amount(total, "notional_usd"),
            unpriced: count(total, "unpriced"),
            input_tokens: count(total, "input_tokens"),
            output_tokens: count(total, "output_tokens"),
            cache_read_tokens: count(total, "cache_read_tokens"),
            cache_write_tokens: writes
                .iter()
                .fold(0, |sum: u64, key| sum.saturating_add(count(total, key))),
            models: models.collect(),
        }
    }

    /// For standard error, after the command's own output.
    pub(super) fn text(&self) -> String {
        let calls = if self.exchanges == 1 { "call" } else { "calls" };
        let mut text = format!(
            "weighbridge: {} {calls}, ${} · input {} · output {} · cache read {} · cache write {}\n",
            self.exchanges,
            self.usd,
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens
        );
        if self.unpriced > 0 {
            text.push_str(&format!("weighbridge: {} unpriced, not in the sum\n", self.unpriced));
        }
        for (amount, what) in self.beside() {
            text.push_str(&format!("weighbridge: ${amount} {what}, not in the sum\n"));
        }
        text
    }

    /// A Markdown job summary.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "## Claude usage\n\n**${}** over {} {}\n\n| model | calls | USD |\n|---|--:|--:|\n",
            self.usd,
            self.exchanges,
            if self.exchanges == 1 { "call" } else { "calls" }
        );
        for (model, calls, usd) in &self.models {
            text.push_str(&format!("| {} | {calls} | {usd} |\n", model.replace('|', "\\|")));
        }
        text.push_str(&format!(
            "\nTokens: {} input, {} output, {} cache read, {} cache write. Unpriced calls: {}.\n",
            self.input_tokens,
            self.output_tokens,
            self.cache_read_tokens,
            self.cache_write_tokens,
            self.unpriced
        ));
        for (amount, what) in self.beside() {
            text.push_str(&format!("\nNot in the sum: ${amount} {what}.\n"));
        }
        text
    }

    /// What is no part of the sum and yet an amount.
    fn beside(&self) -> impl Iterator<Item = (Money, &'static str)> {
        let all = [
            (self.estimated, "estimated for answers that were cut off"),
            (self.notional, "notional: a subscription paid"),
        ];
        all.into_iter().filter(|(amount, _)| *amount != Money::ZERO)
    }

    /// JUnit: one test case that fails with the command, with the figures as properties.
    pub(super) fn junit(&self, command: &str, exit_code: i32) -> String {
        let escaped = command
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;");
        let failures = i32::from(exit_code != 0);
        let failure = if exit_code == 0 {
            String::new()
        } else {
            format!("      <failure message=\"exit code {exit_code}\"/>\n")
        };
        let properties: String = [
            ("usd", self.usd.to_string()),
            ("calls", self.exchanges.to_string()),
            ("unpriced", self.unpriced.to_string()),
            ("input_tokens", self.input_tokens.to_string()),
            ("output_tokens", self.output_tokens.to_string()),
            ("cache_read_tokens", self.cache_read_tokens.to_string()),
            ("cache_write_tokens", self.cache_write_tokens.to_string()),
        ]
        .iter()
        .map(|(name, value)| format!("      <property name=\"{name}\" value=\"{value}\"/>\n"))
        .collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  \
             <testsuite name=\"weighbridge run\" tests=\"1\" failures=\"{failures}\">\n    \
             <properties>\n{properties}    </properties>\n    \
             <testcase classname=\"weighbridge\" name=\"{escaped}\">\n{failure}    </testcase>\n  \
             </testsuite>\n</testsuites>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run::from_report(&serde_json::json!({
            "rows": [{"model": "claude-opus-5-5", "exchanges": 2, "usd": "0.0123"}],
            "total": {"exchanges": 2, "usd": "0.0123", "input_tokens": 5, "output_tokens": 7,
                "cache_read_tokens": 1, "cache_write_5m_tokens": 2, "cache_write_1h_tokens": 3,
                "unpriced": 1, "notional_usd": "0.5", "estimated_usd": "0"},
        }))
    }

    #[test]
    fn the_summary_says_what_the_report_says() {
        let text = run().text();
        assert!(text.contains("2 calls, $0.0123") && text.contains("cache write 5"), "{text}");
        assert!(text.contains("1 unpriced") && !text.contains("estimated"), "{text}");
        assert!(text.contains("$0.5 notional: a subscription paid, not in the sum"), "{text}");
        assert!(run().markdown().contains("| claude-opus-5-5 | 2 | 0.0123 |"));
    }

    #[test]
    fn junit_escapes_and_fails_with_the_command() {
        let good = run().junit("claude -p \"a < b\"", 0);
        assert!(
            good.contains("name=\"claude -p &quot;a &lt; b&quot;\"") && !good.contains("<failure")
        );
        assert!(run().junit("x", 3).contains("<failure message=\"exit code 3\"/>"));
    }
}
