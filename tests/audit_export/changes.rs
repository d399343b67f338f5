//! Every way to change a bundle that is known here: each is caught, at its place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use weighbridge::audit::note::{KeyKind, SigningKey};

use super::*;

const LINES: &str = "ledger/00000000000000000000.jsonl";
const TILE: &str = "audit/tiles/tile/0/000";
const NOTES: &str = "audit/checkpoints.notes";

/// Changes a file's text.
fn edit(bundle: &Path, name: &str, change: impl FnOnce(String) -> String) {
    let path = bundle.join(name);
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "{name}: nothing was changed");
    fs::write(path, changed).unwrap();
}

/// Changes a file's lines.
fn lines(bundle: &Path, name: &str, change: impl FnOnce(&mut Vec<String>)) {
    edit(bundle, name, |text| {
        let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut all);
        all.join("\n") + "\n"
    });
}

fn bytes(bundle: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = bundle.join(name);
    let mut all = fs::read(&path).unwrap();
    change(&mut all);
    fs::write(path, all).unwrap();
}

/// Changes the notes, each with its empty line.
fn notes(bundle: &Path, change: impl FnOnce(&mut Vec<String>)) {
    edit(bundle, NOTES, |text| {
        let halves: Vec<&str> = text.split_inclusive("\n\n").collect();
        let mut all: Vec<String> = halves.chunks(2).map(<[&str]>::concat).collect();
        change(&mut all);
        all.concat()
    });
}

/// The name, what is done, what the program must say, and whether `verify.py` must see it too where
/// the manifest was written anew.
type Mutation = (&'static str, fn(&Path), &'static str, bool);

