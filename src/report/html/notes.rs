//! What the page says about the cache, about what is not in the total, and about itself.

use std::fmt::Write as _;

use crate::accounting::Money;
use crate::report::statement::Statement;
use crate::report::text::{html as escaped, thousands};
use crate::report::words::{Apart, calls};

impl Statement {
    pub(super) fn cache_section(&self, page: &mut String) {
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

    pub(super) fn apart_section(&self, page: &mut String) {
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

    pub(super) fn method_section(&self, page: &mut String) {
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
