//! Results of message batches: each is priced when it is first seen, and recorded before the bytes
//! behind it go out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::ToSpan;
use tokio::sync::OnceCell;

use super::{Open, OpenExchange, Recorder, Written, charging, served_model};
use crate::accounting::call::{Dated, Facts, Refusal, ResultKind};
use crate::accounting::price_book::PriceBook;
use crate::accounting::{Call, Flag};
use crate::anthropic::batch::BatchEnd;
use crate::anthropic::{BatchItem, BatchReader, Metered};
use crate::index::{self, KnownBatch, Maker};
use crate::ledger::{Position, Purpose};
use crate::privacy::Identifier;
use crate::record::batch::{BatchCreated, BatchResult, BatchTally};
use crate::record::{ChargeRecord, Entry, Opening};

/// How many days after a batch was made its results can be fetched.
const RESULTS_KEPT: i32 = 29;

/// A batch whose results are being fetched. All fetches at one time share it.
type Shared = OnceCell<Mutex<KnownBatch>>;

/// The batches that are being fetched now. What is known of others is read again from index and
/// ledger, so nothing grows with the number of batches.
#[derive(Default)]
pub(super) struct Fetched(Mutex<HashMap<String, Weak<Shared>>>);

impl Fetched {
    fn shared(&self, batch: &str) -> Arc<Shared> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = all.get(batch).and_then(Weak::upgrade) {
            return shared;
        }
        all.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(Shared::new());
        all.insert(batch.to_owned(), Arc::downgrade(&shared));
        shared
    }
}

/// The results of a batch on their way to a client.
pub struct BatchFetch {
    recorder: Arc<Recorder>,
    reader: BatchReader,
    ledger: Intake,
}

/// Where succeeded requests go.
struct Intake {
    batch: Identifier,
    /// Of the fetch, with the maker's cost centre where the maker is known.
    opening: Opening,
    maker: Option<Maker>,
    prices: Arc<PriceBook>,
    started_ns: u64,
    recorded: bool,
    known: Arc<Shared>,
    tally: BatchTally,
}

impl OpenExchange {
    /// Begins to read the results of `batch`, which this exchange fetches. Waits for what is known
    /// of it already: a look into the index, once for all fetches at one time.
    pub async fn fetch_batch(&self, batch: &str, coding: Option<&str>) -> Option<BatchFetch> {
        let Open { opening, started_ns, prices, recorded, .. } = self.open.as_ref()?;
        let recorder = Arc::clone(&self.recorder);
        let batch = recorder.identifier(batch.as_bytes());
        let known = recorder.fetched.shared(batch.as_str());
        let loaded = known.get_or_init(|| recorder.known_batch(batch.as_str())).await;
        let maker = loaded.lock().unwrap_or_else(PoisonError::into_inner).maker.clone();
        let mut opening = Opening::clone(opening);
        if let Some(Maker { centre, key, .. }) = &maker {
            let centre = centre.clone();
            (opening.team, opening.user, opening.project) =
                (centre.team, centre.user, centre.project);
            opening.key.clone_from(key);
        }
        let ledger = Intake {
            batch,
            opening,
            maker,
            prices: Arc::clone(prices),
            started_ns: *started_ns,
            recorded: *recorded,
            known,
            tally: BatchTally::default(),
        };
        Some(BatchFetch { recorder, reader: BatchReader::new(coding), ledger })
    }
}

impl BatchFetch {
    /// Takes the next bytes: what succeeded in them is in the ledger on return.
    pub fn observe(&mut self, chunk: &[u8]) {
        let BatchFetch { recorder, reader, ledger } = self;
        reader.observe(chunk, &mut |item| ledger.take(recorder, item));
    }

    /// The facts of the fetch, after its end or where it was cut (`whole` is false).
    #[must_use]
    pub fn finish(mut self, whole: bool) -> Metered {
        let BatchEnd { items, tally, flags } = self.reader.finish(whole);
        for item in items {
            self.ledger.take(&self.recorder, item);
        }
        let Intake { tally: BatchTally { priced, repeated, .. }, opening, .. } = &self.ledger;
        let tally = BatchTally { priced: *priced, repeated: *repeated, ..tally };
        self.recorder.metrics.batch_results(&opening.team, &tally);
        Metered { batch: Some(tally), complete: whole, flags, ..Metered::default() }
    }
}

