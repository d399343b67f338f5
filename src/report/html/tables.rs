//! The page's tables: shares with bars, sessions, days, and what else is asked for.

use std::fmt::Write as _;

use super::{chart, count_cell};
use crate::accounting::Money;
use crate::report::Dimension;
use crate::report::period;
use crate::report::statement::{SessionShare, Share, Statement, kind_name};
use crate::report::sums::Sums;
use crate::report::text::{NOTHING, html as escaped, sentence, thousands};
use crate::report::words::share;

/// The most rows of the breakdown that is asked for by `--by`.
const BREAKDOWN_MAX: usize = 200;

/// One row of a list with bars.
struct Bar {
    name: String,
    /// A name from outside is set in another type than a word of ours.
    code: bool,
    exchanges: u64,
    quantity: u64,
    usd: Money,
    list: Money,
    /// No amount is known at all.
    unpriced: bool,
}

impl Statement {
    pub(super) fn lists(&self, page: &mut String) {
        let tokens_of = |sums: &Sums| sums.tokens.iter().fold(0, |a: u64, n| a.saturating_add(*n));
        let teams = self.teams.iter().map(|(name, sums)| Bar {
            name: name.clone(),
            code: false,
            exchanges: sums.exchanges,
            quantity: tokens_of(sums),
            usd: sums.usd,
            list: sums.list,
            unpriced: sums.unpriced > 0 && sums.usd == Money::ZERO,
        });
        let of = |(name, part): &(String, Share), code: bool| Bar {
            name: name.clone(),
            code,
            exchanges: part.exchanges,
            quantity: part.quantity,
            usd: part.usd,
            list: part.list,
            unpriced: part.unpriced > 0 && part.usd == Money::ZERO,
        };
        let models = self.models.iter().map(|row| of(row, !row.0.contains(' ')));
        let kinds = self.kinds.iter().map(|row| {
            let name = kind_name(&row.0).to_owned();
            Bar { name, ..of(row, kind_name(&row.0) == row.0) }
        });
        self.bars("By team", ["Team", "Tokens"], teams.collect(), page);
        self.bars("By model", ["Model", "Tokens"], models.collect(), page);
        self.bars("By token kind", ["Kind", "Quantity"], kinds.collect(), page);
    }

    /// A list with a bar for each share; where list prices differ, a paler bar behind.
    fn bars(&self, title: &str, names: [&str; 2], rows: Vec<Bar>, page: &mut String) {
        let listed = rows.iter().any(|row| row.list != row.usd);
        let list_head = if listed { "<th class=\"n\">List</th>" } else { "" };
        let list_col = if listed { "<col class=\"c-usd\">" } else { "" };
        let [name, quantity] = names;
        let _ = write!(
            page,
            "<section>\n<h2>{title}</h2>\n<table class=\"bars\">\n<colgroup><col class=\"c-name\">\
             <col><col class=\"c-n\"><col class=\"c-n\">{list_col}<col class=\"c-usd\">\
             <col class=\"c-n\"></colgroup>\n<thead><tr><th>{name}</th>\
             <th class=\"wide\" aria-hidden=\"true\"></th><th class=\"n\">Calls</th>\
             <th class=\"n\">{quantity}</th>{list_head}<th class=\"n\">Spend</th>\
             <th class=\"n\">Share</th></tr></thead>\n<tbody>\n"
        );
        let most = rows.iter().map(|row| row.usd.max(row.list)).max().unwrap_or(Money::ZERO);
        for row in &rows {
            let class = if row.code { "name code" } else { "name" };
            let amount = |usd: Money| match row.unpriced {
                true => "<span class=\"muted\">unpriced</span>".to_owned(),
                false => self.amount(usd),
            };
            let list = match listed {
                true => format!("<td class=\"n\">{}</td>", amount(row.list)),
                false => String::new(),
            };
            let _ = writeln!(
                page,
                "<tr><th scope=\"row\" class=\"{class}\">{}</th><td class=\"wide\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td>{list}<td class=\"n strong\">{}</td>\
                 <td class=\"n muted\">{}</td></tr>",
                escaped(&row.name),
                chart::bar(row.usd, row.list, most),
                // What a charge does not break down is of no call in particular.
                if row.exchanges == 0 { NOTHING.to_owned() } else { thousands(row.exchanges) },
                count_cell(row.quantity),
                amount(row.usd),
                escaped(&if row.unpriced {
                    NOTHING.to_owned()
                } else {
                    share(row.usd, self.total.usd)
                })
            );
        }
        let list = if listed {
            format!("<td class=\"n\">{}</td>", self.amount(self.total.list))
        } else {
            String::new()
        };
        let key = match listed && title == "By team" {
            true => "<p class=\"muted small\">Paler: what list prices would add.</p>\n",
            false => "",
        };
        let _ = write!(
            page,
            "</tbody>\n<tfoot><tr><th scope=\"row\">Total</th><td class=\"wide\"></td><td></td>\
             <td></td>{list}<td class=\"n strong\">{}</td><td></td></tr></tfoot>\n</table>\n\
             {key}</section>\n",
            self.amount(self.total.usd)
        );
    }

