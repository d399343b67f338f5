//! `weighbridge audit export`: a bundle of evidence that a stranger can verify.
//!
//! The ledger is read twice: once to find the period's lines, the root and what is damaged, once to
//! write. Both readings end at the same line, that of the newest checkpoint.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use uuid::Uuid;

use super::facts::{self, Facts, Follower, Parameters, Program, Sample, Span, Tree};
use super::heads::{Keys, Notes, files, short, small};
use super::pruned::Pruned;
use super::sink::{Output, Sink, finished};
use super::tables::{Tables, moment};
use super::verify::nothing;
use super::{ExportArgs, controls, ocsf, page, unreadable};
use crate::audit::merkle::{Hash, leaf_hash};
use crate::audit::note::NOTE_BYTES_MAX;
use crate::audit::tile::{self, Tile, Tiler, WIDTH};
use crate::audit::verify::{Chain, Damages, Roots};
use crate::cli::{CliError, Surroundings, source};
use crate::clock::Clock;
use crate::inbox;
use crate::index::Snapshot;
use crate::ledger;
use crate::ledger::reader::{self, Batch, Reader, SEGMENTS};
use crate::otlp;
use crate::privacy::Identifier;
use crate::record::act::{Act, Exported};
use crate::report::Period;
use crate::signing;

/// A file of lines ends after this many bytes.
const LINES_BYTES: usize = 64 * 1024 * 1024;
/// Files that are the same in every bundle.
pub(super) const STANDING: [(&str, &str); 2] =
    [("verify.py", include_str!("verify.py")), ("README.txt", include_str!("README.txt"))];

/// What can be seen of whether the agent runs as the user that owns the ledger.
pub(super) const SHARES_UID: &str = "yes: the user that owns this ledger has settings of Claude \
    Code; an agent that runs as this user could have read and changed files of the ledger, so this \
    is observation only";
pub(super) const SHARES_UNSEEN: &str = "not seen: no settings of Claude Code with the user that ran \
    this export; whether an agent ran as the user that owns the ledger is for the operator to show";
/// Carries the line that says what was pruned, which may lie outside the period.
pub(super) const PRUNED: &str = "audit/pruned.jsonl";

/// What the first reading found.
struct Survey {
    facts: Facts,
    chain: Chain,
    /// The line that says what was pruned.
    pruned: Option<Vec<u8>>,
}

pub(super) fn run(
    args: &ExportArgs,
    output: &mut dyn Write,
    surroundings: &Surroundings,
) -> Result<(), CliError> {
    let dir = args.data_dir.clone().unwrap_or_else(|| surroundings.data_dir());
    if !dir.join(SEGMENTS).is_dir() {
        return Err(nothing(&dir, "ledger: name its directory with --data-dir"));
    }
    let period = source::period(args.from.as_deref(), args.to.as_deref())?;
    if !ocsf::VERSIONS.contains(&args.ocsf.as_str()) {
        let known = ocsf::VERSIONS.join(" or ");
        return Err(CliError::Usage(format!("--ocsf {}: write {known}", args.ocsf)));
    }
    let mut facts = asked(args, &dir, surroundings)?;
    let mut sink = Sink::create(&args.out)?;
    let failed = |error: io::Error| {
        CliError::Failed(format!("cannot write to {}: {error}", args.out.display()))
    };
    let notes = evidence(&dir, &mut sink, &mut facts)?;
    facts.followers = followers(&dir);
    let survey = survey(&dir, period, facts, notes)?;
    if let Some(line) = &survey.pruned {
        let text = [line.as_slice(), b"\n"].concat();
        sink.put(PRUNED, &text).map_err(failed)?;
    }
    let derived = write(&dir, &mut sink, &survey)?;
    let facts = Facts { derived, ..survey.facts };
    for (name, text) in STANDING {
        sink.put(name, text.as_bytes()).map_err(failed)?;
    }
    sink.put("summary.html", page::page(&facts).as_bytes()).map_err(failed)?;
    let text = serde_json::to_string_pretty(&facts)? + "\n";
    sink.put(facts::FILE, text.as_bytes()).map_err(failed)?;
    let files = sink.hashes.len();
    let manifest = sink.seal().map_err(failed)?;
    leave_word(&dir, &facts, manifest);
    let (lines, derived) = (facts.lines.end - facts.lines.first, &facts.derived);
    let asked = &facts.parameters;
    if (asked.team.is_some() || asked.session.is_some()) && derived.calls + derived.tools == 0 {
        let _ = writeln!(
            io::stderr(),
            "weighbridge: no call of the period is of this team and session; are they written as \
             `weighbridge report` writes them?"
        );
    }
    let told = writeln!(
        output,
        "{} holds {lines} lines, {} calls and {} other files.\nVerify it: weighbridge audit verify {0}",
        args.out.display(),
        derived.calls,
        files
    );
    CliError::written(told)?;
    match facts.damages.first() {
        None => Ok(()),
        Some(first) => {
            Err(CliError::Failed(format!("the ledger is damaged, and the bundle says so: {first}")))
        }
    }
}

