//! Tables in text: CSV and its kin, the output of databases, Markdown.
//!
//! A block of lines with the same separator is a table where its first line names fields. Each cell
//! is then read by its column.

use memchr::{memchr, memchr_iter};

use super::super::rules::Rules;
use super::super::text::Text;
use super::columns::{COLUMNS_MAX, Columns, are_types};
use super::{Block, aligned, nameless};

/// Separators, those first that are rare in prose. The drawn bar stands for its kin, too.
const SEPARATORS: [char; 5] = ['\t', '|', BAR, ';', ','];

/// The bar of tables that are drawn.
const BAR: char = '│';

/// The tables of a text.
pub(super) fn blocks(rules: &Rules, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    // A row has two separators, or stands below its names.
    let whole = SEPARATORS.map(|separator| count(separator, text));
    if whole.iter().all(|count| *count < 2) && memchr(b'\n', text.as_bytes()).is_none() {
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
            .or_else(|| aligned::table(rules, rest.1))
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
    if separator != BAR {
        // The others are ASCII.
        return memchr_iter(separator as u8, line.as_bytes()).count();
    }
    // Bars of all kinds begin with these two bytes.
    let bytes = line.as_bytes();
    let drawn = |at: &usize| {
        bytes.get(at + 1) == Some(&0x94) && matches!(bytes.get(at + 2), Some(0x82 | 0x83 | 0x86))
            || bytes.get(at + 1) == Some(&0x95) && bytes.get(at + 2) == Some(&0x91)
    };
    memchr_iter(0xe2, bytes).filter(drawn).count()
}

/// The sign separates cells where `separator` does.
fn separates(sign: char, separator: char) -> bool {
    sign == separator || separator == BAR && matches!(sign, '┆' | '┃' | '║')
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
    let barred = matches!(separator, '|' | BAR);
    let few = count(separator, header).saturating_sub(if barred { 2 } else { 0 });
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
            && count('(', name) == count(')', name)
            && memchr(b':', name.as_bytes()).is_none()
            && name.split_whitespace().count() <= 4
            && name.bytes().filter(u8::is_ascii_digit).count() <= 2
    });
    if !titles || names.len() > COLUMNS_MAX {
        return None;
    }
    let columns =
        Columns::of(rules, names.iter().map(|(from, to)| name(header, start, *from, *to)));
    // What is drawn as a table is one: a column may be alone.
    let drawn = barred && lines.get(1).is_some_and(|(_, line)| rule_line(line));
    if !(columns.are_named() || drawn && columns.telling) {
        return None;
    }
    let fields = columns.fields;
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
            // One column alone has its bars.
            if row.len() != names.len() || row.len() == 1 && count(separator, line) == 0 {
                break;
            }
            let start = *start;
            let piece = |(from, to): &(usize, usize)| line.get(from - start..to - start);
            let types = length < 4 && are_types(row.iter().map(|cell| piece(cell).unwrap_or("")));
            let fields = fields.iter().map(|field| field.filter(|_| !types));
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
    line.contains('-')
        && line.bytes().all(|byte| matches!(byte, b'-' | b'+' | b'|' | b' ' | b':' | b'='))
        || is_drawn(line)
}

/// A line of a frame: `├───┼───┤`.
fn is_drawn(line: &str) -> bool {
    line.contains(['─', '═', '━'])
        && line.chars().all(|sign| matches!(sign, ' ' | '\u{2500}'..='\u{257f}'))
}

/// The cells of a line, in the text's offsets, without spaces and quotes about them.
pub(super) fn cells(line: &str, start: usize, separator: char) -> Vec<(usize, usize)> {
    let mut cells = Vec::new();
    let (mut from, mut quoted) = (0, false);
    for (at, sign) in line.char_indices() {
        if sign == '"' {
            quoted = !quoted;
        }
        if separates(sign, separator) && !quoted {
            cells.push((from, at));
            from = at + sign.len_utf8();
        }
    }
    cells.push((from, line.len()));
    // Markdown's outer bars make empty cells at both ends.
    let bare = |(from, to): &(usize, usize)| {
        line.get(*from..*to).is_some_and(|cell| cell.trim().is_empty())
    };
    if matches!(separator, '|' | BAR)
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
    use super::super::super::key::Field;
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
