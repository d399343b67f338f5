//! The house rules that the compiler and clippy do not know.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE_LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;
/// Layers up to this one are pure.
const PURE_LAYER_MAX: u32 = 1;

/// What a pure module may not name.
const IMPURE: [&str; 11] = [
    "tokio",
    "hyper",
    "rusqlite",
    "rustix",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
];
/// What no code outside tests may hold.
const BANNED: [&str; 7] = [
    ".unwrap()",
    ".expect(",
    "panic!(",
    "todo!(",
    "unimplemented!(",
    "unbounded_channel",
    "#[allow(",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository, without what is built or installed.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = ["target", ".git", ".tools", "node_modules"];
        if skipped.iter().any(|skip| name == *skip) {
            continue;
        }
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join(folder), &mut found);
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(!found.is_empty(), "no Rust files in {folder}");
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", name(path)))
}

/// The code of a file: no comments, and nothing from its `#[cfg(test)] mod` on.
fn code(path: &Path) -> String {
    let is_tests = |part: &std::ffi::OsStr| part == "tests" || part == "tests.rs";
    if path.strip_prefix(root()).unwrap().iter().any(is_tests) {
        return String::new();
    }
    let text = read(path);
    let mut kept = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default().trim_start();
        let is_test = line.trim() == "#[cfg(test)]" && next.starts_with("mod ");
        if is_test {
            break;
        }
        let is_comment = line.trim_start().starts_with("//");
        kept.push_str(if is_comment { "" } else { line });
        kept.push('\n');
    }
    kept
}

/// The module a file of `src` belongs to: `accounting`, `cli`, …
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Module → layer and place in its row, from the table in `src/lib.rs`.
fn layers() -> BTreeMap<String, (u32, usize)> {
    let map = read(&root().join("src/lib.rs"));
    let mut layers = BTreeMap::new();
    for row in map.lines().filter_map(|line| line.strip_prefix("//! | L")) {
        let layer = row.chars().next().and_then(|c| c.to_digit(10)).expect("a layer's number");
        let modules = row.split('|').nth(1).expect("a column of modules");
        for (place, module) in modules.split('`').skip(1).step_by(2).enumerate() {
            let known = layers.insert(module.to_owned(), (layer, place));
            assert!(known.is_none(), "{module} stands twice");
        }
    }
    assert!(layers.len() > 10, "the table of layers is read: {layers:?}");
    layers
}

/// Fails with all that was found at once.
#[track_caller]
fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
}

#[test]
fn imports_go_down() {
    let layers = layers();
    let mut found = Vec::new();
    for path in rust_files("src") {
        let own = module(&path);
        if own == "lib" || own == "main" {
            continue;
        }
        let layer = layers.get(&own).unwrap_or_else(|| panic!("{own} is not in lib.rs's table"));
        for (number, line) in code(&path).lines().enumerate() {
            for after in line.split("crate::").skip(1) {
                let ends = |c: char| !c.is_alphanumeric() && c != '_';
                let other = after.split(ends).next().unwrap_or_default();
                let place = format!("{}:{}", name(&path), number + 1);
                if other.is_empty() {
                    // `use crate::{…}` would hide the names from this check.
                    panic!("{place}: name one module in each `use crate::`");
                }
                if other == own {
                    continue;
                }
                let theirs = layers.get(other).unwrap_or_else(|| panic!("{place}: {other}?"));
                if theirs >= layer {
                    found.push(format!("{place}: {own} {layer:?} uses {other} {theirs:?}"));
                }
            }
        }
    }
    assert_none(&found);
}

/// Whether `word` stands in the line as a word of its own.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