/// Leaves word of the export for the ledger. An auditor may read a ledger that he cannot write to:
/// the bundle is good without it.
fn leave_word(dir: &Path, facts: &Facts, manifest: Hash) {
    let named = |text: &Option<String>| Identifier::plain(text.as_ref()?.as_bytes());
    let exported = Exported {
        by_uid: None,
        controls: facts.parameters.controls.clone(),
        end: facts.lines.end,
        first: facts.lines.first,
        id: Uuid::now_v7().to_string(),
        manifest: manifest.to_string(),
        root: facts.tree.root.clone(),
        session: named(&facts.parameters.session),
        size: facts.tree.size,
        team: named(&facts.parameters.team),
    };
    if let Err(error) = inbox::leave(dir, &Act::Exported(Box::new(exported))) {
        let place = dir.display();
        let _ = writeln!(
            io::stderr(),
            "weighbridge: word of this export cannot be left in {place}: {error}; the ledger will \
             not name it"
        );
    }
}

/// What is known before the ledger is read.
fn asked(args: &ExportArgs, dir: &Path, surroundings: &Surroundings) -> Result<Facts, CliError> {
    let owner = fs::metadata(dir).map_err(|error| unreadable(dir, &error))?.uid();
    let controls = controls::named(&args.control).map_err(CliError::Usage)?;
    let operator = rustix::process::getuid().as_raw();
    let home = surroundings.get("HOME").map(|home| Path::new(home).join(".claude"));
    let agent = home.and_then(|path| fs::metadata(path).ok()).map(|metadata| metadata.uid());
    let shares = if agent == Some(owner) { SHARES_UID } else { SHARES_UNSEEN };
    let parameters = Parameters {
        from: args.from.clone(),
        to: args.to.clone(),
        team: args.team.clone(),
        session: args.session.clone(),
        controls,
        ocsf: args.ocsf.clone(),
    };
    Ok(Facts {
        format: facts::FORMAT,
        query: query(&parameters),
        parameters,
        extracted_at: moment(Clock::start().stamp().wall_ns),
        time_zone: "UTC".to_owned(),
        operator_uid: operator,
        data_directory_uid: owner,
        agent_shares_uid: shares.to_owned(),
        program: Program { version: env!("CARGO_PKG_VERSION").to_owned(), sha256: own_digest() },
        ..Facts::default()
    })
}

/// What was asked, in words.
pub(super) fn query(parameters: &Parameters) -> String {
    let or_all = |text: &Option<String>| text.clone().unwrap_or_else(|| "all".to_owned());
    let Parameters { from, to, team, session, controls, .. } = parameters;
    format!(
        "calls that closed from {} until before {}; team: {}; session: {}; criteria: {}; the \
         ledger's lines are not filtered by team, session or criterion, tables and OCSF events are",
        from.as_deref().unwrap_or("the first line"),
        to.as_deref().unwrap_or("the end"),
        or_all(team),
        or_all(session),
        or_all(&(!controls.is_empty()).then(|| controls.join(" ")))
    )
}

