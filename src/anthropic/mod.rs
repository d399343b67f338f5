//! The API as bytes. Pure: frames in, facts out; nothing is ever re-serialised.
//!
//! [`endpoint`] tells which form of the API a path is, [`request`] reads the few facts of a request
//! body while it passes, [`meter`] reads usage from a response, and [`failure`] writes our own
//! answers in the API's shape. Everything here looks at a copy or in passing: what is forwarded
//! never depends on what was understood.

pub mod batch;
pub mod content;
mod converse;
mod decode;
pub mod endpoint;
mod error_class;
mod eventstream;
pub mod failure;
pub mod json;
pub mod limits;
pub mod merge;
pub mod meter;
mod reading;
pub mod request;
mod sse;
mod tail;
mod tool_blocks;
pub mod tools;

pub use batch::{BatchItem, BatchReader};
pub use endpoint::{BatchStep, Route, classify};
pub use failure::Refusal;
pub use limits::RateLimits;
pub use merge::UsageMerge;
pub use meter::{BodyCopy, Form, Meter, Metered, ResponseHead, Seen};
pub use request::{RequestFacts, RequestScanner, Wanted};
pub use tools::{Offered, ToolAsked, ToolReturned};
