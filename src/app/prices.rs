//! The prices that a configuration asks for, at the start and whenever their files change.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::accounting::price_book::{PriceBook, PricingFile};
use crate::clock::Clock;
use crate::config::{Config, PricingConfig};
use crate::keys::{FileVersion, file_version};
use crate::recorder::Recorder;

/// Which version of each file is there.
type Versions = Vec<Option<FileVersion>>;

/// The versions of all files that prices are read from.
pub(super) fn versions(config: &PricingConfig) -> Versions {
    config.files.iter().map(|path| file_version(path)).collect()
}

/// The prices to start with; says so where nobody has looked after them for long.
pub(super) fn current(config: &Config, clock: Clock) -> Result<PriceBook> {
    let prices = price_book(&config.pricing)?;
    warn_of_age(&prices, clock);
    Ok(prices)
}

fn warn_of_age(prices: &PriceBook, clock: Clock) {
    if let Some(days) = prices.days_too_old(clock.today()) {
        let pricing = prices.version();
        tracing::warn!(days, pricing, "the prices were compared with their sources long ago");
    }
}

/// The prices that a configuration asks for.
///
/// # Errors
///
/// A file cannot be read or does not hold what it should; the message names file and line.
pub fn price_book(config: &PricingConfig) -> Result<PriceBook> {
    let read = |path: &PathBuf| {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).with_context(|| format!("pricing.files {name}"))?;
        Ok(PricingFile { name, text })
    };
    let files = config.files.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(PriceBook::load(&files, &config.overrides)?)
}

/// The files of prices of a running sidecar.
#[derive(Debug)]
pub(super) struct LivePrices {
    config: PricingConfig,
    /// What was read last, or could not be: each version is tried once.
    seen: Versions,
    /// What was there at the last look.
    looked: Versions,
}

impl LivePrices {
    /// `seen` are the versions from before the prices in force were read.
    pub(super) fn new(config: PricingConfig, seen: Versions) -> LivePrices {
        LivePrices { config, looked: seen.clone(), seen }
    }

    /// Reads the files again where one has changed, or in any case. What cannot be read leaves
    /// the prices in force as they are, and says so once.
    pub(super) async fn refresh(&mut self, recorder: &Recorder, in_any_case: bool) {
        let now = versions(&self.config);
        // A file that changed since the last look may still be being written: half of it could be
        // a table, too.
        let settled = std::mem::replace(&mut self.looked, now.clone()) == now;
        if !in_any_case && (now == self.seen || !settled) {
            return;
        }
        let config = self.config.clone();
        let prices = match tokio::task::spawn_blocking(move || price_book(&config)).await {
            Ok(Ok(prices)) => prices,
            Ok(Err(error)) => {
                self.seen = now;
                let error = format!("{error:#}");
                tracing::error!(%error, "the prices were not read; those in force stay");
                return;
            }
            Err(_) => return,
        };
        let pricing = prices.version().to_owned();
        warn_of_age(&prices, recorder.clock());
        match recorder.change_prices(prices).await {
            Ok(true) => tracing::info!(%pricing, "other prices hold from now on"),
            Ok(false) => tracing::info!(%pricing, "the prices were read again: they are the same"),
            Err(error) => {
                // Tried again with the next look.
                tracing::error!(%error, "other prices cannot be recorded; those in force stay");
                return;
            }
        }
        self.seen = now;
    }
}
