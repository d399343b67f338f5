//! Tables in text: CSV and its kin, the output of databases, Markdown.
//!
//! A block of lines with the same separator is a table where its first line names fields. Each cell
//! is then read by its column.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

use super::super::key::Field;
use super::super::rules::Rules;
use super::super::text::Text;
use super::{Block, nameless};

/// Separators, those first that are rare in prose.
const SEPARATORS: [char; 4] = ['\t', '|', ';', ','];

/// What the columns of a fixed width are underlined with.
static DASHES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("--"));

/// How many columns a table has at most; wider ones are read as text.
const COLUMNS_MAX: usize = 200;

/// The tables of a text.
pub(super) fn blocks(rules: &Rules, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    // A text without two separators holds no row.
    let whole = SEPARATORS.map(|separator| count(separator, text));
    if whole.iter().all(|count| *count < 2) && DASHES.find(text.as_bytes()).is_none() {
        return blocks;
    }
    let lines: Vec<(usize, &str)> = text
        .split_inclusive('\n')
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some((start, line.trim_end_matches(['\n', '\r'])))
        })
        .collect();
    let mut place = 0;
    while place < lines.len() {
        let rest = (text, &lines[place..]);
        let mut counts = whole;
        for (count, separator) in counts.iter_mut().zip(SEPARATORS).filter(|(some, _)| **some > 0) {
            *count = self::count(separator, lines[place].1);
        }
        let block = SEPARATORS
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count >= 1)
            .find_map(|(separator, _)| table(rules, rest, *separator))
            .or_else(|| fixed(rules, rest.1))
            .or_else(|| headless(rest.1, counts));
        match block {
            Some((block, length)) => {
                blocks.push(block);
                place += length;
            }
            None => place += 1,
        }
    }
    blocks
}

/// How often a separator stands in a line.
fn count(separator: char, line: &str) -> usize {
    // Separators are ASCII.
    memchr_iter(separator as u8, line.as_bytes()).count()
}

/// The table that begins with the first of these lines, and how many lines it has.
fn table(
    rules: &Rules,
    (text, lines): (&str, &[(usize, &str)]),
    separator: char,
) -> Option<(Block, usize)> {
    let (start, header) = *lines.first()?;
    // A row has as many separators, but for those in quotes of the header and the outer bars; it
    // stands below, or below a line of dashes.
    let few = count(separator, header).saturating_sub(if separator == '|' { 2 } else { 0 });
    let rows = &lines[1..lines.len().min(3)];
    let quoted = |(_, line): &(usize, &str)| memchr(b'"', line.as_bytes()).is_some();
    if !lines.iter().take(3).any(quoted) && rows.iter().all(|(_, row)| count(separator, row) < few)
    {
        return None;
    }
    let names = cells(header, start, separator);
    let titles = names.iter().all(|(from, to)| {
        let name = name(header, start, *from, *to);
        name.len() <= 40
            && memchr(b':', name.as_bytes()).is_none()
            && name.split_whitespace().count() <= 4
            && name.bytes().filter(u8::is_ascii_digit).count() <= 2
    });
    if !titles || names.len() > COLUMNS_MAX {
        return None;
    }
    let fields: Vec<Option<Field>> =
        names.iter().map(|(from, to)| rules.field(name(header, start, *from, *to))).collect();
    let known = fields.iter().flatten().count();
    if known < 2 || known * 4 < names.len() {
        return None;
    }
    let mut block = Block { start, end: start + header.len(), cells: Vec::new() };
    // A header that is none after all is read, too.
    block.cells.extend(names.iter().map(|(from, to)| (*from, *to, None)));
    let mut length = 1;
    while let Some((start, line)) = lines.get(length) {
        let mut taken = 1;
        let mut line = *line;
        if !rule_line(line) {
            let mut row = cells(line, *start, separator);
            if count('"', line) % 2 == 1 {
                (line, taken) = quoted_row((text, &lines[length..]), names.len(), separator);
                row = cells(line, *start, separator);
            }
            if row.len() != names.len() {
                break;
            }
            let fields = fields.iter().copied();
            block
                .cells
                .extend(row.iter().zip(fields).map(|((from, to), field)| (*from, *to, field)));
        }
        block.end = start + line.len();
        length += taken;
    }
    (block.cells.len() > names.len()).then_some((block, length))
}

/// The row that begins with the first of these lines, with those its quotes go on over.
fn quoted_row<'a>(
    (text, lines): (&'a str, &[(usize, &'a str)]),
    columns: usize,
    separator: char,
) -> (&'a str, usize) {
    const LINES_MAX: usize = 64;
    let Some((start, first)) = lines.first() else { return ("", 1) };
    let mut quotes = 0;
    for (taken, (from, line)) in lines.iter().enumerate().take(LINES_MAX) {
        quotes += count('"', line);
        if quotes % 2 == 0 {
            let row = text.get(*start..from + line.len()).unwrap_or(first);
            let whole = cells(row, *start, separator).len() == columns;
            return if whole { (row, taken + 1) } else { (first, 1) };
        }
    }
    (first, 1)
}

