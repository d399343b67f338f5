//! Rules: what agents may do, in layers that only tighten. Pure.
//!
//! A caller stands under several layers: the organisation, its project, its team, its task. Each is
//! asked, in this order, and each can only deny. So allow-lists intersect, deny-lists unite and the
//! smallest limit holds, and no layer, however it came about, can loosen another.

mod effective;
mod pattern;
mod questions;
mod rules;

pub use effective::{Effect, Said};
pub use pattern::{Pattern, PatternError, Server, ServerPattern, Url};
pub use questions::{Call, Prompt, ToolUse, server_of, starts_agent};
pub use rules::{Denial, Layer, Mode, Rule, RuleSet, Rules, Verdict, permission_mode};
