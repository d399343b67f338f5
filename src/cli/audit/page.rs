//! `summary.html`: one page for people, to read or to print. Nothing is loaded from elsewhere.

use std::fmt::Write as _;

use super::controls::{CONTROLS, Table, holds};
use super::facts::Facts;
use crate::report::text::{html, thousands};

const STYLE: &str = "
@page { size: A4; margin: 8mm 12mm }
body { font: 9pt/1.35 system-ui, sans-serif; color: #1c2430; max-width: 186mm; margin: 0 auto;
  padding: 2mm; print-color-adjust: exact; -webkit-print-color-adjust: exact }
h1 { font-size: 15pt; margin: 0 0 1mm } h2 { font-size: 10.5pt; margin: 3mm 0 1mm }
p { margin: 0 0 2mm } p:last-child { margin: 1mm 0 0 } .quiet { color: #5a6675 }
code { font-size: 7.5pt; overflow-wrap: anywhere }
.figures { display: grid; grid-template-columns: repeat(4, 1fr); gap: 2mm; margin: 2mm 0 }
.figures div { border: 1px solid #d5dbe3; border-radius: 2mm; padding: 1mm 2.5mm }
.figures b { display: block; font-size: 12.5pt; font-variant-numeric: tabular-nums }
table { border-collapse: collapse; width: 100%; font-size: 8.5pt }
td, th { text-align: left; vertical-align: top; border-bottom: 1px solid #e3e8ee;
  padding: 0.4mm 2mm 0.4mm 0 }
td:first-child, td:last-child { white-space: nowrap } td:last-child { padding-right: 0 }
th { color: #5a6675; font-weight: 600 } ul { margin: 0; padding-left: 5mm }
.bad { border-left: 1mm solid #b3261e; padding-left: 3mm }
svg { width: 100%; height: auto } tr, .figures, svg { break-inside: avoid }
@media print { body { padding: 0 } }
";

pub(super) fn page(facts: &Facts) -> String {
    let mut page = String::with_capacity(16 * 1024);
    let (from, to) = (&facts.parameters.from, &facts.parameters.to);
    let days = &facts.derived.days;
    let named = |day: Option<(&String, &(u64, u64))>, word: &str| {
        day.map_or_else(|| word.to_owned(), |(day, _)| format!("{word} ({day})"))
    };
    let period = format!(
        "{} to {}",
        from.clone().unwrap_or_else(|| named(days.first_key_value(), "the first line")),
        to.as_ref().map_or_else(
            || named(days.last_key_value(), "the newest line"),
            |to| format!("before {to}")
        )
    );
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Evidence: {instance}</title><style>{STYLE}</style></head><body>\n\
         <h1>Evidence of calls to the Claude API</h1>\n\
         <p class=\"quiet\">{period} (UTC) · instance {instance} · made {made} by uid {uid} with \
         Weighbridge {version}</p>\n",
        instance = html(&facts.instance),
        period = html(&period),
        made = html(facts.extracted_at.get(..19).unwrap_or_default()),
        uid = facts.operator_uid,
        version = html(&facts.program.version),
    );
    figures(&mut page, facts);
    proved(&mut page, facts);
    chart(&mut page, facts);
    gaps(&mut page, facts);
    controls(&mut page, facts);
    page.push_str("</body></html>\n");
    page
}

fn figures(page: &mut String, facts: &Facts) {
    let derived = &facts.derived;
    page.push_str("<div class=\"figures\">");
    let usd = derived.usd.parse::<crate::accounting::Money>().unwrap_or_default();
    for (value, name) in [
        (thousands(derived.calls), "calls"),
        (format!("${}", usd.display_rounded(2)), "cost at recorded prices"),
        (thousands(derived.failed), "calls failed"),
        (thousands(derived.unpriced), "calls without a price"),
        (thousands(derived.tools), "results of tools"),
        (thousands(derived.denials), "refusals and denials"),
        (thousands(derived.changes), "changes"),
        (thousands(derived.gaps), "gaps recorded"),
    ] {
        let _ = write!(page, "<div><b>{value}</b>{name}</div>");
    }
    page.push_str("</div>\n");
    let parameters = &facts.parameters;
    let is_narrowed = parameters.team.is_some() || parameters.session.is_some();
    if is_narrowed || !parameters.controls.is_empty() {
        let _ = writeln!(page, "<p>Filtered: {}.</p>", html(&facts.query));
    }
}

fn proved(page: &mut String, facts: &Facts) {
    let (tree, lines) = (&facts.tree, facts.lines);
    page.push_str("<h2>What this proves</h2>\n<ul>");
    let count = thousands(lines.end.saturating_sub(lines.first));
    let _ = write!(
        page,
        "<li>{count} lines of the ledger (index {} to {}) are in this bundle, each with the hash of the \
         one before; all of them, and all before them, are in one tree of {} lines with the root \
         <code>{}</code>.</li>",
        lines.first,
        lines.end.saturating_sub(1),
        thousands(tree.size),
        html(&tree.root)
    );
    if tree.signed {
        let _ = write!(
            page,
            "<li>The root is signed by the instance's key, and so are {} checkpoints on the way to \
             it: nothing below them was changed, removed or put in since.</li>",
            thousands(tree.checkpoints)
        );
    }
    page.push_str("<li>Tables, events and all figures here follow from these lines alone; ");
    page.push_str(
        "<code>weighbridge audit verify</code> makes them anew and compares.</li></ul>\n",
    );
    page.push_str("<h2>What it does not prove</h2>\n<ul>");
    for limit in &facts.not_provable {
        let _ = write!(page, "<li>{}</li>", html(limit));
    }
    let _ = writeln!(
        page,
        "<li>Agent and ledger under one user: {}</li></ul>",
        html(&facts.agent_shares_uid)
    );
    if !facts.damages.is_empty() {
        page.push_str("<div class=\"bad\"><h2>Damage known at the export</h2><ul>");
        for damage in &facts.damages {
            let _ = write!(page, "<li>{}</li>", html(damage));
        }
        page.push_str("</ul></div>\n");
    }
}

/// Calls by day, refusals and denials beneath the line.
fn chart(page: &mut String, facts: &Facts) {
    let days = &facts.derived.days;
    let (Some((first, _)), Some((last, _))) = (days.first_key_value(), days.last_key_value())
    else {
        return page.push_str("<p>No call closed in this period.</p>\n");
    };
    let most = days.values().map(|(calls, _)| *calls).max().unwrap_or(1).max(1);
    let denied: u64 = days.values().map(|(_, denied)| denied).sum();
    let wide = 700.0 / days.len() as f64;
    let _ = write!(
        page,
        "<h2>Calls by day</h2>\n<svg viewBox=\"0 0 720 96\" role=\"img\" \
         aria-label=\"Calls by day\" font-size=\"11\" fill=\"#5a6675\">\
         <line x1=\"10\" x2=\"710\" y1=\"68.5\" y2=\"68.5\" stroke=\"#aab4c0\"/>\
         <text x=\"10\" y=\"11\">at most {} a day</text>",
        thousands(most)
    );
    for (place, (day, (calls, denied))) in days.iter().enumerate() {
        let high = 50.0 * *calls as f64 / most as f64;
        let x = 10.0 + wide * place as f64;
        let bar = (wide * 0.8).clamp(0.2, 48.0);
        let _ = write!(
            page,
            "<rect x=\"{x:.2}\" y=\"{:.2}\" width=\"{bar:.2}\" height=\"{high:.2}\" fill=\"#2f6fb2\">\
             <title>{}: {calls} calls, {denied} refused or denied</title></rect>",
            68.0 - high,
            html(day)
        );
        if *denied > 0 {
            let low = (10.0 * *denied as f64 / most as f64).clamp(1.5, 10.0);
            let _ = write!(
                page,
                "<rect x=\"{x:.2}\" y=\"69\" width=\"{bar:.2}\" height=\"{low:.2}\" fill=\"#b3261e\"/>"
            );
        }
    }
    let _ = writeln!(
        page,
        "<text x=\"10\" y=\"92\">{}</text><text x=\"360\" y=\"92\" text-anchor=\"middle\">\
         above: calls · below, red: {} refused or denied</text>\
         <text x=\"710\" y=\"92\" text-anchor=\"end\">{}</text></svg>",
        html(first),
        thousands(denied),
        html(if first == last { "" } else { last })
    );
}

fn gaps(page: &mut String, facts: &Facts) {
    let derived = &facts.derived;
    let asked = &facts.parameters.controls;
    page.push_str("<h2>Changes, gaps and totals</h2>\n<ul>");
    if derived.changes > 0 {
        let kinds = derived.kinds.iter();
        let kinds: Vec<String> =
            kinds.map(|(kind, count)| format!("{count} × {}", kind.replace('_', " "))).collect();
        let place = if holds(asked, Table::Changes) { " (changes.csv)" } else { "" };
        let _ = write!(page, "<li>Changes{place}: {}.</li>", html(&kinds.join(" · ")));
    }
    let place = if holds(asked, Table::Gaps) { " (gaps.csv)" } else { "" };
    let gaps = match derived.gaps {
        0 => "The ledger names no gap in these lines.".to_owned(),
        gaps => format!(
            "The ledger names {} gaps; {} entries could not be written{place}.",
            thousands(gaps),
            thousands(derived.missing)
        ),
    };
    if derived.unhooked > 0 {
        let _ = write!(
            page,
            "<li>No hook named {} of {} results of clients' tools: they are known from the traffic \
             alone{place}.</li>",
            thousands(derived.unhooked),
            thousands(derived.hookable)
        );
    }
    for follower in facts.behind() {
        let (name, covers) = (html(&follower.name), thousands(follower.covers));
        let size = thousands(facts.tree.size);
        let _ =
            write!(page, "<li>Behind at the export: {name} covered {covers} of {size} lines.</li>");
    }
    let sums = if holds(asked, Table::Exchanges) {
        " The sums by team and model are in reconciliation.json, with whether they add up to it."
    } else {
        ""
    };
    let _ = writeln!(
        page,
        "<li>{gaps}</li><li>{} calls of these lines were not closed at their end.</li>\
         <li>The exact cost is {} USD.{sums}</li></ul>",
        thousands(derived.still_open),
        html(&derived.usd)
    );
}

fn controls(page: &mut String, facts: &Facts) {
    let asked = &facts.parameters.controls;
    page.push_str(
        "<h2>Which files support which criteria</h2>\n<table><tr><th>Criterion</th>\
         <th>What the files support</th><th>Files</th></tr>",
    );
    for control in CONTROLS.iter().filter(|control| control.is_chosen(asked)) {
        let (criteria, files) = (control.criteria(), control.files());
        let _ =
            write!(page, "<tr><td>{criteria}</td><td>{}</td><td>{files}</td></tr>", control.what);
    }
    page.push_str("</table>\n<p class=\"quiet\">");
    if !asked.is_empty() {
        let _ = write!(
            page,
            "Asked for: {}. Files for other criteria are not in this bundle. ",
            html(&asked.join(", "))
        );
    }
    page.push_str(
        "ocsf.jsonl holds the same as events. TSC 2017 and HIPAA by number, in our words; an auditor \
         decides what a file supports.</p>\n",
    );
}
