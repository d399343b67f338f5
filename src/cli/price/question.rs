//! A line of `price --batch`: what is asked, read with tolerance for what the API sends and without
//! for what the asker writes.

use std::fmt;

use jiff::civil::Date;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::accounting::call::{Allowance, Call, Containers, Dated, Facts, Refusal, ResultKind};
use crate::accounting::price_book::{Discount, Platform};
use crate::accounting::{Flag, Money, Usage};
use crate::anthropic::{UsageMerge, json};

/// Keys that `context` may have; another one is flagged, because it may have been meant to matter.
const CONTEXT_KEYS: [&str; 10] = [
    "api",
    "batch_result",
    "code_execution_free",
    "code_execution_seconds",
    "endpoint",
    "free_seconds_left",
    "http_error",
    "org_discount",
    "platform",
    "team",
];

/// Of a decimal number, as [`Money`] reads it, in a millionth.
const ATTO_PER_MICRO: i128 = 1_000_000_000_000;

/// Statuses of answers that cost nothing.
const HTTP_ERRORS: std::ops::RangeInclusive<u64> = 400..=599;

/// Endpoints of a cloud in one place, beside the names of regions, which have a digit.
const REGIONS: [&str; 11] = [
    "regional",
    "region",
    "in_region",
    "multi_region",
    "geo",
    "us",
    "eu",
    "apac",
    "au",
    "jp",
    "asia",
];

/// One question, ready to be priced.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) model: String,
    pub(super) day: Date,
    pub(super) usage: Usage,
    /// What reading the usage found.
    pub(super) flags: Vec<Flag>,
    dated: Dated,
    requested: Option<String>,
    /// `Some` after a refusal.
    refusal: Option<Option<String>>,
    discount: Option<Discount>,
    platform: Option<Platform>,
    result: ResultKind,
    containers: Option<(Vec<u64>, Allowance)>,
    pub(super) team: Option<String>,
}

/// What holds where a question does not say.
#[derive(Clone, Debug)]
pub(super) struct Fallback {
    pub(super) model: Option<String>,
    pub(super) day: Option<(Date, Dated)>,
    pub(super) today: Date,
    pub(super) team: Option<String>,
}

/// How far a question's events go.
#[derive(Debug, Default)]
struct Stream {
    /// A delta counted the output; before it, there is `message_start`'s placeholder only.
    reported: bool,
    /// The answer came to its end.
    stopped: bool,
    /// The last that came says that more should have.
    interrupted: bool,
}

impl Stream {
    /// Whether the output count is not the bill.
    const fn is_cut(&self) -> bool {
        !self.reported || (self.interrupted && !self.stopped)
    }
}

/// Reads a day or an RFC 3339 moment.
pub(in crate::cli) fn day(text: &str) -> Result<(Date, Dated), String> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok((moment.to_zoned(jiff::tz::TimeZone::UTC).date(), Dated::Moment));
    }
    // A date parser would take a time along and drop it.
    let plain = Some(text).filter(|text| text.len() == 10);
    let day = plain.and_then(|text| text.parse::<Date>().ok());
    let wrong = || format!("{text:?} is no day like 2026-11-20 and no RFC 3339 moment");
    let day = day.ok_or_else(wrong)?;
    Ok((day, Dated::Day))
}

impl Question {
    /// Reads a whole question.
    pub(super) fn read(value: &Value, fallback: &Fallback) -> Result<Question, String> {
        if !value.is_object() {
            return Err("write one JSON object a line".to_owned());
        }
        let mut question = Question::plain(value, fallback)?;
        question.stop(value.get("stop_reason"), value.get("stop_details"));
        question.requested = text(value, "requested_model")?.or(question.requested);
        question.context(value.get("context").unwrap_or(&Value::Null))?;
        if let Some(team) = fallback.team.clone() {
            question.team.get_or_insert(team);
        }
        if question.model.is_empty() {
            return Err("name the model: \"model\": \"claude-opus-5-5\"".to_owned());
        }
        let nothing = value.get("usage").is_none() && value.get("events").is_none();
        if nothing && question.result != ResultKind::NotBilled {
            return Err("give a \"usage\" object or the stream's \"events\"".to_owned());
        }
        Ok(question)
    }

