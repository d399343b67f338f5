//! Tables whose columns are set apart by spaces: prints of data frames, columns of a fixed width.
//!
//! A row is cut where two spaces stand, and its cells belong to the columns in their order: that
//! holds after a redaction, too, when nothing stands under its name any more. Where a row has
//! another number of cells, it is cut under the ends and the beginnings of the columns' names.

use memchr::memchr_iter;

use super::super::document::is_nothing;
use super::super::key::Field;
use super::super::label::Label;
use super::super::rules::Rules;
use super::Block;
use super::columns::{COLUMNS_MAX, Columns, are_types};

/// A longer line is no row of names.
const HEADER_BYTES_MAX: usize = 600;

/// A longer row is not cut under the names of columns.
const ROW_BYTES_MAX: usize = 4_000;

/// How many rows are looked at to say that a line names columns.
const ROWS_TRIED: usize = 5;

/// A cell and what it holds.
type Cell = (usize, usize, Option<Field>);

/// Where the names of columns stand, in signs of their line, and what they say.
struct Grid {
    columns: Vec<(usize, usize)>,
    fields: Vec<Option<Field>>,
    /// One space sets the names apart, and so the cells.
    single: bool,
    /// A name may be several: rows are sure only while they stand under them.
    fused: bool,
}

/// The table that begins with the first of these lines, and how many lines it has.
pub(super) fn table(rules: &Rules, lines: &[(usize, &str)]) -> Option<(Block, usize)> {
    let (start, header) = *lines.first()?;
    let (_, below) = *lines.get(1)?;
    let ruled = is_rule(below);
    if !ruled && !is_header(header, below) {
        return None;
    }
    if ruled {
        let grid = ruled_grid(rules, (header, below), lines.get(2).map(|(_, row)| *row))?;
        return rows(&grid, lines, 2, start);
    }
    let wide = wide(header);
    let of_words = || grid(rules, header, &words(header), true);
    let first = lines.iter().skip(1).take(3).position(|(_, line)| !is_above_rows(line))? + 1;
    let beneath = || {
        let rows = lines.iter().skip(first).take(ROWS_TRIED).map(|(_, row)| *row);
        rows.take_while(|row| !row.trim().is_empty())
    };
    // `dob age` may be one name or two: most rows say which, and programs print two.
    let names = || wide.iter().map(|(from, to)| header.get(*from..*to).unwrap_or(""));
    let two = |name: &str| name.split(' ').all(|word| rules.field(word).is_some());
    let fused =
        |name: &str| name.contains(' ') && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    let fused = names().any(fused);
    let of_pieces = grid(rules, header, &wide, false);
    let in_order = |grid: &Grid| beneath().any(|row| grid.in_columns(row).is_some());
    let mut grids: Vec<Grid> = match of_pieces {
        Some(grid) if !fused && in_order(&grid) => vec![grid],
        of_pieces => of_pieces.into_iter().chain(of_words()).collect(),
    };
    if fused || names().any(|name| name.contains(' ') && two(name)) {
        grids.reverse();
    }
    let count = |grid: &Grid| beneath().filter(|row| grid.row(row).is_some()).count();
    // Of the same count the last is taken. Where a redaction has moved what stood under the names,
    // rows say less than others.
    let (rows_told, grid) =
        grids.iter().rev().map(|grid| (count(grid), grid)).max_by_key(|(rows, _)| *rows)?;
    if rows_told == 0 && !beneath().any(is_redacted) {
        return None;
    }
    rows(grid, lines, first, start)
}

