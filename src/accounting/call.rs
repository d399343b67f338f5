//! Everything a price depends on.

use jiff::civil::Date;

use crate::accounting::Usage;
use crate::accounting::price_book::{Discount, Platform};

/// One call to be priced: its usage, and the facts that are not in it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The UTC day on which the request began. Which instant of a request counts is not published.
    pub day: Date,
    /// Facts beside the usage; the default is a plain answer of the Messages API.
    pub facts: Facts<'a>,
    /// The model that answered.
    pub model: &'a str,
    /// What the API says was used.
    pub usage: &'a Usage,
}

/// Facts that are not in the usage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// A negotiated discount that is known from elsewhere; it takes the place of the table's.
    pub discount: Option<Discount>,
    /// Containers of code execution that ran for the call; their time is in no response.
    pub containers: Option<Containers<'a>>,
    /// How exactly `day` is known.
    pub dated: Dated,
    /// Where the model ran; `None` leaves it to the model's name.
    pub platform: Option<Platform>,
    /// Set where the API stopped with `refusal`.
    pub refusal: Option<Refusal<'a>>,
    /// The model asked for, where it may differ.
    pub requested: Option<&'a str>,
    /// What kind of result the usage belongs to.
    pub result: ResultKind,
    /// Who pays, for prices negotiated by team.
    pub team: Option<&'a str>,
}

/// Where a call's day comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dated {
    /// The question is for that day's prices.
    #[default]
    Day,
    /// From the moment of a real call: on a day on which a price changes, the hour of the change
    /// would matter, and is not published.
    Moment,
}

/// What the API said about a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// `stop_details.category`.
    pub category: Option<&'a str>,
}

/// What kind of result the usage belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResultKind {
    /// An answer of the Messages API or of a cloud's form of it.
    #[default]
    Answer,
    /// A succeeded item of a batch.
    BatchItem,
    /// An error, or a batch item that was errored, canceled or expired: nothing is billed.
    NotBilled,
}

/// Containers of code execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Containers<'a> {
    /// What is known of the month's free time.
    pub allowance: Allowance,
    /// Running time of each container, in microseconds.
    pub micros: &'a [u64],
}

/// What is known of the free time of the organisation's month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// So many microseconds are left.
    Left(u64),
    /// Not known: between nothing and all of it is billed.
    Unknown,
    /// Free whatever is left: a tool in the request makes it so.
    Free,
}

impl<'a> Call<'a> {
    /// A plain answer of the Messages API.
    #[must_use]
    pub fn new(model: &'a str, day: Date, usage: &'a Usage) -> Call<'a> {
        Call { day, facts: Facts::default(), model, usage }
    }
}
