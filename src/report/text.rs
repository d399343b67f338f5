//! Text that is safe to show: what came from outside must not steer a terminal or a spreadsheet.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What a table shows where there is nothing.
pub const NOTHING: &str = "–";

/// Replaces what a terminal would obey or reorder (control characters, direction marks, line
/// separators, zero-width characters) by its visible escape.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_active) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_active(character) {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal would obey it, or show the text around it in another order.
#[must_use]
pub fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// A text field of CSV (RFC 4180). A spreadsheet takes a leading `=`, `+`, `-` or `@` for a
/// formula: an apostrophe before it keeps it text. Some take `;` for the separator: it is quoted.
#[must_use]
pub fn csv_field(text: &str) -> String {
    let guard = matches!(text.chars().next(), Some('=' | '+' | '-' | '@' | '\t' | '\r'));
    let shown = printable(text);
    let field = format!("{}{shown}", if guard { "'" } else { "" });
    if field.contains(['"', ',', ';', '\n', '\r']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field
}

/// Text inside HTML or an attribute of it, and of SVG.
#[must_use]
pub fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in printable(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A name in Markdown, also inside a table: a code span, where nothing is markup, a link or a
/// mention.
#[must_use]
pub fn code_span(name: &str) -> String {
    // A backtick would end the span, a bar the cell; an empty span is none.
    let safe = printable(name).replace('`', "'").replace('|', "\\|");
    if safe.trim().is_empty() { "(empty)".to_owned() } else { format!("`{safe}`") }
}

/// A note as a sentence of its own.
#[must_use]
pub fn sentence(note: &str) -> String {
    let mut characters = note.chars();
    let first = characters.next().map(|first| first.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str())
}

/// A size for people, in powers of a thousand.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut unit, mut step) = (0, 1000_u64);
    while unit + 1 < UNITS.len() && bytes / step >= 1000 {
        (unit, step) = (unit + 1, step.saturating_mul(1000));
    }
    format!("{}.{} {}", bytes / step, bytes % step / (step / 10), UNITS[unit])
}

/// How long something took, for people.
#[must_use]
pub fn lasted(us: u64) -> String {
    let seconds = us / 1_000_000;
    match seconds {
        0 => format!("{} ms", us / 1000),
        1..60 => format!("{seconds}.{} s", us % 1_000_000 / 100_000),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", thousands(seconds / 3600), seconds % 3600 / 60),
    }
}

/// A whole number with its thousands apart.
#[must_use]
pub fn thousands(number: u64) -> String {
    group(&number.to_string())
}

/// Puts a comma between each three digits of a decimal's whole part.
#[must_use]
pub fn group(decimal: &str) -> String {
    let (sign, rest) = decimal.strip_prefix('-').map_or(("", decimal), |rest| ("-", rest));
    let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    let mut grouped = String::with_capacity(decimal.len() + 8);
    grouped.push_str(sign);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped.push_str(fraction);
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(printable("a\nb\u{202e}c\u{9b}"), "a\\u{a}b\\u{202e}c\\u{9b}");
        assert!(matches!(printable("Zoë claude-opus-5-5"), Cow::Borrowed(_)));
    }

    #[test]
    fn csv_is_quoted_and_holds_no_formula() {
        for (text, field) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\tx", "'\\u{9}x"),
            ("\rx", "'\\u{d}x"),
            ("a;=1", "\"a;=1\""),
            ("a\u{85}b\u{202e}\u{1b}[2J", "a\\u{85}b\\u{202e}\\u{1b}[2J"),
        ] {
            assert_eq!(csv_field(text), field);
        }
    }

    #[test]
    fn html_and_markdown_hold_no_markup() {
        let evil = "<img src=x onerror='a()'>\"&|[x](http://y)`@me\u{1b}";
        assert_eq!(
            html(evil),
            "&lt;img src=x onerror=&#39;a()&#39;&gt;&quot;&amp;|[x](http://y)`@me\\u{1b}"
        );
        assert_eq!(code_span("a`|@b"), "`a'\\|@b`");
        assert_eq!(code_span(" "), "(empty)");
    }

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [0, 999, 1000, 1_234_567, 9_990_000_000, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "1.2 MB", "9.9 GB", "18446744.0 TB"]);
        let times = [900, 318_200, 1_570_000, 385_000_000, 7_500_000_000].map(lasted);
        assert_eq!(times, ["0 ms", "318 ms", "1.5 s", "6 min 25 s", "2 h 05 min"]);
        assert_eq!(sentence("one thing"), "One thing.");
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(group("-1234.56789"), "-1,234.56789");
    }
}
