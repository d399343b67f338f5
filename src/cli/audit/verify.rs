//! `weighbridge audit verify`: the answer, for people and for programs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::heads::Brought;
use super::{VerifyArgs, bundle, directory};
use crate::audit::merkle::Hash;
use crate::audit::verify::Damages;
use crate::cli::{CliError, Surroundings};
use crate::report::text::{is_active, printable};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Who wrote the ledger.
    pub(super) instance: String,
    /// The first index of the lines that are there, and the one after the last.
    pub(super) first: u64,
    pub(super) end: u64,
    /// Size and root of the whole tree.
    pub(super) tree: Option<(u64, Hash)>,
    /// Lines up to here are covered by a signed root that was recomputed.
    pub(super) proved_upto: u64,
    pub(super) checkpoints: u64,
    /// Different checkpoints that a witness holds, and the lines that the largest covers.
    pub(super) witnesses: u64,
    pub(super) witnessed_upto: u64,
    pub(super) keys: usize,
    /// Cosignatures of witnesses that are good.
    pub(super) cosigned: Vec<String>,
    /// Exchanges that are open at the end, and the lines that opened the oldest.
    pub(super) open: (usize, Vec<u64>),
    pub(super) checked: Vec<String>,
    pub(super) not_provable: Vec<String>,
    /// What was asked for and could not be checked: no damage, and not verified either.
    pub(super) unmet: Vec<String>,
    pub(super) damages: Damages,
}

pub(super) fn run(
    args: &VerifyArgs,
    output: &mut dyn Write,
    surroundings: &Surroundings,
) -> Result<(), CliError> {
    let brought = Brought { notes: &args.witness, keys: &args.witness_key };
    let answer = if let Some(path) = &args.bundle {
        bundle::verify(path, brought)?
    } else {
        let dir = args.data_dir.clone().unwrap_or_else(|| surroundings.data_dir());
        directory::verify(&dir, brought)?
    };
    let told = if args.json { as_json(&answer, output) } else { as_text(&answer, output) };
    CliError::written(told)?;
    CliError::written(output.flush())?;
    judged(&answer)
}

/// Verifies a data directory and says it to people; gives the number of lines.
pub(super) fn told(dir: &Path, output: &mut dyn Write) -> Result<u64, CliError> {
    let answer = directory::verify(dir, Brought { notes: &[], keys: &[] })?;
    CliError::written(as_text(&answer, output))?;
    judged(&answer)?;
    Ok(answer.end - answer.first)
}

fn judged(answer: &Answer) -> Result<(), CliError> {
    let count = answer.damages.count;
    if count == 0 {
        let unmet = answer.unmet.first();
        return unmet.map_or(Ok(()), |what| Err(CliError::Failed(format!("not verified: {what}"))));
    }
    let place = answer.damages.first_index();
    let place = place.map_or_else(String::new, |at| format!(", the first at index {at}"));
    Err(CliError::Failed(format!("{count} damages{place}; nothing was changed or repaired")))
}

/// What holds for every ledger; added to what is known of this one.
pub(super) fn limits(answer: &mut Answer) {
    let (proved, end) = (answer.proved_upto, answer.end);
    let mut add = |text: String| answer.not_provable.push(text);
    if proved < end {
        add(format!("lines {proved} to {} are covered by no checkpoint", end - 1));
    }
    if answer.witnesses == 0 {
        let upto = match proved {
            0 => "nothing is proved".to_owned(),
            proved => format!("proved up to index {}", proved - 1),
        };
        add(format!(
            "no witness: a cut of the newest lines together with their checkpoints would not be \
             seen; {upto}"
        ));
    } else if answer.witnessed_upto < end {
        let witnessed = answer.witnessed_upto;
        let last = end - 1;
        add(format!(
            "lines {witnessed} to {last} are covered by no witness: a cut of them, or other lines in \
             their place, together with their checkpoints would not be seen"
        ));
    }
    // Anybody can write such a ledger.
    if answer.checkpoints == 0 && answer.witnesses == 0 && end > 0 {
        let what = "nothing is signed: no checkpoint covers these lines, and whoever can write the \
                    files can write them anew";
        answer.unmet.push(what.to_owned());
    }
    let mut add = |text: String| answer.not_provable.push(text);
    add("whether calls went around Weighbridge, and what a machine wrote that was taken over"
        .into());
}