/// Columns of a fixed width, as the line of dashes under their names says.
fn fixed(rules: &Rules, lines: &[(usize, &str)]) -> Option<(Block, usize)> {
    let (start, header) = *lines.first()?;
    let (_, dashes) = *lines.get(1)?;
    let ruled = dashes.starts_with('-') && dashes.bytes().all(|byte| matches!(byte, b'-' | b' '));
    if !ruled || dashes.split_whitespace().count() < 2 {
        return None;
    }
    let mut columns: Vec<(usize, usize)> = Vec::new();
    for (at, byte) in dashes.bytes().enumerate() {
        let room = columns.len() < COLUMNS_MAX;
        match columns.last_mut() {
            Some(last) if byte == b'-' && last.1 == at => last.1 = at + 1,
            _ if byte == b'-' && room => columns.push((at, at + 1)),
            _ => {}
        }
    }
    let piece = |line: &str, column: usize| {
        let from = columns[column].0;
        let to = columns.get(column + 1).map_or(line.len(), |next| next.0);
        let points: Vec<usize> =
            line.char_indices().map(|(at, _)| at).chain([line.len()]).collect();
        let byte = |point: usize| points.get(point).copied().unwrap_or(line.len());
        let (from, to) = (byte(from), byte(to.min(points.len())));
        let cell = line.get(from..to).unwrap_or("");
        let lead = cell.len() - cell.trim_start().len();
        (from + lead, from + lead + cell.trim().len())
    };
    let fields: Vec<Option<Field>> = (0..columns.len())
        .map(|column| {
            let (from, to) = piece(header, column);
            rules.field(header.get(from..to).unwrap_or(""))
        })
        .collect();
    if fields.iter().flatten().count() == 0 {
        return None;
    }
    let mut block = Block { start, end: start, cells: Vec::new() };
    let mut length = 2;
    for (start, line) in lines.iter().skip(2).take_while(|(_, line)| !line.trim().is_empty()) {
        for (column, field) in fields.iter().enumerate() {
            let (from, to) = piece(line, column);
            block.cells.push((start + from, start + to, *field));
        }
        block.end = start + line.len();
        length += 1;
    }
    (!block.cells.is_empty()).then_some((block, length))
}

/// A row without a header: what stands beside each other says what it is.
fn headless(lines: &[(usize, &str)], counts: [usize; SEPARATORS.len()]) -> Option<(Block, usize)> {
    const CELLS_MIN: usize = 5;
    let (start, line) = *lines.first()?;
    let (separator, _) =
        SEPARATORS.into_iter().zip(counts).find(|(_, count)| count + 1 >= CELLS_MIN)?;
    // Prose has spaces behind its commas.
    if line.contains(", ") && separator == ',' && !line.contains('"') {
        return None;
    }
    let cells = cells(line, start, separator);
    let texts: Vec<Text<'_>> = cells
        .iter()
        .map(|(from, to)| Text::new(line.get(from - start..to - start).unwrap_or("")))
        .collect();
    let fields = nameless::beside(&texts);
    if fields.iter().flatten().count() < 2 {
        return None;
    }
    let cells =
        cells.into_iter().zip(fields).map(|((from, to), field)| (from, to, field)).collect();
    Some((Block { start, end: start + line.len(), cells }, 1))
}

fn name(line: &str, start: usize, from: usize, to: usize) -> &str {
    line.get(from - start..to - start).unwrap_or("").trim_matches(['`', '*', '"', '\''])
}

/// `---+---` and `| --- | --- |`.
fn rule_line(line: &str) -> bool {
    !line.is_empty()
        && line.contains('-')
        && line.bytes().all(|byte| matches!(byte, b'-' | b'+' | b'|' | b' ' | b':' | b'='))
}

/// The cells of a line, in the text's offsets, without spaces and quotes about them.
fn cells(line: &str, start: usize, separator: char) -> Vec<(usize, usize)> {
    let mut cells = Vec::new();
    let (mut from, mut quoted) = (0, false);
    for (at, sign) in line.char_indices() {
        if sign == '"' {
            quoted = !quoted;
        }
        if sign == separator && !quoted {
            cells.push((from, at));
            from = at + sign.len_utf8();
        }
    }
    cells.push((from, line.len()));
    // Markdown's outer bars make empty cells at both ends.
    let bare = |(from, to): &(usize, usize)| {
        line.get(*from..*to).is_some_and(|cell| cell.trim().is_empty())
    };
    if separator == '|'
        && cells.len() > 2
        && cells.first().is_some_and(bare)
        && cells.last().is_some_and(bare)
    {
        cells.remove(0);
        cells.pop();
    }
    cells
        .into_iter()
        .map(|(from, to)| {
            let cell = line.get(from..to).unwrap_or("");
            let begun = cell.trim_start().trim_start_matches('"');
            let lead = cell.len() - begun.len();
            let inner = begun.trim_end().trim_end_matches('"');
            (start + from + lead, start + from + lead + inner.len())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::label::Label;
    use super::*;

    #[test]
    fn a_header_says_what_its_columns_hold() {
        let text = "x\nlast_name,dob,a1c\n\"Roe, Jr\",1960-01-02,7\nDoe,1970-01-02,8\nend\n";
        let blocks = blocks(&Rules::default(), text);
        assert_eq!(blocks.len(), 1);
        let cells: Vec<&str> =
            blocks[0].cells.iter().map(|(from, to, _)| &text[*from..*to]).collect();
        let cells = &cells[3..];
        assert_eq!(cells, ["Roe, Jr", "1960-01-02", "7", "Doe", "1970-01-02", "8"]);
        assert_eq!(blocks[0].cells[3].2, Some(Field::Sure(Label::Name)));
        assert_eq!(&text[blocks[0].end..], "\nend\n");
    }

    #[test]
    fn prose_with_commas_is_no_table() {
        let text = "He came, saw, and won.\nShe left, too, and late.\n";
        assert!(blocks(&Rules::default(), text).is_empty());
    }
}
