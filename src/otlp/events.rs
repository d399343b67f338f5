//! Entries become log records: a call that went wrong, joined to its span; and every entry that is
//! not about a call: starts, stops, recoveries, gaps, prices, corrections, budgets.
//!
//! Calls that went well are spans alone. A body holds the entry's fields: numbers and identifiers,
//! as nothing else is in the ledger.

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::trace::TraceFlags;
use opentelemetry::{InstrumentationScope, Key};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use serde_json::Value;
use serde_json::value::RawValue;

use super::names;
use super::spans::{Running, context_of, moment};
use super::wire::{Closed, Envelope};
use crate::privacy::Identifier;

/// Makes log records.
pub(super) struct Events(SdkLogger);

impl Events {
    pub(super) fn new(scope: InstrumentationScope) -> Events {
        // Makes records and exports none: the signal posts them itself.
        Events(SdkLoggerProvider::builder().build().logger_with_scope(scope))
    }

    /// A call that went wrong.
    pub(super) fn failure(
        &self,
        running: &Running,
        entry: &Envelope<Closed<'_>>,
        error: &str,
    ) -> SdkLogRecord {
        let (opening, body) = (&running.opening, &entry.body);
        let mut record = self.record(names::EXCEPTION_EVENT, Severity::Warn, entry.wall_ns);
        let (trace, span) = context_of(running);
        record.set_trace_context(trace, span, Some(TraceFlags::SAMPLED));
        let texts = [
            (names::ERROR, Some(error)),
            (names::OUTCOME, Some(&*body.outcome)),
            (names::TEAM, Some(&*opening.team)),
            (names::EXCHANGE, Some(&*opening.exchange)),
            (names::REQUEST_MODEL, opening.model.as_ref().map(Identifier::as_str)),
            (names::REQUEST_ID, body.request_id.as_ref().map(|id| &*id.0)),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                record.add_attribute(name, text.to_owned());
            }
        }
        if let Some(status) = body.status {
            record.add_attribute(names::STATUS, i64::from(status));
        }
        record.add_attribute(names::SEQUENCE, i64::try_from(entry.index).unwrap_or(i64::MAX));
        record
    }

    /// An entry that is not about a call.
    pub(super) fn entry(&self, kind: &str, entry: &Envelope<&RawValue>) -> SdkLogRecord {
        let (name, severity) = event_of(kind);
        let mut record = self.record(name, severity, entry.wall_ns);
        let body: Value = serde_json::from_str(entry.body.get()).unwrap_or_default();
        record.set_body(any(&body));
        record.add_attribute("weighbridge.kind", kind.to_owned());
        record.add_attribute(names::SEQUENCE, i64::try_from(entry.index).unwrap_or(i64::MAX));
        record
    }

    fn record(&self, name: &'static str, severity: Severity, wall_ns: u64) -> SdkLogRecord {
        let mut record = self.0.create_log_record();
        record.set_event_name(name);
        record.set_timestamp(moment(wall_ns));
        // The ledger saw it when it happened: the same entry always gives the same record.
        record.set_observed_timestamp(moment(wall_ns));
        record.set_severity_number(severity);
        record.set_severity_text(severity.name());
        record
    }
}

/// The event's name (it must be static), and how grave it is.
fn event_of(kind: &str) -> (&'static str, Severity) {
    match kind {
        "started" => ("weighbridge.started", Severity::Info),
        "stopped" => ("weighbridge.stopped", Severity::Info),
        "recovered" => ("weighbridge.recovered", Severity::Warn),
        "gap" => ("weighbridge.gap", Severity::Error),
        "reserve" => ("weighbridge.reserve", Severity::Warn),
        "prices_changed" => ("weighbridge.prices_changed", Severity::Info),
        "reattributed" => ("weighbridge.reattributed", Severity::Info),
        "batch_created" => ("weighbridge.batch_created", Severity::Info),
        "batch_result" => ("weighbridge.batch_result", Severity::Info),
        "budget_crossed" => ("weighbridge.budget_crossed", Severity::Warn),
        "key_rotated" => ("weighbridge.key_rotated", Severity::Info),
        "clock_jump" => ("weighbridge.clock_jump", Severity::Warn),
        "rollback" => ("weighbridge.rollback", Severity::Error),
        "config_changed" => ("weighbridge.config_changed", Severity::Info),
        "payers_changed" => ("weighbridge.payers_changed", Severity::Info),
        "content_kept" => ("weighbridge.content_kept", Severity::Info),
        "erased" => ("weighbridge.erased", Severity::Info),
        "exported" => ("weighbridge.exported", Severity::Info),
        "backed_up" => ("weighbridge.backed_up", Severity::Info),
        "pruned" => ("weighbridge.pruned", Severity::Info),
        _ => ("weighbridge.entry", Severity::Info),
    }
}

/// The fields of an entry as a log body. Floats do not occur in the ledger.
fn any(value: &Value) -> AnyValue {
    match value {
        Value::Null => AnyValue::String("".into()),
        Value::Bool(truth) => AnyValue::Boolean(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(number) => AnyValue::Int(number),
            None => AnyValue::String(number.to_string().into()),
        },
        Value::String(text) => AnyValue::String(text.clone().into()),
        Value::Array(list) => AnyValue::ListAny(Box::new(list.iter().map(any).collect())),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (Key::from(name.clone()), any(value)));
            AnyValue::Map(Box::new(fields.collect()))
        }
    }
}
