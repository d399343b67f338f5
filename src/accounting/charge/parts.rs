//! What of a usage is billed: its iterations where there are any, else the top level.

use crate::accounting::call::Call;
use crate::accounting::price_book::{Billing, Role, Rules};
use crate::accounting::usage::CacheCreation;
use crate::accounting::{Flag, Iteration, TokenKind, Usage};

use super::Flags;

/// More tokens than any answer has: beyond it a count is damage that happens to be a number.
const TOKENS_PLAUSIBLE_MAX: u64 = 1_000_000_000_000;

/// Something that is billed by itself.
#[derive(Debug)]
pub(super) struct Part<'u, 'b> {
    pub(super) model: &'u str,
    pub(super) tokens: Tokens,
    pub(super) billing: Billing,
    /// Prompt tokens of the whole answer that it is a step of; its own where it stands alone.
    pub(super) whole_prompt: u64,
    /// A step of the answer that the top level reports: tier, geography and speed are its own.
    pub(super) serves: bool,
    /// Its type has a rule.
    pub(super) known: bool,
    /// The type of the iteration, as the rule names it; `None` for the top level.
    pub(super) step: Option<&'b str>,
}

/// Counts in the order of [`TokenKind::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens([u64; 5]);

impl Tokens {
    pub(super) const fn of(&self, kind: TokenKind) -> u64 {
        let Tokens([input, output, read, for_5m, for_1h]) = *self;
        match kind {
            TokenKind::Input => input,
            TokenKind::Output => output,
            TokenKind::CacheRead => read,
            TokenKind::CacheWrite5m => for_5m,
            TokenKind::CacheWrite1h => for_1h,
        }
    }

    /// What the price tier depends on: everything that went in. Saturation is far above any tier.
    pub(super) const fn prompt(&self) -> u64 {
        let Tokens([input, _, read, for_5m, for_1h]) = *self;
        input.saturating_add(read).saturating_add(for_5m).saturating_add(for_1h)
    }
}

/// The parts of the bill; `None` where no count at all is known.
pub(super) fn of<'a, 'b>(
    rules: &'b Rules,
    call: &Call<'a>,
    flags: &mut Flags,
) -> Option<Vec<Part<'a, 'b>>> {
    let usage = call.usage;
    if usage.output_tokens_details.and_then(|details| details.thinking_tokens) > usage.output_tokens
    {
        flags.insert(Flag::UsageAnomaly);
    }
    if usage.iterations.is_empty() {
        let mut top = vec![top_level(call, flags)?];
        settle_refusal(rules, call, &mut top, flags);
        return Some(top);
    }
    let mut parts = iterations(rules, call, flags);
    if parts.iter().any(|part| part.serves) {
        check_sum(usage, &parts, flags);
    } else {
        parts.push(top_level(call, flags)?);
    }
    settle_refusal(rules, call, &mut parts, flags);
    Some(parts)
}

fn top_level<'a>(call: &Call<'a>, flags: &mut Flags) -> Option<Part<'a, 'static>> {
    let tokens = Counts::top(call.usage).tokens(flags)?;
    let whole_prompt = tokens.prompt();
    let (billing, serves, known) = (Billing::Billed, true, true);
    let (model, step) = (call.model, None);
    Some(Part { model, tokens, billing, whole_prompt, serves, known, step })
}

fn iterations<'a, 'b>(rules: &'b Rules, call: &Call<'a>, flags: &mut Flags) -> Vec<Part<'a, 'b>> {
    let list = &call.usage.iterations;
    let roles: Vec<Option<Role>> = list.iter().map(|one| rules.role(&one.kind)).collect();
    let has_fallback = roles.contains(&Some(Role::Fallback));
    let model_of = |one: &'a Iteration, role: Option<Role>| match one.model.as_deref() {
        Some(model) => model,
        // Before a fallback stands the model that was asked for.
        None if has_fallback && role == Some(Role::Attempt) => {
            call.facts.requested.unwrap_or(call.model)
        }
        None => call.model,
    };
    let is_attempt = |role: Option<Role>| matches!(role, Some(Role::Attempt | Role::Fallback));
    let mut attempts = list.iter().zip(&roles).filter(|(_, role)| is_attempt(**role));
    let serving = attempts.next_back().map(|(one, role)| model_of(one, *role));
    // With a fallback the last attempts of one model are the answer, else all of them are.
    let mut answers = vec![false; list.len()];
    for ((one, role), answers) in list.iter().zip(&roles).zip(&mut answers).rev() {
        if !is_attempt(*role) {
            continue;
        }
        if has_fallback && Some(model_of(one, *role)) != serving {
            break;
        }
        *answers = true;
    }
    let mut parts: Vec<Part<'a, 'b>> = Vec::with_capacity(list.len());
    for ((one, role), serves) in list.iter().zip(roles).zip(answers) {
        let counts = Counts::iteration(one, serves.then_some(call.usage));
        let tokens = counts.tokens(flags).unwrap_or_else(|| {
            flags.insert(Flag::UsageAnomaly);
            Tokens::default()
        });
        let declined = is_attempt(role) && !serves && tokens.of(TokenKind::Output) == 0;
        let billing = match role {
            None => {
                flags.insert(Flag::UnknownIteration);
                Billing::Unsure
            }
            Some(_) if declined => rules.declined(call.day),
            Some(_) => Billing::Billed,
        };
        match billing {
            Billing::Unsure if declined => flags.insert(Flag::DeclinedUnknown),
            Billing::Free => flags.insert(Flag::RefusalNotBilled),
            _ => {}
        }
        let (model, whole_prompt) = (model_of(one, role), tokens.prompt());
        let (known, step) = (role.is_some(), rules.name(&one.kind));
        parts.push(Part { model, tokens, billing, whole_prompt, serves, known, step });
    }
    let answer = parts.iter().filter(|part| part.serves);
    let whole = answer.map(|part| part.whole_prompt).fold(0, u64::saturating_add);
    for part in parts.iter_mut().filter(|part| part.serves) {
        part.whole_prompt = whole;
    }
    parts
}

