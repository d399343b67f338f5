//! Verifies a bundle: its manifest, lines, tiles, keys and checkpoints, and whether its tables are
//! what its lines say.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::claims::Claims;
use super::controls;
use super::export::{PRUNED, STANDING};
use super::facts::{self, Facts, Parameters};
use super::folder::Folder;
use super::heads::{Brought, Keys, Notes, witnessed};
use super::pruned::Pruned;
use super::sink::{MANIFEST, Sink};
use super::tables::Tables;
use super::verify::{Answer, jumps, limits, nothing};
use super::{page, unreadable};
use crate::audit::checkpoint::origin;
use crate::audit::line::envelope;
use crate::audit::merkle::{Hash, leaf_hash};
use crate::audit::note::NOTE_BYTES_MAX;
use crate::audit::tile::{self, Tiler, WIDTH, hashes};
use crate::audit::verify::{Chain, Damages, Roots};
use crate::cli::CliError;
use crate::record::encoding::LINE_BYTES_MAX;

/// The longest `ipe.json`, and the longest version that it names.
const FACTS_BYTES_MAX: u64 = 4 * 1024 * 1024;
const VERSION_BYTES_MAX: usize = 32;

/// A bundle while it is verified.
struct Bundle<'p> {
    folder: Folder<'p>,
    damages: Damages,
}

pub(super) fn verify(path: &Path, brought: Brought<'_>) -> Result<Answer, CliError> {
    let manifest = fs::symlink_metadata(path.join(MANIFEST));
    if !manifest.is_ok_and(|metadata| metadata.is_file()) {
        let what = "bundle: MANIFEST.sha256 is missing; without --data-dir a bundle is meant";
        return Err(nothing(path, what));
    }
    let (mut answer, mut damages) = (Answer::default(), Damages::default());
    let Some(folder) = Folder::read(path, &mut damages)? else {
        answer.damages = damages;
        return Ok(answer);
    };
    let mut bundle = Bundle { folder, damages };
    let Some(facts) = bundle.facts()? else {
        bundle.damages.add(None, "ipe.json is not readable: the rest was not checked");
        answer.damages = bundle.damages;
        return Ok(answer);
    };
    let mut damages = std::mem::take(&mut bundle.damages);
    let keys = Keys::read(&path.join("audit/keys"), &mut damages)?;
    let found = witnessed(brought, &path.join("audit/witness"), &keys, &mut damages)?;
    answer.keys = keys.len();
    if keys.origin().is_some_and(|name| name != origin(&facts.instance)) {
        damages.add(None, "the keys are those of another instance than ipe.json says");
    }
    let mut roots = Roots::default();
    found.heads(&mut answer).for_each(|head| roots.meet(head, &mut damages));
    bundle.damages = damages;
    bundle.tree(&facts, &keys, &mut roots)?;
    bundle.lines(&facts, &mut answer)?;
    answer.instance.clone_from(&facts.instance);
    answer.proved_upto = roots.proved_upto.min(facts.tree.size);
    answer.checkpoints = roots.met;
    answer.tree = Some((roots.tree().size(), roots.tree().root()));
    answer.damages = std::mem::take(&mut bundle.damages);
    bundle.newest(&keys)?;
    answer.damages.append(bundle.damages);
    conclude(&mut answer, &facts);
    Ok(answer)
}

fn conclude(answer: &mut Answer, facts: &Facts) {
    let mut checked = vec![
        "every file's hash against MANIFEST.sha256, and that no other file is there".to_owned(),
        "every line's form, index, hash of the line before, and hash in the tiles".to_owned(),
        "every tile, and the root over all of them".to_owned(),
    ];
    if answer.checkpoints > 0 {
        checked
            .push("the root at every checkpoint, so that each follows from the one before".into());
        checked.push("every signature, by keys that are valid for its lines".into());
    }
    let (version, format) = (&facts.program.version, facts.format);
    if facts.is_of_this_form() {
        checked.push("tables, OCSF events, sample, sums and page: made anew from the lines".into());
    } else {
        answer.unmet.push(format!(
            "tables, OCSF events, sample, sums and page were not compared: version {version} made \
             them in form {format}; verify the bundle with that version"
        ));
    }
    if !facts.is_of_this_version() {
        let what = format!(
            "verify.py and README.txt were not checked, so do not run them: they are said to be \
             those of version {version}"
        );
        answer.not_provable.push(what);
    }
    if !facts.parameters.controls.is_empty() {
        let asked = facts.parameters.controls.join(" ");
        answer.not_provable.push(format!("what other criteria need: the tables are for {asked}"));
    }
    answer.not_provable.extend(Pruned::limit(facts.tree.pruned));
    let Parameters { from, to, team, session, .. } = &facts.parameters;
    if [from, to, team, session].into_iter().any(Option::is_some) {
        let what = "that this period and these filters are those that were asked for";
        answer.not_provable.push(what.to_owned());
    }
    answer.not_provable.push(
        "what ipe.json says of operator, time, program, the agent's uid, followers and damage known \
         at the export: it is the operator's word, also on the page"
            .to_owned(),
    );
    answer.not_provable.extend(facts.damages.iter().map(|d| format!("known at the export: {d}")));
    answer.checked = checked;
    let (first, end) = (answer.first, answer.end);
    answer.end = answer.end.max(facts.tree.size);
    limits(answer);
    (answer.first, answer.end) = (first, end);
}