    pub(super) fn sessions_section(&self, page: &mut String) {
        page.push_str("<section>\n<h2>Top sessions</h2>\n");
        if self.sessions.is_empty() {
            page.push_str("<p class=\"muted\">No call of this period named its session.</p>\n");
        } else {
            page.push_str(
                "<table class=\"sessions\">\n<thead><tr><th>Session</th><th>Team</th>\
                 <th class=\"when\">Began (UTC)</th>\
                 <th class=\"n\">Calls</th><th class=\"n\">Tokens</th><th class=\"n\">Spend</th>\
                 </tr></thead>\n<tbody>\n",
            );
            for (id, SessionShare { team, first, share, .. }) in &self.sessions {
                let _ = writeln!(
                    page,
                    "<tr><th scope=\"row\" class=\"name code\">{}</th><td>{}</td>\
                     <td class=\"when\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                     <td class=\"n strong\">{}</td></tr>",
                    escaped(id),
                    escaped(team.as_deref().unwrap_or(NOTHING)),
                    escaped(&period::readable(*first)[..16]),
                    thousands(share.exchanges),
                    count_cell(share.quantity),
                    self.amount(share.usd)
                );
            }
            let shown = self.sessions.len() as u64;
            let _ = write!(
                page,
                "</tbody>\n</table>\n<p class=\"muted small\">{} of {} sessions.</p>\n",
                thousands(shown),
                thousands(self.session_count)
            );
        }
        page.push_str("</section>\n");
    }

    pub(super) fn breakdown_section(&self, page: &mut String) {
        let Some(report) = &self.frame.breakdown else { return };
        let names: Vec<String> = report.by.iter().map(|by| escaped(&by.to_string())).collect();
        let _ = write!(page, "<section>\n<h2>By {}</h2>\n<table>\n<thead><tr>", names.join(", "));
        for name in &names {
            let _ = write!(page, "<th>{name}</th>");
        }
        page.push_str(
            "<th class=\"n\">Calls</th><th class=\"n\">Spend</th></tr></thead>\n<tbody>\n",
        );
        for row in report.rows.iter().take(BREAKDOWN_MAX) {
            page.push_str("<tr>");
            for value in &row.values {
                let shown = escaped(value.as_deref().unwrap_or(NOTHING));
                let _ = write!(page, "<td class=\"name\">{shown}</td>");
            }
            let (count, usd) = (thousands(row.sums.exchanges), self.amount(row.sums.usd));
            let _ = writeln!(
                page,
                "<td class=\"n\">{count}</td><td class=\"n strong\">{usd}</td></tr>"
            );
        }
        page.push_str("</tbody>\n</table>\n");
        if let Some(rest) = report.rows.get(BREAKDOWN_MAX..).filter(|rest| !rest.is_empty()) {
            let usd: Money = rest.iter().map(|row| row.sums.usd).sum();
            let _ = writeln!(
                page,
                "<p class=\"muted small\">And {} more rows, together {}.</p>",
                thousands(rest.len() as u64),
                self.amount(usd)
            );
        }
        for note in report.by.iter().filter_map(Dimension::note) {
            let _ = writeln!(page, "<p class=\"muted small\">{}</p>", escaped(&sentence(note)));
        }
        page.push_str("</section>\n");
    }

    /// The exact figures behind the chart, which a printed page cannot show otherwise.
    pub(super) fn days_section(&self, page: &mut String) {
        let used: Vec<_> = self.buckets().into_iter().filter(|b| b.exchanges > 0).collect();
        if used.is_empty() {
            return;
        }
        page.push_str(
            "<section class=\"loose\">\n<h2>Exact amounts over time</h2>\n<ul class=\"days\">\n",
        );
        for bucket in used {
            // Aligned at the decimal point.
            let usd = bucket.usd.to_string();
            let (whole, fraction) = usd.split_at(usd.find('.').unwrap_or(usd.len()));
            let _ = writeln!(
                page,
                "<li><span>{}</span><span class=\"whole\">${whole}</span><span>{fraction}</span></li>",
                escaped(&bucket.short)
            );
        }
        page.push_str("</ul>\n</section>\n");
    }
}
