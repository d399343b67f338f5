//! A statement as one page that can be sent and printed: no script, nothing from elsewhere.

use std::fmt::Write as _;

use super::statement::{SessionShare, Share, Statement, kind_name};
use super::sums::Sums;
use super::text::{NOTHING, html as escaped, thousands};
use super::words::{Apart, Change, calls, share};
use crate::accounting::Money;

mod chart;

const STYLE: &str = include_str!("html/style.css");
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
    /// The page.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = String::with_capacity(64 * 1024);
        let title = format!("Claude API spend, {}", self.period_text());
        let _ = write!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
            escaped(&title)
        );
        self.headline(&mut page);
        if self.total.exchanges == 0 {
            page.push_str(
                "<section class=\"empty\"><h2>No call was recorded in this period</h2>\
                 <p>Nothing went through Weighbridge, or it was recorded in another data directory: \
                 name that with <code>--data-dir</code>.</p></section>\n",
            );
        } else {
            self.over_time(&mut page);
            self.lists(&mut page);
            self.sessions_section(&mut page);
            self.cache_section(&mut page);
        }
        self.apart_section(&mut page);
        self.breakdown_section(&mut page);
        self.method_section(&mut page);
        self.days_section(&mut page);
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }

    /// An amount to cents with its exact value behind it.
    fn amount(&self, usd: Money) -> String {
        let shown = escaped(&self.dollars(usd));
        format!("<span class=\"usd\" title=\"${usd} exactly\">{shown}</span>")
    }

    fn headline(&self, page: &mut String) {
        let total = &self.total;
        let arrow = match self.change() {
            Some(Change::Up(_)) => "<span class=\"arrow\">▲</span> ",
            Some(Change::Down(_)) => "<span class=\"arrow\">▼</span> ",
            _ => "",
        };
        let _ = write!(
            page,
            "<header>\n<p class=\"kicker\">Usage statement</p>\n<h1>Claude API spend</h1>\n\
             <p class=\"period\">{} <span class=\"muted\">(UTC)</span></p>\n\
             <div class=\"total\"><p class=\"figure\">{}</p>\n<div><p class=\"change\">{arrow}{}</p>\n\
             <p class=\"beside\">{}</p></div></div>\n",
            escaped(&self.period_text()),
            self.amount(total.usd),
            escaped(&self.change_text()),
            escaped(&self.beside())
        );
        let discount = total.list.checked_sub(total.usd).unwrap_or(Money::ZERO);
        let list_note = match discount {
            Money::ZERO => "no discount".to_owned(),
            _ => format!("{} discount", self.amount(discount)),
        };
        let waste = self.waste.usd();
        let tokens = total.tokens.iter().fold(0, |all: u64, count| all.saturating_add(*count));
        page.push_str("<dl class=\"key\">\n");
        for (name, figure, note) in [
            ("Calls", thousands(total.exchanges), format!("{} tokens", short_count(tokens))),
            ("At list prices", self.amount(total.list), list_note),
            ("Cache saved", self.amount(self.savings), "vs plain input".to_owned()),
            ("Cache waste", self.amount(waste), "writes in vain".to_owned()),
        ] {
            let _ = writeln!(
                page,
                "<div><dt>{name}</dt><dd>{figure}<span class=\"note\">{note}</span></dd></div>"
            );
        }
        page.push_str("</dl>\n</header>\n");
    }

    fn over_time(&self, page: &mut String) {
        let by = if self.is_by_month() { "month" } else { "day" };
        let _ = write!(page, "<section>\n<h2>By {by}</h2>\n");
        chart::columns(&self.buckets(), self, page);
        page.push_str("</section>\n");
    }

    fn lists(&self, page: &mut String) {
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
                // A model may have worked only inside the calls of others.
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

    fn sessions_section(&self, page: &mut String) {
        page.push_str("<section>\n<h2>Top sessions</h2>\n");
        if self.sessions.is_empty() {
            page.push_str("<p class=\"muted\">No call of this period named its session.</p>\n");
        } else {
            page.push_str(
                "<table>\n<thead><tr><th>Session</th><th>Team</th><th>Began (UTC)</th>\
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
                    escaped(&super::period::readable(*first)[..16]),
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

    fn cache_section(&self, page: &mut String) {
        let waste = &self.waste;
        page.push_str("<section>\n<h2>Prompt cache</h2>\n");
        if waste.written == 0 && self.savings == Money::ZERO {
            page.push_str("<p class=\"muted\">The prompt cache was not used.</p>\n</section>\n");
            return;
        }
        let unknown = waste.never_read.unpriced.saturating_add(waste.rewritten.unpriced);
        let mut doubt = String::new();
        if self.savings_unknown > 0 {
            let _ =
                write!(doubt, " {} do not say what the cache saved.", calls(self.savings_unknown));
        }
        if unknown > 0 {
            let tokens = thousands(unknown);
            let _ = write!(doubt, " The surcharge of {tokens} wasted tokens is not known.");
        }
        let rows = [
            ("Saved", "what reads and writes cost less than plain input", None, self.savings),
            (
                "Written, never read",
                "nobody read them before they expired",
                Some(waste.never_read.tokens),
                waste.never_read.usd,
            ),
            (
                "Written again after expiry",
                "the same prefix had been in the cache",
                Some(waste.rewritten.tokens),
                waste.rewritten.usd,
            ),
        ];
        page.push_str(
            "<table>\n<thead><tr><th></th><th></th><th class=\"n\">Tokens</th>\
             <th class=\"n\">Amount</th></tr></thead>\n<tbody>\n",
        );
        for (name, meaning, tokens, usd) in rows {
            let _ = writeln!(
                page,
                "<tr><th scope=\"row\" class=\"name\">{name}</th><td class=\"muted\">{meaning}</td>\
                 <td class=\"n\">{}</td><td class=\"n strong\">{}</td></tr>",
                tokens.map_or_else(String::new, thousands),
                self.amount(usd)
            );
        }
        let _ = write!(
            page,
            "</tbody>\n</table>\n<p class=\"muted small\">{} tokens were written in all.{}</p>\n\
             </section>\n",
            thousands(waste.written),
            escaped(&doubt)
        );
    }

    fn apart_section(&self, page: &mut String) {
        page.push_str("<section class=\"apart\">\n<h2>Not in the total</h2>\n");
        let apart = self.apart();
        if apart.is_empty() {
            page.push_str(
                "<p>Nothing. Every call of this period is finished, its usage reported and priced; \
                 no amount is estimated.</p>\n</section>\n",
            );
            return;
        }
        page.push_str("<table>\n<tbody>\n");
        for Apart { name, amount, exchanges, text, names } in &apart {
            let amount = amount.map_or_else(
                || "<span class=\"muted\">unknown</span>".to_owned(),
                |(low, high)| {
                    let exact =
                        if low == high { format!("${low}") } else { format!("${low} to ${high}") };
                    let shown = escaped(&self.range(low, high));
                    format!("<span class=\"usd\" title=\"{exact} exactly\">{shown}</span>")
                },
            );
            let named: Vec<String> = names
                .iter()
                .map(|(name, count)| {
                    format!("<code>{}</code> {}×", escaped(name), thousands(*count))
                })
                .collect();
            let _ = writeln!(
                page,
                "<tr><th scope=\"row\" class=\"name\">{name}</th><td>{} {}</td><td class=\"n\">{}</td>\
                 <td class=\"n strong\">{amount}</td></tr>",
                escaped(text),
                named.join(", "),
                calls(*exchanges)
            );
        }
        page.push_str("</tbody>\n</table>\n</section>\n");
    }

    fn breakdown_section(&self, page: &mut String) {
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
        page.push_str("</section>\n");
    }

    /// The exact figures behind the chart, which a printed page cannot show otherwise.
    fn days_section(&self, page: &mut String) {
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

    fn method_section(&self, page: &mut String) {
        page.push_str("<section class=\"method\">\n<h2>How to read this</h2>\n<dl>\n");
        for paragraph in self.method() {
            let names =
                paragraph.names.iter().map(|name| format!("<code>{}</code>", escaped(name)));
            let _ = writeln!(
                page,
                "<div><dt>{}</dt><dd>{} {}</dd></div>",
                paragraph.name,
                escaped(&paragraph.text),
                names.collect::<Vec<_>>().join(", ")
            );
        }
        page.push_str("</dl>\n</section>\n");
    }
}

/// A large count in short, with the whole of it behind it.
fn count_cell(count: u64) -> String {
    format!("<span title=\"{}\">{}</span>", thousands(count), short_count(count))
}

/// `950`, `12.3 k`, `4.5 M`, `1.2 bn`.
fn short_count(count: u64) -> String {
    for (unit, name) in [(1_000_000_000, "bn"), (1_000_000, "M"), (1_000, "k")] {
        if count >= unit {
            let tenths = u128::from(count) * 10 / u128::from(unit);
            let whole = u64::try_from(tenths / 10).unwrap_or(u64::MAX);
            return match tenths {
                0..1000 => format!("{whole}.{} {name}", tenths % 10),
                _ => format!("{} {name}", thousands(whole)),
            };
        }
    }
    count.to_string()
}