/// A line that may name columns: words, and none of the signs of sentences and programs.
fn is_header(header: &str, below: &str) -> bool {
    const DIGITS_MAX: usize = 4;
    if !(7..=HEADER_BYTES_MAX).contains(&header.len()) || below.trim().is_empty() {
        return false;
    }
    let odd = |byte: u8| {
        matches!(
            byte,
            b',' | b';'
                | b':'
                | b'='
                | b'"'
                | b'|'
                | b'{'
                | b'}'
                | b'<'
                | b'>'
                | b'`'
                | b'%'
                | b'\t'
        )
    };
    let first = header.trim_start().as_bytes().first();
    first.is_some_and(u8::is_ascii_alphabetic)
        && !header.bytes().any(odd)
        && !header.ends_with(['.', '?', '!'])
        && header.bytes().filter(u8::is_ascii_digit).count() <= DIGITS_MAX
}

/// A line of dashes: `----  ------`.
fn is_rule(line: &str) -> bool {
    line.starts_with('-') && line.bytes().all(|byte| matches!(byte, b'-' | b' '))
}

/// Between the names and the rows: the names of types, or the name of the index alone.
fn is_above_rows(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let alone = words.next().is_some_and(|word| {
        word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && word.len() > 1
    }) && words.next().is_none();
    alone && line.ends_with(' ') || are_types(line.split_whitespace())
}