impl Intake {
    fn take(&mut self, recorder: &Recorder, item: BatchItem) {
        let name = Identifier::hashed(item.custom_id.as_bytes(), &recorder.identifiers);
        let bits = Identifier::hash_bits(name.as_str()).unwrap_or_default();
        let known = self.known.get();
        let known = known.map(|known| known.lock().unwrap_or_else(PoisonError::into_inner));
        // Held until the entry is there, so that of two fetches at once one records it.
        let Some(mut known) = known else { return };
        if !known.insert(bits) {
            self.tally.repeated += 1;
            return;
        }
        self.tally.priced += 1;
        let result = self.result(recorder, name, item.metered);
        let entry = Entry::BatchResult(Box::new(result));
        let mut written = None;
        if !self.recorded {
            recorder.metrics.health.unrecorded.inc();
        } else {
            match recorder.append_now(&entry, Purpose::Running) {
                Ok((position, _)) if position.sequence.is_none() => {
                    recorder.metrics.health.unrecorded.inc();
                }
                Ok((Position { sequence }, stamp)) => written = Some(Written { sequence, stamp }),
                Err(error) => {
                    // The next fetch finds it as new as it is.
                    known.items.remove(&bits);
                    self.tally.priced -= 1;
                    self.tally.unreadable += 1;
                    return recorder.lost(&entry, &error);
                }
            }
        }
        drop(known);
        if let Entry::BatchResult(result) = &entry {
            recorder.metrics.batch_result(result);
            if let Some(written) = written {
                recorder.spent_by_batch(result, written);
            }
        }
    }

    fn result(&self, recorder: &Recorder, item: Identifier, metered: Metered) -> BatchResult {
        let opening = &self.opening;
        let mut flags = metered.flags.clone();
        let charge = self.charge(recorder, &metered, &mut flags);
        flags.sort_unstable();
        flags.dedup();
        let identifier = |text: &str| recorder.identifier(text.as_bytes());
        BatchResult {
            batch: self.batch.clone(),
            charge,
            created: self.maker.as_ref().map(|maker| maker.created_ns),
            exchange: opening.exchange.clone(),
            flags,
            item,
            key: opening.key.clone(),
            model: served_model(&metered).map(identifier),
            project: opening.project.clone(),
            stop_reason: metered.stop_reason.as_deref().map(identifier),
            team: opening.team.clone(),
            usage: metered.usage,
            user: opening.user.clone(),
        }
    }

    fn charge(
        &self,
        recorder: &Recorder,
        metered: &Metered,
        flags: &mut Vec<Flag>,
    ) -> Option<ChargeRecord> {
        let usage = metered.usage.as_ref()?;
        let is_refusal = metered.stop_reason.as_deref() == Some("refusal");
        let category = metered.refusal_category.as_deref();
        let facts = Facts {
            dated: Dated::Moment,
            refusal: is_refusal.then_some(Refusal { category }),
            result: ResultKind::BatchItem,
            team: Some(&self.opening.team),
            ..Facts::default()
        };
        let day = match &self.maker {
            Some(maker) => super::day_of(maker.created_ns),
            None => recorder.day(self.started_ns),
        };
        // Without a name there is no rate: unpriced, not free.
        let model = served_model(metered).unwrap_or_default();
        let call = Call { day, facts, model, usage };
        if self.maker.is_none() && has_changed(&self.prices, &call) {
            flags.push(Flag::BatchDayUnknown);
        }
        let notional = self.opening.subscription != 0;
        Some(charging::record(&self.prices, &call, (None, notional), flags, |name| {
            recorder.identifier(name.as_bytes())
        }))
    }
}

/// Whether the call would have cost something else while the batch may have been made.
fn has_changed(prices: &PriceBook, call: &Call<'_>) -> bool {
    let total = |call: &Call<'_>| prices.charge(call).ok().and_then(|charge| charge.total);
    let day = call.day.checked_sub(RESULTS_KEPT.days()).unwrap_or(call.day);
    let earlier = total(&Call { day, ..*call });
    earlier.is_some() && earlier != total(call)
}

impl Recorder {
    async fn known_batch(&self, batch: &str) -> Mutex<KnownBatch> {
        let (dir, name) = (self.ledger.dir().to_owned(), batch.to_owned());
        let reading = tokio::task::spawn_blocking(move || index::known_batch(&dir, &name)).await;
        Mutex::new(match reading {
            Ok(Ok(known)) => known,
            Ok(Err(error)) => {
                tracing::warn!(%error, "what is known of a batch cannot be read: all is new");
                KnownBatch::default()
            }
            Err(_) => KnownBatch::default(),
        })
    }

    /// Remembers who made the batch that a response names.
    pub(super) fn batch_created(&self, open: &Open, batch: &str) {
        let opening = &open.opening;
        let entry = Entry::BatchCreated(Box::new(BatchCreated {
            batch: self.identifier(batch.as_bytes()),
            exchange: opening.exchange.clone(),
            key: opening.key.clone(),
            project: opening.project.clone(),
            team: opening.team.clone(),
            user: opening.user.clone(),
        }));
        if !open.recorded {
            return;
        }
        if let Err(error) = self.append_now(&entry, Purpose::Running) {
            self.lost(&entry, &error);
        }
    }
}