impl Bundle<'_> {
    /// The newest checkpoint stands alone, for stock tools.
    fn newest(&mut self, keys: &Keys) -> Result<(), CliError> {
        let mut notes = Notes::open(&self.folder.path.join("audit/checkpoints.notes"))?;
        let mut newest = None;
        while let Some((text, name)) = notes.next()? {
            newest = keys.head(&text, &name).is_ok().then_some(text).or(newest);
        }
        let mut head = String::new();
        if let Some(file) = self.folder.open("audit/head.note")? {
            // What is no text is another note.
            let _ = file.take(NOTE_BYTES_MAX as u64 + 1).read_to_string(&mut head);
        }
        if head != newest.unwrap_or_default() {
            self.damages.add(None, "audit/head.note is not the newest checkpoint");
        }
        Ok(())
    }

    fn facts(&mut self) -> Result<Option<Facts>, CliError> {
        let Some(mut file) = self.folder.open(facts::FILE)? else { return Ok(None) };
        let mut text = String::new();
        let read = file.by_ref().take(FACTS_BYTES_MAX).read_to_string(&mut text);
        let facts = read.ok().and_then(|_| serde_json::from_str::<Facts>(&text).ok());
        Ok(facts.filter(|facts| {
            let asked = &facts.parameters.controls;
            let is_known = controls::named(asked).is_ok_and(|named| named == *asked);
            let version = facts.program.version.as_bytes();
            let plain = |b: &u8| b.is_ascii_alphanumeric() || b".+-".contains(b);
            let is_version = (1..=VERSION_BYTES_MAX).contains(&version.len());
            (1..=facts::FORMAT).contains(&facts.format)
                && is_known
                && is_version
                && version.iter().all(plain)
        }))
    }

    fn tile(&self, level: u8, index: u64, width: usize) -> Result<Option<Vec<Hash>>, CliError> {
        let name = format!("audit/tiles/{}", tile::path(level, index, width));
        let Some(file) = self.folder.open(&name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let limit = (WIDTH * tile::HASH_BYTES + 1) as u64;
        let read = file.take(limit).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&self.folder.path.join(&name), &error))?;
        Ok(tile::parse(&bytes).filter(|tile| tile.len() == width))
    }

    /// The tree out of the leaf hashes, compared with every other tile and every head.
    fn tree(&mut self, facts: &Facts, keys: &Keys, roots: &mut Roots) -> Result<(), CliError> {
        let mut notes = Notes::open(&self.folder.path.join("audit/checkpoints.notes"))?;
        let mut ahead = Some(0);
        let mut tiler = Tiler::default();
        let (size, pruned) = (facts.tree.size, facts.tree.pruned);
        let mut gone = Pruned::new(pruned, roots.tree().root());
        for index in 0..size.div_ceil(WIDTH as u64) {
            let width = tile::width(index, size);
            let Some(leaves) = self.tile(0, index, width)? else {
                let name = tile::path(0, index, width);
                self.damages.add(index * WIDTH as u64, format!("audit/tiles/{name} is damaged"));
                return Ok(());
            };
            for leaf in leaves {
                self.look_ahead(&mut notes, &mut ahead, keys, roots)?;
                roots.push(leaf, &mut self.damages);
                if roots.tree().size() == pruned {
                    gone = Pruned::new(pruned, roots.tree().root());
                }
                for made in tiler.push(leaf) {
                    self.compare_tile(made.level, made.index, &made.hashes)?;
                }
            }
        }
        for made in tiler.partial() {
            self.compare_tile(made.level, made.index, &made.hashes)?;
        }
        while ahead.is_some() {
            ahead = Some(0);
            self.look_ahead(&mut notes, &mut ahead, keys, roots)?;
        }
        self.count_tiles(size);
        if notes.read != facts.tree.checkpoints {
            let (read, said) = (notes.read, facts.tree.checkpoints);
            let what = format!("{read} checkpoints are there, ipe.json says {said}");
            self.damages.add(None, what);
        }
        if roots.tree().root().to_string() != facts.tree.root {
            self.damages.add(None, "the tiles do not have the root that ipe.json names");
        }
        if facts.tree.signed && roots.proved_upto < size {
            let what = format!("no checkpoint covers all {size} lines, as ipe.json says");
            self.damages.add(roots.proved_upto, what);
        }
        roots.finish(&mut self.damages);
        self.pruned(facts, gone, roots.proved_upto)
    }

    /// Every tile of the tree was read: what is more is none of it.
    fn count_tiles(&mut self, size: u64) {
        let levels = (0..u8::MAX).map(|level| hashes(level, size)).take_while(|count| *count > 0);
        let expected: u64 = levels.map(|count| count.div_ceil(WIDTH as u64)).sum();
        let found =
            self.folder.names.keys().filter(|name| name.starts_with("audit/tiles/")).count();
        if found as u64 != expected {
            let what = format!("audit/tiles holds {found} tiles, the tree has {expected}");
            self.damages.add(None, what);
        }
    }

    /// Lines that are called pruned: a signed line says so.
    fn pruned(&mut self, facts: &Facts, mut gone: Pruned, signed: u64) -> Result<(), CliError> {
        let mut line = Vec::new();
        let file = self.folder.open(PRUNED)?;
        if file.is_some() != (facts.tree.pruned > 0) {
            self.damages.add(None, format!("{PRUNED} does not go with what ipe.json says"));
        }
        if let Some(file) = file {
            let read = file.take(LINE_BYTES_MAX as u64 + 2).read_to_end(&mut line);
            read.map_err(|error| unreadable(&self.folder.path.join(PRUNED), &error))?;
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            if let Some(found) = envelope(line) {
                gone.line(&found);
                self.compare_leaf(facts, found.index, leaf_hash(line), &mut None)?;
            }
        }
        if let Some(what) = gone.damage(signed) {
            self.damages.add_stretch(0, facts.tree.pruned.saturating_sub(1), what);
        }
        Ok(())
    }

    /// Reads checkpoints until one is ahead of the tree; `None` after the last.
    fn look_ahead(
        &mut self,
        notes: &mut Notes,
        ahead: &mut Option<u64>,
        keys: &Keys,
        roots: &mut Roots,
    ) -> Result<(), CliError> {
        while ahead.is_some_and(|size| size <= roots.tree().size()) {
            let Some((text, name)) = notes.next()? else {
                *ahead = None;
                break;
            };
            match keys.head(&text, &name) {
                Ok(head) => {
                    *ahead = Some(head.size);
                    roots.meet(head, &mut self.damages);
                }
                Err(why) => self.damages.add(None, why),
            }
        }
        Ok(())
    }

    fn compare_tile(&mut self, level: u8, index: u64, made: &[Hash]) -> Result<(), CliError> {
        if level > 0 && self.tile(level, index, made.len())?.as_deref() != Some(made) {
            let name = tile::path(level, index, made.len());
            let below = index.saturating_mul(1 << (8 * u32::from(level) + 8).min(63));
            let what = format!("audit/tiles/{name} is not the hashes of the tiles below it");
            self.damages.add_stretch(below, below, what);
        }
        Ok(())
    }

    /// The lines, each with its hash in the tiles, and the tables out of them.
    fn lines(&mut self, facts: &Facts, answer: &mut Answer) -> Result<(), CliError> {
        let failed =
            |error: io::Error| CliError::Failed(format!("the bundle is unreadable: {error}"));
        let mut sink = Sink::nowhere();
        let mut tables = Tables::begin(&sink, facts).map_err(failed)?;
        let mut chain = Chain::new(facts.lines.first);
        let mut claims = Claims::of(facts, &mut self.damages);
        let mut tile: Option<(u64, Vec<Hash>)> = None;
        let names: Vec<String> =
            self.folder.names.keys().filter(|name| name.starts_with("ledger/")).cloned().collect();
        for name in names {
            let Some(file) = self.folder.open(&name)? else { continue };
            let mut reader = BufReader::new(file);
            let (mut line, begins) = (Vec::new(), chain.next_index());
            loop {
                line.clear();
                let limit = LINE_BYTES_MAX as u64 + 1;
                if reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(failed)? == 0 {
                    break;
                }
                if line.pop() != Some(b'\n') {
                    let what = format!("{name} ends within line {}", chain.next_index());
                    self.damages.add(chain.next_index(), what);
                    break;
                }
                let alone = chain.closings_alone;
                let found = chain.line(&line);
                if let Some(found) = &found {
                    claims.line(found, chain.closings_alone > alone);
                }
                let at = found.map_or(chain.next_index().saturating_sub(1), |f| f.index);
                chain.take_leaves();
                let leaf = leaf_hash(&line);
                self.compare_leaf(facts, at, leaf, &mut tile)?;
                tables.line(&line, leaf.to_string()).map_err(failed)?;
            }
            let is_its_place = name == format!("ledger/{begins:020}.jsonl");
            if !is_its_place || chain.next_index() == begins {
                self.damages
                    .add(begins, format!("{name} holds no lines, or others than its name says"));
            }
        }
        chain.finish();
        answer.not_provable.extend(claims.finish(&chain, &mut self.damages));
        jumps(answer, chain.clock_jumps);
        answer.first = facts.lines.first;
        answer.end = chain.next_index();
        answer.open = chain.open();
        let (next, end) = (chain.next_index(), facts.lines.end);
        if next < end {
            chain.damages.add(next, format!("lines {next} to {} are missing", end - 1));
        } else if next > end {
            chain.damages.add(end, format!("lines from {end} on are more than ipe.json names"));
        }
        self.damages.append(chain.damages);
        let derived = tables.finish(&mut sink).map_err(failed)?;
        if facts.is_of_this_form() {
            self.compare_tables(facts, &derived, sink)?;
        }
        Ok(())
    }

    fn compare_leaf(
        &mut self,
        facts: &Facts,
        index: u64,
        leaf: Hash,
        held: &mut Option<(u64, Vec<Hash>)>,
    ) -> Result<(), CliError> {
        let (place, at) = (index / WIDTH as u64, index % WIDTH as u64);
        if held.as_ref().is_none_or(|(held, _)| *held != place) {
            let width = tile::width(place, hashes(0, facts.tree.size));
            *held = Some((place, self.tile(0, place, width)?.unwrap_or_default()));
        }
        let at = usize::try_from(at).unwrap_or(WIDTH);
        let expected = held.as_ref().and_then(|(_, tile)| tile.get(at));
        if expected != Some(&leaf) {
            let width = tile::width(place, hashes(0, facts.tree.size));
            let name = tile::path(0, place, width);
            let what = format!("line {index} does not have its hash in audit/tiles/{name}");
            self.damages.add(index, what);
        }
        Ok(())
    }

    /// Compares what was made anew with what the manifest names.
    fn compare_tables(
        &mut self,
        facts: &Facts,
        derived: &facts::Derived,
        mut sink: Sink,
    ) -> Result<(), CliError> {
        let failed = |error: io::Error| CliError::Failed(error.to_string());
        if *derived != facts.derived {
            self.damages.add(None, "ipe.json names other counts or totals than the lines give");
        }
        for (name, text) in STANDING.into_iter().filter(|_| facts.is_of_this_version()) {
            sink.put(name, text.as_bytes()).map_err(failed)?;
        }
        sink.put("summary.html", page::page(facts).as_bytes()).map_err(failed)?;
        for (name, hash) in &sink.hashes {
            if self.folder.names.get(name) != Some(hash) {
                self.damages.add(None, format!("{name} is not what the lines give"));
            }
        }
        for name in self.folder.names.keys() {
            let is_evidence = name.starts_with("ledger/") || name.starts_with("audit/");
            let is_known = name == facts::FILE || STANDING.iter().any(|(known, _)| name == known);
            if !is_evidence && !is_known && !sink.hashes.contains_key(name) {
                self.damages.add(None, format!("{name} is no file of this bundle"));
            }
        }
        Ok(())
    }
}