    /// A usage object alone, or a whole message of the API, which holds one.
    pub(super) fn of_usage(value: &Value, fallback: &Fallback) -> Result<Question, String> {
        let Some(object) = value.as_object() else {
            return Err("write one JSON object: a usage, a message or a question".to_owned());
        };
        if object.get("type").and_then(Value::as_str) == Some("message") {
            let mut question = Question::plain(value, fallback)?;
            question.stop(value.get("stop_reason"), value.get("stop_details"));
            question.team.clone_from(&fallback.team);
            return Ok(question);
        }
        if object.contains_key("usage") || object.contains_key("events") {
            return Question::read(value, fallback);
        }
        Question::read(&serde_json::json!({ "usage": value }), fallback)
    }

    fn plain(value: &Value, fallback: &Fallback) -> Result<Question, String> {
        let (day, dated) = match (text(value, "at")?, text(value, "date")?, fallback.day) {
            (Some(at), Some(date), _) => {
                let both = (day(&at)?, day(&date)?);
                if both.0.0 != both.1.0 {
                    return Err(format!("at {at} and date {date} are two days (UTC): give one"));
                }
                both.0
            }
            (Some(at), None, _) => day(&at)?,
            (None, Some(date), _) => day(&date)?,
            (None, None, Some(day)) => day,
            (None, None, None) => (fallback.today, Dated::Day),
        };
        let mut question = Question {
            model: fallback.model.clone().or(text(value, "model")?).unwrap_or_default(),
            day,
            dated,
            usage: Usage::default(),
            flags: Vec::new(),
            requested: None,
            refusal: None,
            discount: None,
            platform: None,
            result: ResultKind::Answer,
            containers: None,
            team: None,
        };
        let mut merge = UsageMerge::default();
        match value.get("events") {
            Some(Value::Array(events)) => {
                let mut stream = Stream::default();
                for event in events {
                    question.event(event, &mut merge, &mut stream)?;
                }
                question.flags.extend(stream.is_cut().then_some(Flag::Partial));
            }
            Some(_) => return Err("\"events\" is a list of a stream's events".to_owned()),
            None => merge.start(value.get("usage").unwrap_or(&Value::Null)),
        }
        let (usage, flags) = merge.finish();
        question.usage = usage.unwrap_or_default();
        question.flags.extend(flags);
        Ok(question)
    }

    fn event(
        &mut self,
        event: &Value,
        merge: &mut UsageMerge,
        stream: &mut Stream,
    ) -> Result<(), String> {
        match event.get("type").and_then(Value::as_str) {
            Some("message_start") => {
                let message = event.get("message").unwrap_or(&Value::Null);
                merge.start(message.get("usage").unwrap_or(&Value::Null));
                if self.model.is_empty() {
                    self.model = text(message, "model")?.unwrap_or_default();
                }
            }
            Some("message_delta") => {
                let usage = event.get("usage").unwrap_or(&Value::Null);
                merge.delta(usage);
                let delta = event.get("delta").unwrap_or(&Value::Null);
                let reason = delta.get("stop_reason");
                stream.reported |= usage.get("output_tokens").is_some_and(Value::is_u64);
                stream.stopped |= reason.is_some_and(Value::is_string);
                // A delta that says it is not the last; one without the key is shortened by hand.
                stream.interrupted = reason.is_some_and(Value::is_null);
                self.stop(reason, delta.get("stop_details"));
            }
            Some("message_stop") => stream.stopped = true,
            Some("error") => stream.interrupted = true,
            Some(_) => {}
            None => return Err("an event has no \"type\"".to_owned()),
        }
        Ok(())
    }

