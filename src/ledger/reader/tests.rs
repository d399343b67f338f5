use std::fs::OpenOptions;
use std::io::Write as _;

use super::*;

/// Appends raw bytes to the segment that starts at `first`.
fn append(dir: &Path, first: u64, bytes: &[u8]) {
    let folder = dir.join(SEGMENTS);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(segment_name(first));
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn read(reader: &mut Reader, lines_max: usize) -> Vec<(u64, String)> {
    let mut batch = Batch::default();
    reader.read_batch(&mut batch, lines_max).unwrap();
    batch.iter().map(|(i, line)| (i, String::from_utf8_lossy(line).into_owned())).collect()
}

fn owned(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
    lines.iter().map(|(index, line)| (*index, (*line).to_owned())).collect()
}

#[test]
fn an_empty_or_missing_folder_has_no_lines() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    assert!(read(&mut reader, 10).is_empty());
    assert_eq!(end(dir.path()).unwrap(), 0);
    append(dir.path(), 0, b"a\n");
    assert_eq!(read(&mut reader, 10), owned(&[(0, "a")]));
}

#[test]
fn reads_over_segments_and_from_any_index() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), 0, b"a\nb\nc\n");
    append(dir.path(), 3, b"d\ne\n\0\0\0\0");
    append(dir.path(), 5, b"f\n");
    let all = owned(&[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "e"), (5, "f")]);
    for from in 0..=6_usize {
        let mut reader = Reader::open(dir.path(), from as u64).unwrap();
        assert_eq!(read(&mut reader, 100), all[from..], "from {from}");
        assert_eq!(reader.next_index(), 6);
    }
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    let one_by_one: Vec<_> = (0..6).flat_map(|_| read(&mut reader, 1)).collect();
    assert_eq!(one_by_one, all);
    assert_eq!(end(dir.path()).unwrap(), 6);
}

#[test]
fn waits_for_the_newline_and_for_what_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), 0, b"a\nhal");
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    assert_eq!(read(&mut reader, 10), owned(&[(0, "a")]));
    assert!(read(&mut reader, 10).is_empty());
    append(dir.path(), 0, b"f\nlast\n");
    append(dir.path(), 3, b"next\n");
    assert_eq!(read(&mut reader, 10), owned(&[(1, "half"), (2, "last"), (3, "next")]));
}

#[test]
fn says_what_was_pruned_or_lost() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), 7, b"h\n");
    append(dir.path(), 10, b"k\n");
    let mut reader = Reader::open(dir.path(), 2).unwrap();
    assert_eq!(read(&mut reader, 1), owned(&[(7, "h")]));
    assert_eq!(reader.skipped(), Some(2..7));
    assert_eq!(read(&mut reader, 5), owned(&[(10, "k")]));
    assert_eq!(reader.skipped(), Some(8..10));
}

#[test]
fn a_ledger_shorter_than_asked_for_shows_its_end() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), 0, b"a\nb\n");
    assert_eq!(Reader::open(dir.path(), 9).unwrap().next_index(), 2);
}

#[test]
fn a_piece_longer_than_any_line_is_one_damaged_line() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), 0, b"a\n");
    append(dir.path(), 0, &vec![b'x'; READ_BYTES * 2 + 5]);
    append(dir.path(), 0, b"\nb\n");
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    let damaged = "x".repeat(DAMAGED_BYTES_KEPT);
    assert_eq!(read(&mut reader, 10), owned(&[(0, "a"), (1, &damaged), (2, "b")]));
    assert_eq!(read(&mut Reader::open(dir.path(), 2).unwrap(), 10), owned(&[(2, "b")]));
}

#[test]
fn a_batch_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let line = format!("{}\n", "y".repeat(999));
    append(dir.path(), 0, line.repeat(5000).as_bytes());
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    let mut batch = Batch::new(BATCH_BYTES);
    let mut total = 0;
    loop {
        let lines = reader.read_batch(&mut batch, usize::MAX).unwrap();
        assert!(batch.buffer.len() <= BATCH_BYTES);
        if lines == 0 {
            break;
        }
        total += lines;
    }
    assert_eq!(total, 5000);
}

#[test]
fn reads_while_another_thread_appends_and_rotates() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let writer = std::thread::spawn(move || {
        for index in 0..3000_u64 {
            let text = format!("line {index}\n");
            let (one, two) = text.as_bytes().split_at(3);
            append(&path, index - index % 100, one);
            append(&path, index - index % 100, two);
        }
    });
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    let mut expected = 0;
    while expected < 3000 {
        for (index, line) in read(&mut reader, 64) {
            assert_eq!((index, line), (expected, format!("line {expected}")));
            expected += 1;
        }
    }
    writer.join().unwrap();
    assert_eq!(reader.skipped(), None);
}
