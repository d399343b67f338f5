//! A statement as Markdown: what the HTML page says, for a comment or a chat.

use std::fmt::Write as _;

use super::dimension::Dimension;
use super::period;
use super::statement::{SessionShare, Share, Statement, kind_name};
use super::text::{NOTHING, code_span, sentence, thousands};
use super::words::{calls, share};
use crate::accounting::Money;

/// A table whose first column is text, the others figures.
fn table(header: &[&str], rows: &[Vec<String>], text: &mut String) {
    let rule = header.iter().enumerate().map(|(place, _)| if place == 0 { "---" } else { "--:" });
    let _ = writeln!(text, "| {} |", header.join(" | "));
    let _ = writeln!(text, "| {} |", rule.collect::<Vec<_>>().join(" | "));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
}

impl Statement {
    /// GitHub-flavoured Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::with_capacity(4096);
        let total = &self.total;
        let _ = writeln!(text, "## Claude API spend: {}\n", self.dollars(total.usd));
        let _ = writeln!(text, "{} (UTC), {}.\n", self.period_text(), calls(total.exchanges));
        if total.exchanges == 0 {
            text.push_str("No call was recorded in this period.\n\n");
        } else {
            let _ = writeln!(text, "{} {}\n", self.change_text(), self.beside());
            self.key_figures(&mut text);
            self.shares(&mut text);
            self.days_table(&mut text);
            self.sessions_table(&mut text);
            self.apart_table(&mut text);
        }
        text.push_str("<details><summary>How to read this</summary>\n\n");
        for paragraph in self.method() {
            let names: Vec<String> = paragraph.names.iter().map(|name| code_span(name)).collect();
            let (name, about) = (paragraph.name, paragraph.text);
            let _ = writeln!(text, "**{name}.** {about} {}\n", names.join(", "));
        }
        text.push_str("</details>\n");
        text
    }

    fn key_figures(&self, text: &mut String) {
        let total = &self.total;
        let written = self.waste.written;
        let mut rows = vec![vec!["Contracted".to_owned(), self.dollars(total.usd)]];
        let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
        row("List", self.dollars(total.list));
        let saved = total.list.checked_sub(total.usd).unwrap_or(Money::ZERO);
        row("Negotiated discounts", self.dollars(saved));
        row("Cache saved", self.dollars(self.savings));
        row(
            "Cache waste: never read",
            format!(
                "{} ({} of {} tokens written)",
                self.dollars(self.waste.never_read.usd),
                thousands(self.waste.never_read.tokens),
                thousands(written)
            ),
        );
        row(
            "Cache waste: rewritten after expiry",
            format!(
                "{} ({} tokens)",
                self.dollars(self.waste.rewritten.usd),
                thousands(self.waste.rewritten.tokens)
            ),
        );
        table(&["", "USD"], &rows, text);
    }

    fn shares(&self, text: &mut String) {
        let total = self.total.usd;
        let amounts = |exchanges: u64, tokens: u64, usd: Money, unpriced: u64| {
            let mut cells = vec![thousands(exchanges), thousands(tokens)];
            cells.extend(match usd {
                Money::ZERO if unpriced > 0 => ["unpriced".to_owned(), NOTHING.to_owned()],
                usd => [self.dollars(usd), share(usd, total)],
            });
            cells
        };
        let teams: Vec<Vec<String>> = self
            .teams
            .iter()
            .map(|(name, sums)| {
                let tokens = sums.tokens.iter().fold(0, |all: u64, n| all.saturating_add(*n));
                let mut cells = vec![code_span(name)];
                cells.extend(amounts(sums.exchanges, tokens, sums.usd, sums.unpriced));
                cells
            })
            .collect();
        text.push_str("### By team\n\n");
        table(&["team", "calls", "tokens", "USD", "share"], &teams, text);
        let rows = |shares: &[(String, Share)], kinds: bool| {
            let row = |(name, part): &(String, Share)| {
                let name = match kinds {
                    true if kind_name(name) != name => kind_name(name).to_owned(),
                    _ => code_span(name),
                };
                let mut cells = vec![name];
                cells.extend(amounts(part.exchanges, part.quantity, part.usd, part.unpriced));
                cells
            };
            shares.iter().map(row).collect::<Vec<_>>()
        };
        text.push_str("### By model\n\n");
        table(&["model", "calls", "tokens", "USD", "share"], &rows(&self.models, false), text);
        text.push_str("### By kind\n\n");
        table(&["kind", "calls", "quantity", "USD", "share"], &rows(&self.kinds, true), text);
        if let Some(report) = &self.frame.breakdown {
            let by: Vec<String> = report.by.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "### By {}\n", code_span(&by.join(", ")));
            let named = |value: &Option<String>| value.as_deref().map_or(NOTHING.into(), code_span);
            let row = |row: &super::ReportRow| {
                let mut cells = vec![row.values.iter().map(named).collect::<Vec<_>>().join(" ")];
                cells.push(thousands(row.sums.exchanges));
                cells.push(self.dollars(row.sums.usd));
                cells
            };
            let rows: Vec<Vec<String>> = report.rows.iter().map(row).collect();
            table(&["", "calls", "USD"], &rows, text);
            for note in report.by.iter().filter_map(Dimension::note) {
                let _ = writeln!(text, "{}\n", sentence(note));
            }
        }
    }

    fn days_table(&self, text: &mut String) {
        let buckets = self.buckets();
        let by = if self.is_by_month() { "month" } else { "day" };
        let rows: Vec<Vec<String>> = buckets
            .iter()
            .filter(|bucket| bucket.exchanges > 0)
            .map(|bucket| {
                let calls = thousands(bucket.exchanges);
                vec![bucket.long.clone(), calls, self.dollars(bucket.usd)]
            })
            .collect();
        let _ = writeln!(text, "### By {by}\n");
        table(&[by, "calls", "USD"], &rows, text);
    }

    fn sessions_table(&self, text: &mut String) {
        if self.sessions.is_empty() {
            return;
        }
        let row = |(id, session): &(String, SessionShare)| {
            vec![
                code_span(id),
                session.team.as_deref().map_or(NOTHING.to_owned(), code_span),
                period::readable(session.first),
                thousands(session.share.exchanges),
                self.dollars(session.share.usd),
            ]
        };
        let rows: Vec<Vec<String>> = self.sessions.iter().map(row).collect();
        let count = thousands(self.session_count);
        let _ = writeln!(text, "### Top sessions of {count}\n");
        table(&["session", "team", "began (UTC)", "calls", "USD"], &rows, text);
    }

    fn apart_table(&self, text: &mut String) {
        text.push_str("### Not in the total\n\n");
        let apart = self.apart();
        if apart.is_empty() {
            text.push_str(
                "Nothing: every call of the period is finished, reported and priced.\n\n",
            );
            return;
        }
        let row = |apart: &super::words::Apart| {
            let amount =
                apart.amount.map_or("unknown".to_owned(), |(low, high)| self.range(low, high));
            let named = apart.names.iter();
            let named = named.map(|(name, count)| format!("{} {}×", code_span(name), count));
            let named = named.collect::<Vec<_>>().join(", ");
            vec![
                format!("**{}**: {} {named}", apart.name, apart.text),
                thousands(apart.exchanges),
                amount,
            ]
        };
        table(&["", "calls", "USD"], &apart.iter().map(row).collect::<Vec<_>>(), text);
    }
}
