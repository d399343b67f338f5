//! What may be kept. Pure.
//!
//! Only structured facts reach an entry: numbers, our own enums, and [`Identifier`]s. Text that is
//! kept beside the ledger is [`Redacted`]: it has passed the [`redactor`], and nothing else makes
//! one.
//!
//! The engine, from the bottom: a text is cut into [`token`]s that are looked up once, in the
//! [`lexicon`] (is it a name, is it a word) and among the [`cue`]s (what does it announce).
//! [`forms`] know how numbers are written; [`numbers`], [`series`], [`ages`], [`dates`],
//! [`places`], [`names`], [`contact`], [`logins`], [`encoded`], [`passwords`] and [`secrets`]
//! decide; [`scan`] puts a plain text to all of them.
//! [`document`] reads a document by its [`structure`] first, where a key, a header or a segment
//! says what a value is.

pub mod ages;
pub mod begins;
pub mod checks;
pub mod commitment;
pub mod contact;
pub mod cue;
pub mod dates;
pub mod document;
pub mod encoded;
pub mod finding;
pub mod forms;
pub mod identifier;
pub mod key;
pub mod known;
pub mod label;
pub mod lexicon;
pub mod logins;
pub mod names;
pub mod numbers;
pub mod passwords;
pub mod places;
pub mod redacted;
pub mod redactor;
pub mod rules;
pub mod scan;
pub mod secrets;
pub mod series;
pub mod structure;
pub mod text;
pub mod token;
pub mod view;

pub use identifier::Identifier;
pub use label::Label;
pub use redacted::Redacted;
pub use redactor::Redactor;