/// The hash of the program that runs; absent where the system does not let it be read.
fn own_digest() -> Option<String> {
    let mut file = File::open(std::env::current_exe().ok()?).ok()?;
    let (mut context, mut chunk) = (Context::new(&SHA256), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut chunk).ok()? {
            0 => break,
            read => context.update(&chunk[..read]),
        }
    }
    Some(finished(context).to_string())
}

/// Copies keys, checkpoints and witnessed heads up to the newest checkpoint that the ledger
/// reaches, and opens the copies' originals again for the comparison.
fn evidence(dir: &Path, sink: &mut Sink, facts: &mut Facts) -> Result<(Keys, Notes), CliError> {
    let audit = dir.join("audit");
    let ledger_end = || reader::end(dir).map_err(|error| CliError::Failed(error.to_string()));
    let mut end = ledger_end()?;
    let failed = |error: io::Error| CliError::Failed(format!("cannot write the bundle: {error}"));
    let mut damages = Damages::default();
    let keys = Keys::read(&audit.join("keys"), &mut damages)?;
    for (folder, ending) in [("keys", ".vkey"), ("witness", ".note")] {
        for (path, number) in files(&audit.join(folder), ending)?.iter().zip(1..) {
            // What is no checkpoint is named as damage, and not carried along.
            let text = small(path, NOTE_BYTES_MAX as u64)?.unwrap_or_default();
            let (name, place) = (format!("audit/{folder}/{number:04}{ending}"), short(path));
            let head = keys.head(&(text.trim_end_matches('\n').to_owned() + "\n"), &place);
            match head {
                Err(why) if ending == ".note" => damages.add(None, why),
                _ => sink.put(&name, text.as_bytes()).map_err(failed)?,
            }
        }
    }
    let mut notes = Notes::open(&audit.join("checkpoints"))?;
    let mut copy = sink.begin("audit/checkpoints.notes").map_err(failed)?;
    let mut newest = None;
    while let Some((text, name)) = notes.next()? {
        let head = keys.head(&text, &name);
        // A sidecar that writes may be ahead of the last look.
        if head.as_ref().is_ok_and(|head| head.size > end) {
            end = ledger_end()?;
        }
        match head {
            Ok(head) if head.size <= end => newest = Some((head.size, text.clone())),
            Ok(head) => {
                let (name, size) = (head.name, head.size);
                let what = format!("{name} covers {size} lines, the ledger has {end}");
                damages.add(end, what);
                continue;
            }
            Err(why) => damages.add(None, why),
        }
        writeln!(copy, "{text}").map_err(failed)?;
        copy.rows += 1;
    }
    facts.tree.pruned =
        ledger::pruned_upto(dir).map_err(|error| CliError::Failed(error.to_string()))?;
    facts.tree.signed = newest.is_some();
    facts.tree.checkpoints = copy.rows;
    facts.tree.size = newest.as_ref().map_or(end, |(size, _)| *size);
    sink.end(copy).map_err(failed)?;
    if let Some((_, text)) = &newest {
        sink.put("audit/head.note", text.as_bytes()).map_err(failed)?;
    }
    facts.damages = damages.named.into_iter().map(|damage| damage.what).collect();
    Ok((keys, Notes::open(&audit.join("checkpoints"))?))
}

/// How far each follower of the ledger has come; one that cannot be asked is not named.
fn followers(dir: &Path) -> Vec<Follower> {
    let follower = |name: String, covers| Follower { name, covers };
    let indexed = Snapshot::open(dir).ok().flatten().map(|index| index.indexed_upto);
    let mut all: Vec<_> =
        indexed.into_iter().map(|covers| follower("the index".to_owned(), covers)).collect();
    all.extend(
        otlp::sent_upto(dir).map(|covers| follower("the export by OTLP".to_owned(), covers)),
    );
    let witnessed = signing::witnessed(dir).into_iter();
    all.extend(witnessed.map(|(name, held)| follower(format!("the witness {name}"), held.size)));
    all
}

