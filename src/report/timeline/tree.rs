//! A tree as text, with figures at the right edge.

use std::fmt::Write as _;

/// Texts are not parted into lines shorter than this, however little room there is.
const COLUMNS_MIN: usize = 16;

/// A line and what hangs below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// What it is.
    pub(super) left: String,
    /// Its figures: columns, each right-aligned in its width.
    pub(super) right: String,
    /// An id, which is shown where there is room.
    pub(super) id: String,
    pub(super) children: Vec<Node>,
}

/// How wide the lines are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    /// Up to the end of the figures.
    pub(super) figures: usize,
    /// Whether ids are shown behind them.
    pub(super) ids: bool,
}

/// Writes a node and what hangs below it.
pub(super) fn write(node: &Node, widths: Widths, text: &mut String) {
    write_line(node, ("", ""), widths, text);
    write_children(node, String::new(), widths, text);
}

fn write_children(node: &Node, before: String, widths: Widths, text: &mut String) {
    let last = node.children.len().saturating_sub(1);
    for (place, child) in node.children.iter().enumerate() {
        let (branch, below) = if place == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let below = format!("{before}{below}");
        write_line(child, (&format!("{before}{branch}"), &below), widths, text);
        write_children(child, below, widths, text);
    }
}

/// Writes one node: what does not fit before its figures goes on in lines of its own.
fn write_line(node: &Node, (first, next): (&str, &str), widths: Widths, text: &mut String) {
    let right = node.right.trim();
    // Two columns stay free before the figures.
    let gap = if right.is_empty() { 0 } else { 2 };
    let room = widths.figures.saturating_sub(taken(first) + taken(right) + gap);
    let mut parts = wrap(&node.left, room).into_iter();
    let left = parts.next().unwrap_or_default();
    let free = (room + gap).saturating_sub(taken(&left));
    let mut line = format!("{first}{left}{:free$}{right}", "");
    if widths.ids && !node.id.is_empty() {
        let missing = widths.figures.saturating_sub(taken(&line));
        let _ = write!(line, "{:missing$}  {}", "", node.id);
    }
    push(&line, text);
    // Behind what goes on below it, if anything does.
    let on = if node.children.is_empty() { "   " } else { "│  " };
    parts.for_each(|part| push(&format!("{next}{on}{part}"), text));
}

fn push(line: &str, text: &mut String) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Columns that a text takes.
fn taken(text: &str) -> usize {
    text.chars().count()
}

/// The text in lines of at most so many columns, parted at spaces where it can be. The first line
/// keeps its own spaces.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(COLUMNS_MIN);
    let mut lines = Vec::new();
    let mut rest = text;
    while taken(rest) > columns {
        let end = rest.char_indices().nth(columns).map_or(rest.len(), |(at, _)| at);
        let whole = rest.get(..=end).unwrap_or(rest);
        let at = whole.rfind(' ').filter(|at| *at > 0).unwrap_or(end);
        let (line, next) = rest.split_at(at);
        lines.push(line.trim_end().to_owned());
        rest = next.trim_start();
    }
    lines.push(rest.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(left: &str, right: &str, children: Vec<Node>) -> Node {
        Node { left: left.to_owned(), right: right.to_owned(), id: "id".to_owned(), children }
    }

    #[test]
    fn lines_end_at_the_same_column_and_long_ones_go_on() {
        let leaf = || node("leaf", "7", vec![]);
        let long = node("a name that is too long for it", "  9", vec![leaf()]);
        let tree = node("root", "10", vec![long, leaf()]);
        let mut text = String::new();
        write(&tree, Widths { figures: 24, ids: false }, &mut text);
        let expected = "root                  10\n├─ a name that is too  9\n│  │  long for it\n\
                        │  └─ leaf             7\n└─ leaf                7\n";
        assert_eq!(text, expected);
        text.clear();
        write(&leaf(), Widths { figures: 10, ids: true }, &mut text);
        assert_eq!(text, "leaf     7  id\n");
    }

    #[test]
    fn nothing_is_lost_where_a_text_is_parted() {
        for text in ["", "short", "ö".repeat(50).as_str(), "a b", &"word ".repeat(20)] {
            let lines = wrap(text, 17);
            assert!(lines.iter().all(|line| taken(line) <= 17), "{lines:?}");
            let letters = |text: &str| text.replace(' ', "");
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }
}