    fn stop(&mut self, reason: Option<&Value>, details: Option<&Value>) {
        if reason.and_then(Value::as_str) == Some("refusal") {
            let category = details.and_then(|details| details.get("category"));
            self.refusal = Some(category.and_then(Value::as_str).map(str::to_owned));
        }
    }

    fn context(&mut self, context: &Value) -> Result<(), String> {
        let Some(object) = context.as_object() else {
            return if context.is_null() { Ok(()) } else { Err("context is an object".to_owned()) };
        };
        if object.keys().any(|key| !CONTEXT_KEYS.contains(&key.as_str())) {
            self.flags.push(Flag::UnknownModifier);
        }
        self.result = result_kind(context)?;
        self.platform = platform(context, self.is_named_as_on_vertex())?;
        self.team = text(context, "team")?;
        let discount = match context.get("org_discount") {
            // The digits are those that were written, as long as there are few.
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => text(context, "org_discount")?,
        };
        if let Some(discount) = discount {
            let parsed = discount.parse::<Discount>();
            self.discount = Some(parsed.map_err(|error| format!("context.org_discount: {error}"))?);
        }
        self.containers = containers(context)?;
        Ok(())
    }

    /// No other platform writes an `@` into a name.
    fn is_named_as_on_vertex(&self) -> bool {
        let names = [Some(&self.model), self.requested.as_ref()];
        names.into_iter().flatten().any(|name| name.contains('@'))
    }

    /// The call that is asked for.
    pub(super) fn call(&self) -> Call<'_> {
        let refusal = self.refusal.as_ref();
        let containers = self.containers.as_ref();
        Call {
            day: self.day,
            facts: Facts {
                discount: self.discount,
                containers: containers
                    .map(|(micros, allowance)| Containers { allowance: *allowance, micros }),
                dated: self.dated,
                platform: self.platform,
                refusal: refusal.map(|category| Refusal { category: category.as_deref() }),
                requested: self.requested.as_deref(),
                result: self.result,
                team: self.team.as_deref(),
            },
            model: &self.model,
            usage: &self.usage,
        }
    }
}

/// The `id` of a line that cannot be read as a whole, where it stands before what is wrong.
pub(super) fn id_of(line: &[u8]) -> Value {
    let mut id = Value::Null;
    // The error is known already.
    let _ = serde_json::Deserializer::from_slice(line).deserialize_map(IdOf(&mut id));
    id
}

struct IdOf<'v>(&'v mut Value);

impl<'de> Visitor<'de> for IdOf<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a question")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            if key == "id" {
                *self.0 = entries.next_value()?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Reads a JSON text; a key that comes twice leaves the flag that damaged usage leaves.
pub(super) fn parsed(text: &str) -> Result<(Value, Option<Flag>), String> {
    let parsed = json::parse(text).map_err(|error| format!("this is not JSON: {error}"))?;
    Ok((parsed.value, parsed.has_duplicate.then_some(Flag::UsageAnomaly)))
}

fn text(value: &Value, key: &str) -> Result<Option<String>, String> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("{key} = {other} is not a text")),
    }
}

fn result_kind(context: &Value) -> Result<ResultKind, String> {
    match context.get("http_error") {
        None | Some(Value::Null) => {}
        Some(status) if status.as_u64().is_some_and(|status| HTTP_ERRORS.contains(&status)) => {
            return Ok(ResultKind::NotBilled);
        }
        Some(other) => {
            return Err(format!("context.http_error {other}: write a status from 400 to 599"));
        }
    }
    match text(context, "batch_result")?.as_deref() {
        None => {}
        Some("succeeded") => return Ok(ResultKind::BatchItem),
        Some("errored" | "canceled" | "expired") => return Ok(ResultKind::NotBilled),
        Some(other) => {
            let known = "succeeded, errored, canceled or expired";
            return Err(format!("context.batch_result {other:?}: write {known}"));
        }
    }
    match text(context, "api")?.as_deref() {
        None | Some("messages") => Ok(ResultKind::Answer),
        Some("batches") => Ok(ResultKind::BatchItem),
        // Counting is free.
        Some("count_tokens") => Ok(ResultKind::NotBilled),
        Some(other) => Err(format!("context.api {other:?}: write messages or batches")),
    }
}

