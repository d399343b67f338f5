//! Bits that fall over on the disk: in a segment, in the index.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::chain::{entries, verify};
use crate::support::api::Fake;
use crate::support::client::Request;
use crate::support::eventually;
use crate::support::sidecar::{Options, Sidecar, Site};

async fn calls(sidecar: &Sidecar, count: usize) {
    for _ in 0..count {
        assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
    }
}

/// Turns a bit in the middle of a line round; gives the line as it is then.
fn flip(site: &Site, line: usize) -> Vec<u8> {
    let path = site.segments().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at);
    let ends: Vec<usize> = ends.collect();
    let (start, end) = (ends[line - 1] + 1, ends[line]);
    bytes[usize::midpoint(start, end)] ^= 1;
    // In place, as a disk does it: a running sidecar holds this file.
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&bytes[start..end], start as u64).unwrap();
    bytes[start..end].to_vec()
}

fn named(site: &Site, line: usize) {
    let (code, told) = verify(site, &[]);
    assert_eq!((code, &told["verified"]), (1, &false.into()));
    assert_eq!(told["damages"]["first_index"], line, "{told:#}");
}

#[tokio::test]
async fn a04_a_flipped_bit_is_named_and_never_repaired() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let options = Options::to(&fake.url);
    let sidecar = Sidecar::start(&site, &options);
    calls(&sidecar, 6).await;
    sidecar.stop();
    let flipped = flip(&site, 3);
    named(&site, 3);
    // It starts, says which line it is, and takes new calls.
    let sidecar = Sidecar::start(&site, &options);
    let told = || sidecar.said().contains("this ledger entry is damaged").then_some(());
    eventually("the damaged line is named", told).await;
    assert_eq!(entries(&site, "recovered")[0]["body"]["damaged"], serde_json::json!([3]));
    calls(&sidecar, 2).await;
    // Another one while it runs, and before the first: that one is named now.
    let earlier = flip(&site, 2);
    named(&site, 2);
    calls(&sidecar, 2).await;
    sidecar.stop();
    named(&site, 2);
    let lines: Vec<Vec<u8>> = {
        let bytes = fs::read(site.segments().remove(0)).unwrap();
        bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
    };
    assert_eq!((&lines[2], &lines[3]), (&earlier, &flipped), "they are as the disk left them");
    let outcomes = entries(&site, "closed");
    assert!(outcomes.len() >= 9, "{}", outcomes.len());
}

fn index(site: &Site) -> Connection {
    Connection::open(site.data.join("index.sqlite")).unwrap()
}

/// Turns the last bit of an amount round in the file itself; gives what SQLite reads then.
fn flip_amount(path: &Path, id: &str, amount: i64) {
    let mut bytes = fs::read(path).unwrap();
    let number: Vec<u8> = amount.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let rows = memchr::memmem::find_iter(&bytes, id.as_bytes());
    let places = rows.filter_map(|at| {
        let from = at.saturating_sub(400);
        let within = memchr::memmem::rfind(&bytes[from..at], &number);
        within.map(|within| from + within + number.len() - 1)
    });
    let places: Vec<usize> = places.collect();
    assert!(!places.is_empty(), "the amount stands in the row, before the id");
    for place in places {
        bytes[place] ^= 1;
    }
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a05_a_flipped_bit_in_the_index_is_found_and_built_anew() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    calls(&sidecar, 5).await;
    sidecar.stop();
    let before = (site.report("model,outcome"), site.exchanges());
    assert_eq!(verify(&site, &[]).0, 0);

    // In the payload of a row: SQLite sees nothing wrong with it.
    let (id, usd): (String, i64) = {
        let connection = index(&site);
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let sql = "SELECT id, usd_nano FROM exchanges ORDER BY sequence LIMIT 1 OFFSET 2";
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    flip_amount(&site.data.join("index.sqlite"), &id, usd);
    let (check, now): (String, i64) = {
        let connection = index(&site);
        let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        let sql = "SELECT usd_nano FROM exchanges WHERE id = ?1";
        (check, connection.query_row(sql, [&id], |row| row.get(0)).unwrap())
    };
    assert_eq!((check.as_str(), now), ("ok", usd ^ 1));
    let (code, told) = verify(&site, &[]);
    let what = told["damages"]["named"][0]["what"].as_str().unwrap();
    assert_eq!((code, &told["damages"]["count"]), (1, &1.into()));
    assert!(what.starts_with("index.sqlite holds 5 closed calls"), "{what}");
    assert!(what.contains("delete index.sqlite and it is built again"), "{what}");

    // In any other cell of a row: a name, a status, a line item. Turned back, all is well.
    flip_amount(&site.data.join("index.sqlite"), &id, usd ^ 1);
    assert_eq!(verify(&site, &[]).0, 0);
    for (cell, other) in [
        ("team", "team || 'x'"),
        ("user", "'somebody'"),
        ("status", "status + 1"),
        ("model", "upper(model)"),
        ("lines", "replace(lines, '1', '7')"),
        ("usage", "replace(usage, '1', '7')"),
        ("closed_at", "closed_at + 1"),
        ("opened_at", "opened_at + 1"),
        ("outcome", "'refused'"),
        ("pricing", "NULL"),
    ] {
        let connection = index(&site);
        let kept: Value = connection
            .query_row(&format!("SELECT {cell} FROM exchanges WHERE id = ?1"), [&id], |row| {
                row.get(0)
            })
            .unwrap();
        let sql = format!("UPDATE exchanges SET {cell} = {other} WHERE id = ?1");
        assert_eq!(connection.execute(&sql, [&id]).unwrap(), 1);
        let (code, told) = verify(&site, &[]);
        assert_eq!((code, &told["damages"]["count"]), (1, &1.into()), "{cell}: {told:#}");
        let what = told["damages"]["named"][0]["what"].as_str().unwrap();
        assert!(what.starts_with("index.sqlite holds other rows"), "{cell}: {what}");
        let sql = format!("UPDATE exchanges SET {cell} = ?2 WHERE id = ?1");
        assert_eq!(connection.execute(&sql, (&id, &kept)).unwrap(), 1);
        drop(connection);
        let (code, told) = verify(&site, &[]);
        assert_eq!(code, 0, "{cell}: {told:#}");
    }

    // In what SQLite itself needs: the damage is named, and the lines are verified all the same.
    let path = site.data.join("index.sqlite");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..8192].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let (code, told) = verify(&site, &[]);
    let what = told["damages"]["named"][0]["what"].as_str().unwrap();
    assert_eq!((code, &told["damages"]["count"]), (1, &1.into()), "{told:#}");
    assert!(what.contains("delete index.sqlite and it is built again"), "{what}");
    assert_eq!(told["proved_upto"], site.ledger_lines().len());

    fs::remove_file(&path).unwrap();
    assert_eq!((site.report("model,outcome"), site.exchanges()), before);
    let (code, told) = verify(&site, &[]);
    assert_eq!(code, 0, "{told:#}");
}
