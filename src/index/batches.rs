//! What is known of one message batch: the index up to where it got, and the ledger from there on.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::wire::{BatchFact, LineParser};
use super::{IndexError, indexed_upto, reading};
use crate::accounting::attribution::CostCentre;
use crate::ledger::reader::{Batch as Lines, Reader};
use crate::privacy::Identifier;
use crate::record::encoding::Text;

/// The most lines of the ledger that are read at once.
const LINES_MAX: usize = 4 * 1024;
/// The most results of one batch that are remembered: what the API takes into one.
const ITEMS_MAX: usize = 100_000;

/// Who made a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// Who pays.
    pub centre: CostCentre,
    /// Fingerprint of the credential.
    pub key: Option<String>,
    /// When, nanoseconds since 1970 (UTC).
    pub created_ns: u64,
}

/// What is known of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownBatch {
    /// Absent where it was not made through this sidecar.
    pub maker: Option<Maker>,
    /// The results that are in the ledger, by the bits of their names.
    pub items: HashSet<u128>,
}

impl KnownBatch {
    /// Remembers a result; `false` where it is known. Beyond the bound every result is new, and
    /// the index alone keeps it from counting twice.
    pub fn insert(&mut self, item: u128) -> bool {
        if self.items.len() >= ITEMS_MAX {
            return !self.items.contains(&item);
        }
        self.items.insert(item)
    }
}

/// The id of a result's row.
pub(super) fn row_id(batch: &str, item: &str) -> String {
    format!("{batch}/{item}")
}

/// Reads what is known of a batch. Blocks; an index that is not there is no error, it only makes
/// the ledger the one source.
pub fn known_batch(data_dir: &Path, batch: &str) -> Result<KnownBatch, IndexError> {
    let mut known = KnownBatch::default();
    let from_index = reading::connect(data_dir).and_then(|mut connection| {
        let transaction = connection.transaction()?;
        read_index(&transaction, batch, &mut known)
    });
    let upto = from_index.unwrap_or_else(|error| {
        tracing::debug!("the index cannot tell what is known of a batch: {error}");
        known = KnownBatch::default();
        0
    });
    let mut reader = Reader::open(data_dir, upto)?;
    let (mut lines, parser) = (Lines::default(), LineParser::default());
    while reader.read_batch(&mut lines, LINES_MAX)? > 0 {
        for (_, line) in lines.iter() {
            match parser.parse_batch(line) {
                Some(BatchFact::Created(created)) if created.body.batch == batch => {
                    let body = created.body;
                    let own = |text: Option<Text<'_>>| text.map(|t| t.0.into_owned());
                    known.maker.get_or_insert_with(|| Maker {
                        centre: CostCentre {
                            team: body.team.into_owned(),
                            user: own(body.user),
                            project: own(body.project),
                        },
                        key: own(body.key),
                        created_ns: u64::try_from(created.wall_ns).unwrap_or(0),
                    });
                }
                Some(BatchFact::Result(result)) if result.body.batch == batch => {
                    known.items.extend(Identifier::hash_bits(&result.body.item));
                }
                _ => {}
            }
        }
    }
    Ok(known)
}

/// Says how far the index got.
fn read_index(
    connection: &Connection,
    batch: &str,
    known: &mut KnownBatch,
) -> Result<u64, IndexError> {
    let sql = "SELECT team, user, project, key, created_at FROM batches WHERE batch = ?1";
    let maker = connection.query_row(sql, [batch], |row| {
        let centre = CostCentre { team: row.get(0)?, user: row.get(1)?, project: row.get(2)? };
        let created_ns = u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0);
        Ok(Maker { centre, key: row.get(3)?, created_ns })
    });
    known.maker = maker.optional()?;
    // The ids of a batch's rows lie side by side: `0` is what follows `/`.
    let mut statement =
        connection.prepare("SELECT id FROM exchanges WHERE id > ?1 || '/' AND id < ?1 || '0'")?;
    let mut rows = statement.query([batch])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let item = id.rsplit_once('/').map(|(_, item)| item);
        known.items.extend(item.and_then(Identifier::hash_bits));
    }
    indexed_upto(connection)
}