fn platform(context: &Value, is_vertex: bool) -> Result<Option<Platform>, String> {
    let endpoint = text(context, "endpoint")?;
    let endpoint = endpoint.map(|name| name.to_ascii_lowercase().replace(['-', ' '], "_"));
    let endpoint = endpoint.as_deref();
    let region = |name: &str| REGIONS.contains(&name) || name.bytes().any(|b| b.is_ascii_digit());
    let wrong = |known: &str| {
        let endpoint = endpoint.unwrap_or_default();
        Err(format!("context.endpoint {endpoint:?}: write {known}"))
    };
    let named = text(context, "platform")?;
    match named.as_deref().or_else(|| is_vertex.then_some("vertex")) {
        None => Ok(None),
        Some("anthropic" | "claude-platform-aws") => Ok(Some(Platform::Direct)),
        Some("bedrock") => match endpoint {
            None => Ok(None),
            Some("global") => Ok(Some(Platform::BedrockGlobal)),
            Some(gov) if gov == "gov" || gov.starts_with("us_gov") => {
                Ok(Some(Platform::BedrockGov))
            }
            Some(name) if region(name) => Ok(Some(Platform::BedrockRegional)),
            Some(_) => wrong("global, regional, us_gov or a region"),
        },
        Some("vertex") => match endpoint {
            None | Some("global") => Ok(Some(Platform::Direct)),
            Some(name) if region(name) => Ok(Some(Platform::VertexRegional)),
            Some(_) => wrong("global, regional, multi_region or a region"),
        },
        Some("foundry") => match endpoint {
            None | Some("global" | "standard" | "global_standard") => Ok(Some(Platform::Direct)),
            Some(zone) if zone == "us" || zone.contains("data_zone") => {
                Ok(Some(Platform::FoundryUsDataZone))
            }
            Some(_) => wrong("global or us_data_zone"),
        },
        Some(other) => {
            let known = "anthropic, claude-platform-aws, bedrock, vertex or foundry";
            Err(format!("context.platform {other:?}: write {known}"))
        }
    }
}

fn containers(context: &Value) -> Result<Option<(Vec<u64>, Allowance)>, String> {
    let free = match context.get("code_execution_free") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(free)) => *free,
        Some(other) => {
            return Err(format!("context.code_execution_free {other}: write true or false"));
        }
    };
    let micros = match context.get("code_execution_seconds") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list.iter().map(micros).collect::<Option<Vec<_>>>(),
        Some(one) => micros(one).map(|micros| vec![micros]),
    };
    let wrong = |key: &str| format!("context.{key}: write seconds like 3600 or 3600.5");
    let micros = micros.ok_or_else(|| wrong("code_execution_seconds"))?;
    let allowance = match context.get("free_seconds_left") {
        _ if free => Allowance::Free,
        None | Some(Value::Null) => Allowance::Unknown,
        Some(left) => {
            Allowance::Left(self::micros(left).ok_or_else(|| wrong("free_seconds_left"))?)
        }
    };
    Ok(Some((micros, allowance)))
}

/// Microseconds of a decimal number of seconds, exactly; at most six decimals.
fn micros(seconds: &Value) -> Option<u64> {
    let text = match seconds {
        // The digits are those that were written, as long as there are few.
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let atto = text.parse::<Money>().ok()?.atto();
    let micros =
        (atto.checked_rem(ATTO_PER_MICRO) == Some(0)).then(|| atto.div_euclid(ATTO_PER_MICRO));
    u64::try_from(micros?).ok()
}