/// Several words in small letters: a program's names have no spaces, a person's have capitals.
fn is_fused(name: &str) -> bool {
    name.contains(' ') && !name.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The columns that the pieces of a line name, where they are those of persons' records.
fn grid(rules: &Rules, header: &str, pieces: &[(usize, usize)], single: bool) -> Option<Grid> {
    const NAME_BYTES_MAX: usize = 40;
    let names = || pieces.iter().map(|(from, to)| header.get(*from..*to).unwrap_or(""));
    let count = pieces.len();
    if !(2..=COLUMNS_MAX).contains(&count)
        || names().any(|name| name.len() > NAME_BYTES_MAX || name.split(' ').count() > 4)
    {
        return None;
    }
    let named = Columns::of(rules, names());
    // With one space between them they are words of a sentence as well.
    let all = named.known == count || named.known >= 3 && named.known * 2 >= count;
    if !named.personal || named.known < 2 || single && !all {
        return None;
    }
    let sign = |at: usize| header.get(..at).map_or(0, |before| before.chars().count());
    let columns = match header.is_ascii() {
        true => pieces.to_vec(),
        false => pieces.iter().map(|(from, to)| (sign(*from), sign(*to))).collect(),
    };
    let single = single && wide(header).len() == 1;
    let fused = names().any(is_fused);
    Some(Grid { columns, fields: named.fields, single, fused })
}

/// The columns that a line of dashes under their names shows.
fn ruled_grid(rules: &Rules, (header, dashes): (&str, &str), row: Option<&str>) -> Option<Grid> {
    let columns = words(dashes);
    // One column alone is ruled from the line's first sign on, and set in by one.
    let single = columns.len() == 1;
    let alone = dashes.len() == header.len()
        && header.starts_with(' ')
        && row.is_some_and(|row| row.starts_with(' '));
    if columns.len() > COLUMNS_MAX || single && !alone || header.len() > ROW_BYTES_MAX {
        return None;
    }
    let points = points(header);
    let byte = |sign: usize| points.get(sign).copied().unwrap_or(header.len());
    let names = columns.iter().enumerate().map(|(at, (from, _))| {
        let to = columns.get(at + 1).map_or(points.len(), |next| next.0);
        header.get(byte(*from)..byte(to)).unwrap_or("").trim()
    });
    let named = Columns::of(rules, names);
    if named.known == 0 || single && !named.telling {
        return None;
    }
    Some(Grid { columns, fields: named.fields, single: false, fused: false })
}

/// The rows below the names, to the first line that is empty. A line that is none is a text.
fn rows(
    grid: &Grid,
    lines: &[(usize, &str)],
    first: usize,
    start: usize,
) -> Option<(Block, usize)> {
    let mut block = Block { start, end: start, cells: Vec::<Cell>::new() };
    let mut length = first;
    for (at, line) in lines.iter().take(first) {
        block.cells.extend(words(line).iter().map(|(from, to)| (at + from, at + to, None)));
    }
    let mut text: Option<usize> = None;
    for (at, line) in lines.iter().skip(first).take_while(|(_, line)| !line.trim().is_empty()) {
        let end = at + line.len();
        match (grid.cells(line), text) {
            (Some(cells), _) => {
                text = None;
                let cells = cells.into_iter();
                block.cells.extend(cells.map(|(from, to, field)| (at + from, at + to, field)));
            }
            // Lines of a text are read together.
            (None, Some(place)) => block.cells[place] = (block.cells[place].0, end, None),
            (None, None) => {
                text = Some(block.cells.len());
                block.cells.push((*at, end, None));
            }
        }
        block.end = end;
        length += 1;
    }
    (length > first).then_some((block, length))
}

impl Grid {
    /// The cells of a row; `None` where the line is none.
    fn cells(&self, line: &str) -> Option<Vec<Cell>> {
        // Nothing stands under its name any more: what is left is read word by word.
        let of_words = || words(line).iter().map(|(from, to)| (*from, *to, None)).collect();
        self.row(line).or_else(|| is_redacted(line).then(of_words))
    }

    /// The cells of a row that looks like one.
    fn row(&self, line: &str) -> Option<Vec<Cell>> {
        if let Some(cells) = self.in_columns(line) {
            return Some(cells);
        }
        if is_redacted(line) {
            return None;
        }
        let cells = self.under_names(line).filter(|cells| self.fit(line, &cells[1..], 2));
        cells.or_else(|| {
            let words = words(line);
            let skip = words.len().checked_sub(self.columns.len()).filter(|_| self.single)?;
            let skip = Some(skip).filter(|more| *more <= 1)?;
            let index = words.iter().take(skip).map(|(from, to)| (*from, *to, None));
            let cells: Vec<Cell> = index.chain(self.in_order(line, &words[skip..])).collect();
            let lasting = |(from, to, field): Cell| (from, to, lasting(field));
            let fit = words.len() > 1 && self.fit(line, &cells[skip..], 2);
            fit.then(|| cells.into_iter().map(lasting).collect())
        })
    }

    /// The cells of a row that has as many as there are columns, with a number before or without.
    fn in_columns(&self, line: &str) -> Option<Vec<Cell>> {
        let count = self.columns.len();
        let wide = wide(line);
        let index = match wide.len().checked_sub(count)? {
            0 => !self.is_index(line, *wide.first()?),
            more => more == 1,
        };
        if !index || self.fused && is_redacted(line) {
            return None;
        }
        let skip = wide.len() - count;
        let before = wide.iter().take(skip).map(|(from, to)| (*from, *to, None));
        let cells: Vec<Cell> = before.chain(self.in_order(line, &wide[skip..])).collect();
        self.fit(line, &cells[skip..], 1).then_some(cells)
    }

    /// The pieces as cells. What was redacted before is only read.
    fn in_order(&self, line: &str, pieces: &[(usize, usize)]) -> impl Iterator<Item = Cell> {
        pieces.iter().zip(&self.fields).map(|((from, to), field)| {
            let redacted = line.get(*from..*to).is_some_and(is_redacted);
            let field = if self.fused { lasting(*field) } else { *field };
            (*from, *to, field.filter(|_| !redacted))
        })
    }

    /// The number of a row, before the first column.
    fn is_index(&self, line: &str, (from, to): (usize, usize)) -> bool {
        let digits = line.as_bytes()[from..to].iter().all(u8::is_ascii_digit);
        digits && to <= self.columns[0].0
    }

    /// The cells of a row by where the names of their columns begin and end; the first is what
    /// stands before them.
    fn under_names(&self, line: &str) -> Option<Vec<Cell>> {
        if line.len() > ROW_BYTES_MAX {
            return None;
        }
        let points = points(line);
        let byte = |sign: usize| points.get(sign).copied().unwrap_or(line.len());
        let space = |sign: usize| {
            points
                .get(sign)
                .is_none_or(|at| line.as_bytes().get(*at).is_none_or(|one| *one == b' '))
        };
        // Names stand over the beginnings of their cells, or over their ends.
        let mut cuts = Vec::with_capacity(self.columns.len() + 1);
        for (at, (from, _)) in self.columns.iter().enumerate() {
            let end = at.checked_sub(1).map_or(0, |before| self.columns[before].1);
            let begins = *from == 0 || space(from - 1);
            let cut = match (begins, at) {
                (_, 0) if begins && !space(*from) => *from,
                (_, 0) => (0..*from).find(|sign| space(*sign)).unwrap_or(0),
                // What sets columns apart is wider than what sets words apart.
                _ if let Some(wide) = (end..*from).find(|sign| space(*sign) && space(sign + 1)) => {
                    wide
                }
                (true, _) if !space(*from) => *from,
                _ if space(end) => end,
                // A text over whose beginning its name stands, and a number with it over its end.
                _ => (end..*from).rev().find(|sign| space(*sign))?,
            };
            cuts.push(byte(cut));
        }
        cuts.push(line.len());
        let piece = |from: usize, to: usize, field: Option<Field>| {
            let cell = line.get(from..to.max(from)).unwrap_or("");
            let lead = cell.len() - cell.trim_start().len();
            (from + lead, from + lead + cell.trim().len(), lasting(field))
        };
        let mut cells = vec![piece(0, cuts[0], None)];
        let fields = self.fields.iter();
        cells.extend(cuts.windows(2).zip(fields).map(|(cut, field)| piece(cut[0], cut[1], *field)));
        Some(cells)
    }

    /// The cells look like what their columns hold: digits where there are numbers, and as many as
    /// this have something in them.
    fn fit(&self, line: &str, cells: &[Cell], filled_min: usize) -> bool {
        let mut filled = 0;
        let fits = cells.iter().zip(&self.fields).all(|((from, to, _), field)| {
            let cell = line.get(*from..*to).unwrap_or("").trim();
            let digits = cell.bytes().any(|byte| byte.is_ascii_digit());
            let nothing = cell.len() <= 4 && !digits || is_nothing(cell) || is_redacted(cell);
            filled += usize::from(!cell.is_empty() && field.is_some());
            match field {
                Some(Field::Number(_) | Field::Date | Field::Age) => digits || nothing,
                Some(Field::Sure(Label::Name)) => !digits || nothing,
                _ => true,
            }
        });
        fits && filled >= filled_min
    }
}

/// A redaction has put something of its own into the line.
fn is_redacted(line: &str) -> bool {
    memchr_iter(b'[', line.as_bytes())
        .any(|at| line.get(at..).is_some_and(|rest| Label::placeholder_at(rest).is_some()))
}

/// What a column says that holds where the cell is read without it the next time: a code or a time
/// is left only where the cell is sure.
fn lasting(field: Option<Field>) -> Option<Field> {
    field.filter(|field| !matches!(field, Field::Code | Field::LogTime))
}

/// Where each sign of a line begins.
fn points(line: &str) -> Vec<usize> {
    line.char_indices().map(|(at, _)| at).collect()
}

/// The pieces of a line between two spaces and more.
fn wide(line: &str) -> Vec<(usize, usize)> {
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    for (from, to) in words(line) {
        match pieces.last_mut() {
            Some(last) if from - last.1 == 1 => last.1 = to,
            _ => pieces.push((from, to)),
        }
    }
    pieces
}

/// The words of a line.
fn words(line: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, byte) in line.bytes().chain(std::iter::once(b' ')).enumerate() {
        match (start, byte == b' ' || byte == b'\t') {
            (Some(from), true) => {
                words.push((from, at));
                start = None;
            }
            (None, false) => start = Some(at),
            _ => {}
        }
    }
    words
}