const MUTATIONS: [Mutation; 34] = [
    (
        "line edited",
        |b| lines(b, LINES, |l| l[20] = l[20].replace("\"body\":{", "\"body\":{\"x\":1,")),
        "index 20",
        true,
    ),
    (
        "time edited",
        |b| lines(b, LINES, |l| l[7] = l[7].replace("\"t\":", "\"t\":1")),
        "index 7",
        true,
    ),
    ("line deleted", |b| lines(b, LINES, |l| drop(l.remove(30))), "line 30 is missing", true),
    (
        "line inserted",
        |b| lines(b, LINES, |l| l.insert(40, l[40].replace("wb-", "wx-"))),
        "index 40",
        true,
    ),
    ("lines swapped", |b| lines(b, LINES, |l| l.swap(50, 51)), "index 50", true),
    (
        "line duplicated",
        |b| lines(b, LINES, |l| l.insert(60, l[60].clone())),
        "line 60 stands again",
        true,
    ),
    ("line cut", |b| edit(b, LINES, |t| t[..t.len() - 9].to_owned()), "ends within line", true),
    ("last line cut", |b| lines(b, LINES, |l| drop(l.pop())), "are missing", true),
    ("lines removed", |b| fs::remove_file(b.join(LINES)).unwrap(), "lines 0 to", true),
    (
        "hash in tile edited",
        |b| bytes(b, TILE, |t| t[33] ^= 1),
        "line 1 does not have its hash in audit/tiles/tile/0/000",
        true,
    ),
    (
        "hashes in tile swapped",
        |b| bytes(b, TILE, |t| (0..32).for_each(|i| t.swap(64 + i, 96 + i))),
        "line 2 does not have its hash in",
        true,
    ),
    ("tile cut", |b| bytes(b, TILE, |t| t.truncate(32 * 200)), "tile/0/000 is damaged", true),
    ("tile deleted", |b| fs::remove_file(b.join(TILE)).unwrap(), "tile/0/000 is damaged", true),
    (
        "upper tile edited",
        |b| bytes(b, "audit/tiles/tile/1/000.p/1", |t| t[0] ^= 1),
        "tile/1/000.p/1 is not the hashes",
        true,
    ),
    (
        "checkpoint edited",
        |b| notes(b, |n| n[1] = n[1].replacen("\n40\n", "\n41\n", 1)),
        "checkpoint 2 of",
        true,
    ),
    (
        "signature edited",
        |b| {
            notes(b, |n| {
                let at = n[2].len() - 12;
                let other = if &n[2][at..=at] == "A" { "B" } else { "A" };
                n[2].replace_range(at..=at, other);
            })
        },
        "checkpoint 3 of",
        true,
    ),
    (
        "newest checkpoint deleted",
        |b| notes(b, |n| drop(n.pop())),
        "no checkpoint covers all",
        true,
    ),
    ("checkpoints swapped", |b| notes(b, |n| n.swap(1, 3)), "fewer than one before", true),
    (
        "checkpoint cut",
        |b| edit(b, NOTES, |t| t[..t.len() - 60].to_owned()),
        "is not a signed note",
        true,
    ),
    (
        "key replaced",
        |b| {
            lines(b, "audit/keys/0001.vkey", |l| {
                let name = l[0].split('+').next().unwrap().to_owned();
                let other = SigningKey::from_seed(&name, KeyKind::Note, &[9; 32]).unwrap();
                l[0] = other.verifier().to_string();
            })
        },
        "0002.vkey is not a key that the one before it signed",
        true,
    ),
    (
        "key deleted",
        |b| fs::remove_file(b.join("audit/keys/0002.vkey")).unwrap(),
        "none of the ledger's keys",
        true,
    ),
    (
        "key's range edited",
        |b| lines(b, "audit/keys/0001.vkey", |l| l[1] = "45".into()),
        "not valid for its lines",
        true,
    ),
    (
        "rotation edited",
        |b| lines(b, "audit/keys/0002.vkey", |l| l[1] = "10".into()),
        "0002.vkey is not a key",
        true,
    ),
    (
        "cell edited",
        |b| edit(b, "exchanges.csv", |t| t.replacen("completed", "refused", 1)),
        "exchanges.csv is not what the lines give",
        false,
    ),
    (
        "row deleted",
        |b| lines(b, "exchanges.csv", |l| drop(l.remove(5))),
        "exchanges.csv is not what",
        false,
    ),
    (
        "event edited",
        |b| edit(b, "ocsf.jsonl", |t| t.replacen("Success", "Failure", 1)),
        "ocsf.jsonl is not what",
        false,
    ),
    (
        "total edited",
        |b| edit(b, "ipe.json", |t| t.replacen("\"calls\": 140", "\"calls\": 139", 1)),
        "other counts or totals",
        false,
    ),
    (
        "root edited",
        |b| {
            edit(b, "ipe.json", |t| {
                let at = t.find("\"root\": \"").unwrap() + 9;
                let digit = if &t[at..=at] == "0" { "1" } else { "0" };
                format!("{}{digit}{}", &t[..at], &t[at + 1..])
            })
        },
        "root that ipe.json names",
        true,
    ),
    (
        "page edited",
        |b| edit(b, "summary.html", |t| t.replacen("140", "141", 1)),
        "summary.html is not what",
        false,
    ),
    (
        "head removed for an older one",
        |b| {
            let notes = fs::read_to_string(b.join(NOTES)).unwrap();
            let first = notes.split_inclusive("\n\n").take(2).collect::<String>();
            fs::write(b.join("audit/head.note"), first.trim_end().to_owned() + "\n").unwrap();
        },
        "head.note is not the newest checkpoint",
        false,
    ),
    (
        "sample drawn by a seed of choice",
        |b| {
            edit(b, "ipe.json", |t| {
                let at = t.find("\"seed\": \"").unwrap() + 9;
                format!("{}chosen{}", &t[..at], &t[at + 64..])
            });
        },
        "by another rule or seed",
        false,
    ),
    (
        "a checkpoint in the middle left out",
        |b| notes(b, |all| drop(all.remove(2))),
        "5 checkpoints are there, ipe.json says 6",
        true,
    ),
    (
        "a word of the auditor added",
        |b| edit(b, "ipe.json", |t| t.replacen('{', "{\"opinion\": \"unqualified\",", 1)),
        "ipe.json is not readable",
        false,
    ),
    (
        "lines of the bundle called pruned",
        |b| edit(b, "ipe.json", |t| t.replacen("\"pruned\": 0", "\"pruned\": 100", 1)),
        "calls lines pruned that are in the bundle",
        true,
    ),
];