/// The top level must be the sum of the steps of the answer.
fn check_sum(usage: &Usage, parts: &[Part<'_, '_>], flags: &mut Flags) {
    let sum = |of: &dyn Fn(&Tokens) -> u64| {
        let answer = parts.iter().filter(|part| part.serves);
        answer.map(|part| of(&part.tokens)).fold(0, u64::saturating_add)
    };
    let writes = |tokens: &Tokens| {
        tokens.of(TokenKind::CacheWrite5m).saturating_add(tokens.of(TokenKind::CacheWrite1h))
    };
    let differs = |reported: Option<u64>, summed: u64| reported.is_some_and(|n| n != summed);
    if differs(usage.input_tokens, sum(&|tokens| tokens.of(TokenKind::Input)))
        || differs(usage.output_tokens, sum(&|tokens| tokens.of(TokenKind::Output)))
        || differs(usage.cache_read_input_tokens, sum(&|tokens| tokens.of(TokenKind::CacheRead)))
        || differs(usage.cache_creation_input_tokens, sum(&writes))
    {
        flags.insert(Flag::UsageAnomaly);
    }
}

/// A refusal before any output is billed or not by its category and the day.
fn settle_refusal(rules: &Rules, call: &Call<'_>, parts: &mut [Part<'_, '_>], flags: &mut Flags) {
    let Some(refusal) = call.facts.refusal else { return };
    let answered = |part: &Part<'_, '_>| part.serves && part.tokens.of(TokenKind::Output) > 0;
    if parts.iter().any(answered) {
        return;
    }
    let billing = rules.refusal(call.day, refusal.category);
    match billing {
        Billing::Billed => {}
        Billing::Free => flags.insert(Flag::RefusalNotBilled),
        Billing::Unsure => flags.insert(Flag::RefusalUnknown),
    }
    parts.iter_mut().filter(|part| part.serves).for_each(|part| part.billing = billing);
}

/// Counts as they were reported.
struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    read: Option<u64>,
    writes: Option<u64>,
    split: Option<CacheCreation>,
    /// Counted as well, where nothing else is.
    searches: Option<u64>,
}

impl Counts {
    fn top(usage: &Usage) -> Counts {
        Counts {
            input: usage.input_tokens,
            output: usage.output_tokens,
            read: usage.cache_read_input_tokens,
            writes: usage.cache_creation_input_tokens,
            split: usage.cache_creation,
            searches: usage.server_tool_use.and_then(|tools| tools.web_search_requests),
        }
    }

    /// An iteration without a split takes the top level's where that is about the same writes.
    fn iteration(one: &Iteration, top: Option<&Usage>) -> Counts {
        let writes = one.cache_creation_input_tokens;
        let same = top.filter(|top| {
            top.cache_creation_input_tokens == writes && writes > Some(0) && !top.has_stale_split()
        });
        Counts {
            input: one.input_tokens,
            output: one.output_tokens,
            read: one.cache_read_input_tokens,
            writes,
            split: one.cache_creation.or_else(|| same.and_then(|top| top.cache_creation)),
            searches: None,
        }
    }

    /// The API always sends input and output, so a missing one is flagged; the others are absent
    /// where a feature was not used. `None` where nothing at all was reported.
    fn tokens(&self, flags: &mut Flags) -> Option<Tokens> {
        let split = self.split.unwrap_or_default();
        let (for_5m, for_1h) = (split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens);
        let optional = [self.read, self.writes, for_5m, for_1h, self.searches];
        let required = [self.input, self.output];
        if required.iter().chain(&optional).all(Option::is_none) {
            return None;
        }
        if required.contains(&None) {
            flags.insert(Flag::UsageAnomaly);
        }
        let (for_5m, for_1h) = self.cache_writes(for_5m, for_1h, flags);
        let (input, output) = (self.input.unwrap_or(0), self.output.unwrap_or(0));
        let tokens = [input, output, self.read.unwrap_or(0), for_5m, for_1h];
        if tokens.iter().any(|count| *count > TOKENS_PLAUSIBLE_MAX) {
            flags.insert(Flag::UsageAnomaly);
        }
        Some(Tokens(tokens))
    }

    /// The split where it adds up to the total. Else the total, all of it at the five-minute rate,
    /// the API's default: after a fallback the split can be the declined attempt's, beside the
    /// serving one's total.
    fn cache_writes(
        &self,
        for_5m: Option<u64>,
        for_1h: Option<u64>,
        flags: &mut Flags,
    ) -> (u64, u64) {
        let sum = for_5m.unwrap_or(0).checked_add(for_1h.unwrap_or(0));
        match self.writes {
            Some(0) if for_5m.is_none() && for_1h.is_none() => (0, 0),
            Some(total) if for_5m.is_none() && for_1h.is_none() => {
                flags.insert(Flag::CacheSplitMissing);
                (total, 0)
            }
            Some(total) if sum != Some(total) => {
                flags.insert(Flag::CacheSplitMismatch);
                (total, 0)
            }
            None if for_5m.is_some() != for_1h.is_some() => {
                // Half a split and no total: the other half is unknown.
                flags.insert(Flag::UsageAnomaly);
                (for_5m.unwrap_or(0), for_1h.unwrap_or(0))
            }
            _ => (for_5m.unwrap_or(0), for_1h.unwrap_or(0)),
        }
    }
}
