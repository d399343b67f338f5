//! Charts as inline SVG, in whole numbers.

use std::fmt::Write as _;

use crate::accounting::Money;
use crate::accounting::money::ATTO_PER_USD;
use crate::report::statement::{Bucket, Statement};
use crate::report::text::{group, html as escaped};
use crate::report::words::{calls, permille};

/// The drawing, in units of its own.
const WIDTH: u64 = 960;
const HEIGHT: u64 = 230;
const LEFT: u64 = 64;
const TOP: u64 = 12;
const BOTTOM: u64 = 26;
/// The most names below the columns.
const NAMES_MAX: usize = 12;
/// A column is no wider than this, however few there are.
const COLUMN_MAX: u64 = 56;

/// A horizontal bar for `usd`, with the list price behind it where that is another.
pub(super) fn bar(usd: Money, list: Money, most: Money) -> String {
    let behind = if list == usd {
        String::new()
    } else {
        format!("<rect class=\"pale\" width=\"{}\" height=\"10\"/>", permille(list, most))
    };
    // What is not nothing shows.
    let width = permille(usd, most).max(u64::from(usd > Money::ZERO) * 2);
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" \
         aria-hidden=\"true\">{behind}<rect width=\"{width}\" height=\"10\"/></svg>"
    )
}

/// A column for each day or month, over an axis in dollars.
pub(super) fn columns(buckets: &[Bucket], statement: &Statement, page: &mut String) {
    let most = buckets.iter().map(|bucket| bucket.usd).max().unwrap_or(Money::ZERO);
    let axis = Axis::over(most);
    let plot = HEIGHT - TOP - BOTTOM;
    let _ = writeln!(
        page,
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Spend over time; the amounts are listed below\">"
    );
    for line in 0..=axis.lines {
        let y = TOP + plot - plot * line / axis.lines;
        let class = if line == 0 { "base" } else { "grid" };
        let _ = writeln!(
            page,
            "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{WIDTH}\" y2=\"{y}\"/>\
             <text class=\"y\" x=\"{}\" y=\"{}\">{}</text>",
            LEFT - 10,
            y + 4,
            escaped(&axis.label(line))
        );
    }
    let slots = buckets.len().max(1) as u64;
    // In tenths, so that many narrow columns still fill the width.
    let slot = (WIDTH - LEFT) * 10 / slots;
    let width = (slot * 7 / 10).clamp(10, COLUMN_MAX * 10);
    let every = buckets.len().div_ceil(NAMES_MAX).max(1);
    for (place, bucket) in buckets.iter().enumerate() {
        let middle = LEFT * 10 + slot * place as u64 + slot / 2;
        let mut height = plot * permille(bucket.usd, axis.top()) / 1000;
        if bucket.usd > Money::ZERO {
            height = height.max(1);
        }
        let (x, y) = (middle.saturating_sub(width / 2), TOP + plot - height);
        let _ = writeln!(
            page,
            "<g><title>{}: {} ({})</title><rect class=\"hit\" x=\"{}\" y=\"{TOP}\" width=\"{}\" \
             height=\"{plot}\"/><rect x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{height}\"/></g>",
            escaped(&bucket.long),
            escaped(&statement.dollars(bucket.usd)),
            calls(bucket.exchanges),
            tenths(middle - slot / 2),
            tenths(slot),
            tenths(x),
            tenths(width)
        );
        if place % every == 0 {
            let _ = writeln!(
                page,
                "<text class=\"x\" x=\"{}\" y=\"{}\">{}</text>",
                tenths(middle),
                HEIGHT - 6,
                escaped(&bucket.short)
            );
        }
    }
    page.push_str("</svg>\n");
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// An axis from 0 with few round steps.
struct Axis {
    step: Money,
    lines: u64,
    decimals: u32,
}

impl Axis {
    fn over(most: Money) -> Axis {
        let most = most.atto().max(1);
        let mut power: i128 = 1;
        while power < i128::MAX / 100 && power * 20 <= most {
            power *= 10;
        }
        let step = [1, 2, 5, 10].into_iter().map(|digit| digit * power);
        let step = step.into_iter().find(|step| most / *step < 4).unwrap_or(most);
        let lines = u64::try_from(most / step).unwrap_or(3) + u64::from(most % step > 0);
        let mut decimals = 0;
        let mut unit = ATTO_PER_USD;
        while unit > 1 && step % unit != 0 {
            unit /= 10;
            decimals += 1;
        }
        // Cents come in pairs.
        let decimals = if decimals == 1 { 2 } else { decimals };
        Axis { step: Money::from_atto(step), lines: lines.max(1), decimals }
    }

    fn at(&self, line: u64) -> Money {
        Money::from_atto(self.step.atto().saturating_mul(i128::from(line)))
    }

    fn top(&self) -> Money {
        self.at(self.lines)
    }

    fn label(&self, line: u64) -> String {
        let decimals = if line == 0 { 0 } else { self.decimals };
        format!("${}", group(&self.at(line).display_rounded(decimals)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_few_round_steps_and_holds_the_most() {
        for (most, top, labels) in [
            ("0.37", "0.4", vec!["$0", "$0.10", "$0.20", "$0.30", "$0.40"]),
            ("1234", "1500", vec!["$0", "$500", "$1,000", "$1,500"]),
            ("3", "3", vec!["$0", "$1", "$2", "$3"]),
            ("0.000004", "0.000004", vec!["$0", "$0.000002", "$0.000004"]),
        ] {
            let axis = Axis::over(most.parse().unwrap());
            let shown: Vec<String> = (0..=axis.lines).map(|line| axis.label(line)).collect();
            assert_eq!(
                (axis.top().to_string().as_str(), shown),
                (top, labels.iter().map(|l| (*l).to_owned()).collect()),
                "{most}"
            );
        }
        for most in [0, 1, 7, i128::MAX] {
            let axis = Axis::over(Money::from_atto(most));
            assert!(axis.lines <= 8 && axis.top().atto() >= most, "{most}: {}", axis.lines);
        }
    }
}