#[tokio::test]
async fn an_unchanged_bundle_verifies_three_ways_and_no_change_passes() {
    let site = site().await;
    let bundle = export(&site, "bundle", &[]);
    let output = verify(&site, &bundle, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("no witness"), "{}", said(&output));
    let output = python(&bundle, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::metadata(bundle.join("ipe.json")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o700);

    with_stock_tools(&site, &bundle);
    for (name, change, expected, python_too) in MUTATIONS {
        for sealed in [false, true] {
            let copied = site.path("copy");
            let _ = fs::remove_dir_all(&copied);
            copy(&bundle, &copied);
            change(&copied);
            if sealed {
                seal(&copied);
            }
            let output = verify(&site, &copied, &[]);
            assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
            // Of what the manifest alone tells, the file is named.
            let expected = if python_too || sealed { expected } else { "does not have the hash" };
            assert!(said(&output).contains(expected), "{name}: {}", said(&output));
            let output = python(&copied, &[]);
            let caught = i32::from(python_too || !sealed);
            assert_eq!(output.status.code(), Some(caught), "verify.py, {name}: {}", said(&output));
        }
    }
}

#[tokio::test]
async fn a_file_that_no_export_gives_is_damage() {
    let site = site().await;
    let bundle = export(&site, "bundle", &[]);
    for name in ["audit/opinion.html", "audit/witness/notary.note", "ledger/zz.html"] {
        let copied = site.path("copy");
        let _ = fs::remove_dir_all(&copied);
        copy(&bundle, &copied);
        fs::create_dir_all(copied.join(name).parent().unwrap()).unwrap();
        fs::write(copied.join(name), "all is well").unwrap();
        seal(&copied);
        let output = verify(&site, &copied, &[]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert!(said(&output).contains(&format!("{name} is no file")), "{}", said(&output));
    }
}

const MANIFEST_CHANGES: [Mutation; 7] = [
    (
        "entry deleted",
        |b| lines(b, "MANIFEST.sha256", |l| drop(l.remove(0))),
        "README.txt is not in",
        true,
    ),
    (
        "hash edited",
        |b| {
            lines(b, "MANIFEST.sha256", |l| {
                let digit = if l[1].starts_with('0') { "1" } else { "0" };
                l[1].replace_range(..1, digit);
            })
        },
        "access.csv does not have the hash",
        true,
    ),
    (
        "entry doubled",
        |b| lines(b, "MANIFEST.sha256", |l| l.insert(0, l[0].clone())),
        "line 2 is not a line",
        true,
    ),
    ("a file more", |b| fs::write(b.join("more.txt"), "x").unwrap(), "more.txt is not in", true),
    (
        "a way out",
        |b| lines(b, "MANIFEST.sha256", |l| l.push(format!("{}  ../x", "0".repeat(64)))),
        "is not a line of a manifest",
        true,
    ),
    (
        "an absolute name",
        |b| lines(b, "MANIFEST.sha256", |l| l.push(format!("{}  /etc/hosts", "0".repeat(64)))),
        "is not a line of a manifest",
        true,
    ),
    (
        "a link",
        |b| {
            fs::remove_file(b.join("gaps.csv")).unwrap();
            std::os::unix::fs::symlink("/etc/hosts", b.join("gaps.csv")).unwrap();
        },
        "gaps.csv is not a file of a bundle",
        true,
    ),
];

#[tokio::test]
async fn the_manifest_holds_every_file_and_nothing_leads_outside() {
    let site = site().await;
    let bundle = export(&site, "bundle", &[]);
    let manifest = "MANIFEST.sha256";
    assert!(bundle.join(manifest).is_file());
    for (name, change, expected, _) in MANIFEST_CHANGES {
        let copied = site.path("copy");
        let _ = fs::remove_dir_all(&copied);
        copy(&bundle, &copied);
        change(&copied);
        let output = verify(&site, &copied, &[]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert!(said(&output).contains(expected), "{name}: {}", said(&output));
        assert_eq!(python(&copied, &[]).status.code(), Some(1), "verify.py, {name}");
    }
    // What exists is not written to: a folder, a file, a link.
    std::os::unix::fs::symlink(site.path("elsewhere"), site.path("link")).unwrap();
    for taken in ["bundle", "said.txt", "link"] {
        let data = site.data.to_str().unwrap();
        let out = site.path(taken);
        let arguments = ["audit", "export", "--data-dir", data, "--out", out.to_str().unwrap()];
        let output = site.run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{taken}: {}", said(&output));
        assert!(said(&output).contains("it exists"), "{taken}: {}", said(&output));
    }
    assert!(!site.path("elsewhere").exists());
}