/// The lines say that the wall clock was set.
pub(super) fn jumps(answer: &mut Answer, jumps: u64) {
    if jumps > 0 {
        let what = format!("times around {jumps} jumps of the wall clock: the order is the index");
        answer.not_provable.push(what);
    }
}

fn as_text(answer: &Answer, output: &mut dyn Write) -> io::Result<()> {
    let damaged = answer.damages.count;
    let verdict = match (damaged, answer.unmet.len()) {
        (0, 0) => "VERIFIED, within the limits below",
        (0, _) => "NOT VERIFIED",
        _ => "DAMAGED",
    };
    writeln!(output, "{verdict}\n")?;
    writeln!(output, "instance      {}", harmless(&answer.instance))?;
    match answer.end.checked_sub(answer.first) {
        Some(lines) if lines > 0 => {
            let last = answer.end - 1;
            writeln!(output, "lines         {lines} ({} to {last})", answer.first)?;
        }
        _ => writeln!(output, "lines         0")?,
    }
    if let Some((size, root)) = &answer.tree {
        writeln!(output, "tree          {size} leaves, root {root}")?;
    }
    let Answer { keys, checkpoints, witnesses, witnessed_upto, .. } = answer;
    let upto = match witnessed_upto.checked_sub(1) {
        Some(last) => format!(" (up to index {last})"),
        None => String::new(),
    };
    writeln!(
        output,
        "signed        {checkpoints} checkpoints met, {keys} keys, {witnesses} witnesses{upto}"
    )?;
    if damaged > 0 {
        writeln!(output, "\nDamage ({damaged}):")?;
        for damage in &answer.damages.named {
            writeln!(output, "  - {}", harmless(&damage.what))?;
        }
        let more = damaged - answer.damages.named.len() as u64;
        if more > 0 {
            writeln!(output, "  - and {more} more")?;
        }
    }
    list(output, "Not checked, and asked for:", &answer.unmet)?;
    list(output, "Checked:", &answer.checked)?;
    list(output, "Cosigned by witnesses:", &answer.cosigned)?;
    if answer.open.0 > 0 {
        let lines: Vec<String> = answer.open.1.iter().map(u64::to_string).collect();
        let open = answer.open.0;
        writeln!(output, "\nOpen at the end: {open} (opened at {})", lines.join(", "))?;
    }
    list(output, "Not provable:", &answer.not_provable)
}

fn list(output: &mut dyn Write, title: &str, points: &[String]) -> io::Result<()> {
    if points.is_empty() {
        return Ok(());
    }
    writeln!(output, "\n{title}")?;
    points.iter().try_for_each(|point| writeln!(output, "  - {}", harmless(point)))
}

/// Text out of files, without what a terminal obeys.
fn harmless(text: &str) -> Cow<'_, str> {
    printable(text)
}

/// JSON, in which nothing is left that a terminal obeys: such characters stand in strings alone.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character != '\n' && is_active(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}

fn as_json(answer: &Answer, output: &mut dyn Write) -> io::Result<()> {
    let damages = &answer.damages;
    let named: Vec<_> = damages
        .named
        .iter()
        .map(|damage| json!({"index": damage.index, "upto": damage.upto, "what": damage.what}))
        .collect();
    let tree = answer.tree.map(|(size, root)| json!({"size": size, "root": root.to_string()}));
    let told = json!({
        "verified": damages.count == 0 && answer.unmet.is_empty(),
        "instance": answer.instance,
        "first": answer.first,
        "end": answer.end,
        "tree": tree,
        "proved_upto": answer.proved_upto,
        "checkpoints": answer.checkpoints,
        "witnesses": answer.witnesses,
        "witnessed_upto": answer.witnessed_upto,
        "keys": answer.keys,
        "open": {"count": answer.open.0, "opened_at": answer.open.1},
        "checked": answer.checked,
        "cosigned": answer.cosigned,
        "not_provable": answer.not_provable,
        "unmet": answer.unmet,
        "damages": {
            "count": damages.count,
            "first_index": damages.first_index(),
            "named": named,
        },
    });
    writeln!(output, "{}", escaped(&format!("{told:#}")))
}

/// What a place is, where neither a ledger nor a bundle is there.
pub(super) fn nothing(path: &Path, what: &str) -> CliError {
    CliError::Usage(format!("{} holds no {what}", path.display()))
}