/// Each line of a stretch.
fn each_line(
    dir: &Path,
    Span { first, end }: Span,
    mut take: impl FnMut(&[u8]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let failed = |error: reader::ReadError| CliError::Failed(error.to_string());
    let mut reader = Reader::open(dir, first).map_err(failed)?;
    let mut batch = Batch::default();
    while reader.read_batch(&mut batch, usize::MAX).map_err(failed)? > 0 {
        for (index, line) in batch.iter() {
            if index >= end {
                return Ok(());
            }
            take(line)?;
        }
    }
    Ok(())
}

/// Finds the period's lines and the root.
fn survey(
    dir: &Path,
    period: Period,
    mut facts: Facts,
    (keys, mut notes): (Keys, Notes),
) -> Result<Survey, CliError> {
    let size = facts.tree.size;
    let kept = facts.tree.pruned;
    let (mut roots, mut damages) = (Roots::default(), Damages::default());
    let mut chain = Chain::new(kept);
    while let Some((text, name)) = notes.next()? {
        // Only the newest is compared here: `audit verify` compares all.
        if let Ok(head) = keys.head(&text, &name)
            && head.size == size
        {
            roots.meet(head, &mut damages);
            break;
        }
    }
    let pruned = ledger::each_leaf(dir, 0..kept, |leaf| roots.push(leaf, &mut damages));
    pruned.map_err(|error| CliError::Failed(error.to_string()))?;
    let mut gone = Pruned::new(kept, roots.tree().root());
    let (mut first, mut oldest, mut end) = (None, 0, 0);
    let (mut pruned, mut last_gap) = (None, None);
    each_line(dir, Span { first: kept, end: size }, |line| {
        let alone = chain.closings_alone;
        let found = chain.line(line);
        chain.take_leaves().for_each(|leaf| roots.push(leaf, &mut damages));
        let Some(found) = found else { return Ok(()) };
        if gone.line(&found) {
            pruned = Some(line.to_vec());
        }
        if found.kind == b"gap" {
            last_gap = Some(found.index);
        }
        let at = i64::try_from(found.wall_ns).unwrap_or(i64::MAX);
        if period.from.is_none_or(|from| at >= from.0) && first.is_none() {
            first = Some(found.index);
            oldest = chain.open().1.first().copied().unwrap_or(found.index).min(found.index);
        }
        // The gap that may have taken its opening is told with it.
        if first.is_some() && chain.closings_alone > alone {
            oldest = last_gap.map_or(oldest, |gap| gap.min(oldest));
        }
        if period.to.is_none_or(|to| at < to.0) {
            end = found.index + 1;
        }
        Ok(())
    })?;
    chain.finish();
    chain.take_leaves().for_each(|leaf| roots.push(leaf, &mut damages));
    roots.finish(&mut damages);
    // The lines of a bundle end with the newest checkpoint.
    if let Some(what) = gone.damage(if facts.tree.signed { size } else { 0 }) {
        damages.add_stretch(0, kept.saturating_sub(1), what);
    }
    let first = first.unwrap_or(size);
    facts.period = Span { first, end: end.max(first) };
    facts.lines = Span { first: oldest.min(first), end: facts.period.end };
    if first == size {
        facts.lines = facts.period;
    }
    facts.instance = String::from_utf8_lossy(chain.instance().unwrap_or_default()).into_owned();
    let root = roots.tree().root().to_string();
    facts.sample = Sample::of(&root);
    facts.tree = Tree { root, ..facts.tree };
    let found = chain.damages.named.iter().chain(&damages.named);
    facts.damages.extend(found.map(|damage| damage.what.clone()));
    facts.not_provable = not_provable(&facts);
    Ok(Survey { facts, chain, pruned })
}

/// What follows from the rest.
pub(super) fn not_provable(facts: &Facts) -> Vec<String> {
    let mut limits = Vec::new();
    if facts.tree.signed {
        limits.push(format!(
            "lines after index {} are covered by no checkpoint and are not in this bundle",
            facts.tree.size.saturating_sub(1)
        ));
    } else {
        limits.push("no checkpoint: nothing in this bundle is signed".to_owned());
    }
    limits.extend(Pruned::limit(facts.tree.pruned));
    limits.push(
        "completeness at the end: only a checkpoint that a witness holds shows that no newer lines \
         were cut off"
            .to_owned(),
    );
    limits.push("calls that went around Weighbridge are not in its ledger".to_owned());
    limits
}

/// Writes lines, tiles and tables.
fn write(dir: &Path, sink: &mut Sink, survey: &Survey) -> Result<facts::Derived, CliError> {
    let facts = &survey.facts;
    let failed = |error: io::Error| CliError::Failed(format!("cannot write the bundle: {error}"));
    let mut tables = Tables::begin(sink, facts).map_err(failed)?;
    let kept = facts.tree.pruned;
    let mut chain = Chain::new(kept);
    let mut tiler = Tiler::default();
    let mut lines: Option<(Output, usize)> = None;
    let with_tiles = survey.chain.broken_at().is_none();
    let mut put = Ok(());
    let pruned = ledger::each_leaf(dir, 0..kept, |leaf| {
        if with_tiles && put.is_ok() {
            put = tiler.push(leaf).iter().try_for_each(|tile| put_tile(sink, tile));
        }
    });
    pruned.map_err(|error| CliError::Failed(error.to_string()))?;
    put.map_err(failed)?;
    let mut index = kept;
    each_line(dir, Span { first: kept, end: facts.tree.size }, |line| {
        let at = chain.line(line).map_or(index, |found| found.index);
        index = at + 1;
        let leaves: Vec<Hash> = chain.take_leaves().collect();
        for leaf in leaves.into_iter().filter(|_| with_tiles) {
            for tile in tiler.push(leaf) {
                put_tile(sink, &tile).map_err(failed)?;
            }
        }
        if (facts.lines.first..facts.lines.end).contains(&at) {
            write_line(sink, &mut lines, at, line).map_err(failed)?;
            tables.line(line, leaf_hash(line).to_string()).map_err(failed)?;
        }
        Ok(())
    })?;
    chain.finish();
    let leaves: Vec<Hash> = chain.take_leaves().collect();
    for leaf in leaves.into_iter().filter(|_| with_tiles) {
        for tile in tiler.push(leaf) {
            put_tile(sink, &tile).map_err(failed)?;
        }
    }
    for tile in tiler.partial() {
        put_tile(sink, &tile).map_err(failed)?;
    }
    if let Some((output, _)) = lines {
        sink.end(output).map_err(failed)?;
    }
    tables.finish(sink).map_err(failed)
}

fn write_line(
    sink: &mut Sink,
    lines: &mut Option<(Output, usize)>,
    index: u64,
    line: &[u8],
) -> io::Result<()> {
    let is_full = lines.as_ref().is_some_and(|(_, bytes)| bytes + line.len() > LINES_BYTES);
    if is_full && let Some((output, _)) = lines.take() {
        sink.end(output)?;
    }
    let (output, bytes) = match lines {
        Some(open) => open,
        None => lines.insert((sink.begin(&format!("ledger/{index:020}.jsonl"))?, 0)),
    };
    output.write_all(line)?;
    output.write_all(b"\n")?;
    *bytes += line.len() + 1;
    Ok(())
}

fn put_tile(sink: &mut Sink, tile: &Tile) -> io::Result<()> {
    let name = tile::path(tile.level, tile.index, tile.hashes.len().min(WIDTH));
    let bytes: Vec<u8> = tile.hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    sink.put(&format!("audit/tiles/{name}"), &bytes)
}