#[test]
fn the_core_is_pure() {
    let layers = layers();
    let mut found = Vec::new();
    for path in rust_files("src") {
        let own = module(&path);
        if layers.get(&own).is_none_or(|(layer, _)| *layer > PURE_LAYER_MAX) {
            continue;
        }
        for (number, line) in code(&path).lines().enumerate() {
            // Addresses are plain values; only what opens a connection is kept out.
            let line = line.replace("std::net::SocketAddr", "").replace("std::net::Ip", "");
            let float = own == "accounting" && (has_word(&line, "f32") || has_word(&line, "f64"));
            // `use std::{fs, …}` would hide the name from the list.
            let impure = line.contains("use std::{") || IMPURE.iter().any(|w| has_word(&line, w));
            if float || impure {
                found.push(format!("{}:{}: {}", name(&path), number + 1, line.trim()));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn files_and_lines_have_a_bound() {
    let mut found = Vec::new();
    for path in ["src", "tests"].into_iter().flat_map(rust_files) {
        let text = read(&path);
        let count = text.lines().count();
        if count > FILE_LINES_MAX {
            found.push(format!("{}: {count} lines", name(&path)));
        }
        for (number, line) in text.lines().enumerate() {
            let start = line.trim_start();
            // Links, texts and tables cannot be broken; code is broken by rustfmt.
            let whole = line.contains("://") || line.contains('"') || start.contains("! |");
            let columns = line.chars().count();
            if columns > COLUMNS_MAX && !whole {
                found.push(format!("{}:{}: {columns} columns", name(&path), number + 1));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn code_outside_tests_does_not_give_up() {
    let mut found = Vec::new();
    for path in rust_files("src") {
        for (number, line) in code(&path).lines().enumerate() {
            if let Some(banned) = BANNED.iter().find(|banned| line.contains(**banned)) {
                found.push(format!("{}:{}: {banned}", name(&path), number + 1));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn every_source_file_belongs_to_the_program() {
    let all: BTreeSet<PathBuf> = rust_files("src").into_iter().collect();
    let mut reached = BTreeSet::new();
    let mut open = vec![root().join("src/lib.rs"), root().join("src/main.rs")];
    while let Some(path) = open.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let folder = path.parent().unwrap();
        let is_root = ["lib", "main", "mod"].contains(&file.as_str());
        let below = if is_root { folder.to_owned() } else { folder.join(&file) };
        for line in read(&path).lines() {
            let words: Vec<&str> = line.trim().trim_end_matches(';').split(' ').collect();
            let [.., "mod", module] = words.as_slice() else { continue };
            let places = [below.join(format!("{module}.rs")), below.join(module).join("mod.rs")];
            open.extend(places.into_iter().filter(|place| all.contains(place)));
        }
    }
    let lost: Vec<String> = all.difference(&reached).map(|path| name(path)).collect();
    assert!(lost.is_empty(), "no `mod` leads to {lost:?}");
}

/// What stands in code blocks and code spans of a Markdown file.
fn code_in_markdown(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            found.push(line.to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The word after `command`, where that stands at the start of a shell word.
fn words_after(line: &str, command: &str) -> Vec<String> {
    let words: Vec<&str> = line.split([' ', '|', ';', '&', '(', ')', '$']).collect();
    let pairs = words.windows(2).filter(|pair| pair[0].rsplit('/').next() == Some(command));
    let is_name = |word: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c == '-' || c == '_';
        !word.is_empty() && !word.starts_with('-') && word.chars().all(plain)
    };
    pairs.map(|pair| pair[1]).filter(is_name).map(str::to_owned).collect()
}

#[test]
fn commands_in_the_readme_exist() {
    let text = read(&root().join("README.md"));
    let makefile = read(&root().join("Makefile"));
    let mut checked = 0;
    for line in code_in_markdown(&text) {
        for target in words_after(&line, "make") {
            let rule = format!("\n{target}:");
            assert!(makefile.contains(&rule), "README: `make {target}` does not exist");
            checked += 1;
        }
        for command in words_after(&line, "weighbridge") {
            let binary = env!("CARGO_BIN_EXE_weighbridge");
            let output = Command::new(binary).args([&command, "--help"]).output().unwrap();
            assert!(output.status.success(), "README: `weighbridge {command}` does not exist");
            checked += 1;
        }
    }
    assert!(checked > 3, "the README shows how to use the program");
}

#[test]
fn no_file_names_the_machine_it_was_made_on() {
    let banned = [
        concat!("/wo", "rk/"),
        concat!("/tmp/", "wt"),
        concat!("/ro", "ot/"),
        concat!("\"resol", "ved\": \"http"),
    ];
    let mut all = Vec::new();
    files(root(), &mut all);
    for path in all {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for word in banned {
            assert!(!text.contains(word), "{} contains {word}", name(&path));
        }
    }
}
