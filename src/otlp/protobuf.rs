//! Spans as protobuf, written straight from what the ledger's lines hold.
//!
//! The exporter of `opentelemetry-otlp` encodes the SDK's spans through two more sets of types:
//! with some 25 attributes a span that took 13 µs a call, a quarter of what a whole call costs
//! (measured at 2 KB). Metrics and log records are few and go through it; spans are written here.
//! Only what they need of the wire format is here, fields in ascending order, as every encoder
//! writes them (opentelemetry-proto 1.x, `trace.proto`, `common.proto`; tests decode it with that
//! crate).

use opentelemetry::trace::{SpanId, TraceId};

/// Length-delimited field `n`, below 16.
const fn bytes_tag(field: u8) -> u8 {
    field << 3 | 2
}

const KEY: u8 = bytes_tag(1);
const VALUE: u8 = bytes_tag(2);
const STRING: u8 = bytes_tag(1);
const BOOL: u8 = 2 << 3;
const INT: u8 = 3 << 3;
const DOUBLE: u8 = 4 << 3 | 1;
const ARRAY: u8 = bytes_tag(5);
/// `flags` is field 16: its tag takes two bytes.
const FLAGS: [u8; 2] = [0x85, 0x01];
/// Sampled, and whether the parent is remote is known.
const FLAGS_LOCAL: u32 = 0x101;
const FLAGS_REMOTE: u32 = 0x301;

/// What a span is to its caller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Internal = 1,
    Client = 3,
}

/// Where a span stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) trace: TraceId,
    pub(super) own: SpanId,
    /// [`SpanId::INVALID`] where there is none.
    pub(super) parent: SpanId,
    /// The parent belongs to another program.
    pub(super) remote: bool,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

const fn varint_len(value: u64) -> usize {
    // 64 - leading zeros, in groups of seven; zero takes one byte.
    ((70 - (value | 1).leading_zeros()) / 7) as usize
}

const fn delimited_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

fn delimited(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Attributes, as one message's repeated field.
#[derive(Debug)]
pub(super) struct Attributes {
    bytes: Vec<u8>,
    /// The field's tag in the message that holds them.
    tag: u8,
}

impl Attributes {
    /// Those of a span.
    pub(super) fn of_span() -> Attributes {
        Attributes { bytes: Vec::with_capacity(1024), tag: bytes_tag(9) }
    }

    /// Those of a resource.
    pub(super) fn of_resource() -> Attributes {
        Attributes { bytes: Vec::new(), tag: bytes_tag(1) }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Opens an attribute whose value's message takes `length` bytes.
    fn open(&mut self, name: &str, length: usize) {
        let out = &mut self.bytes;
        out.push(self.tag);
        varint(out, (delimited_len(name.len()) + delimited_len(length)) as u64);
        delimited(out, KEY, name.as_bytes());
        out.push(VALUE);
        varint(out, length as u64);
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.open(name, delimited_len(value.len()));
        delimited(&mut self.bytes, STRING, value.as_bytes());
    }

    pub(super) fn some_text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(super) fn truth(&mut self, name: &str, value: bool) {
        self.open(name, 2);
        self.bytes.extend([BOOL, u8::from(value)]);
    }

    pub(super) fn count(&mut self, name: &str, value: u64) {
        // An int64: what is larger than that is no count.
        let value = value.min(i64::MAX as u64);
        self.open(name, 1 + varint_len(value));
        self.bytes.push(INT);
        varint(&mut self.bytes, value);
    }

    pub(super) fn some_count(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.count(name, value);
        }
    }

    /// A whole number that may be negative.
    pub(super) fn number(&mut self, name: &str, value: i64) {
        let encoded = value.cast_unsigned();
        self.open(name, 1 + varint_len(encoded));
        self.bytes.push(INT);
        varint(&mut self.bytes, encoded);
    }

    pub(super) fn double(&mut self, name: &str, value: f64) {
        self.open(name, 9);
        self.bytes.push(DOUBLE);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str> + Clone) {
        let each = |value: &str| delimited_len(delimited_len(value.len()));
        let list: usize = values.clone().map(each).sum();
        self.open(name, delimited_len(list));
        let out = &mut self.bytes;
        out.push(ARRAY);
        varint(out, list as u64);
        for value in values {
            out.push(bytes_tag(1));
            varint(out, delimited_len(value.len()) as u64);
            delimited(out, STRING, value.as_bytes());
        }
    }
}

/// The rest of a span.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// Nanoseconds since 1970 (UTC).
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    /// Trace and span of each link, and how many more there were.
    pub(super) links: &'a [(TraceId, SpanId)],
    pub(super) links_more: u64,
    pub(super) failed: bool,
}

/// Spans of one post.
#[derive(Debug, Default)]
pub(super) struct Spans {
    bytes: Vec<u8>,
    count: usize,
    span: Vec<u8>,
}

impl Spans {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn add(&mut self, place: Place, facts: &Facts<'_>, attributes: &Attributes) {
        let out = &mut self.span;
        out.clear();
        delimited(out, bytes_tag(1), &place.trace.to_bytes());
        delimited(out, bytes_tag(2), &place.own.to_bytes());
        if place.parent != SpanId::INVALID {
            delimited(out, bytes_tag(4), &place.parent.to_bytes());
        }
        delimited(out, bytes_tag(5), facts.name.as_bytes());
        out.extend([6 << 3, facts.kind as u8]);
        for (field, moment) in [(7, facts.from_ns), (8, facts.to_ns)] {
            out.push(field << 3 | 1);
            out.extend(moment.to_le_bytes());
        }
        out.extend_from_slice(&attributes.bytes);
        for (trace, span) in facts.links {
            out.push(bytes_tag(13));
            varint(out, (18 + 10) as u64);
            delimited(out, bytes_tag(1), &trace.to_bytes());
            delimited(out, bytes_tag(2), &span.to_bytes());
        }
        if facts.links_more > 0 {
            out.push(14 << 3);
            varint(out, facts.links_more.min(u32::MAX.into()));
        }
        if facts.failed {
            // Status: its code, 2, is "error".
            delimited(out, bytes_tag(15), &[3 << 3, 2]);
        }
        out.extend(FLAGS);
        out.extend(if place.remote { FLAGS_REMOTE } else { FLAGS_LOCAL }.to_le_bytes());
        delimited(&mut self.bytes, bytes_tag(2), &self.span);
        self.count += 1;
    }

    /// The whole request; the spans are gone afterwards.
    pub(super) fn take_request(&mut self, resource: &Attributes, scope: &Scope) -> Vec<u8> {
        let scope_spans = delimited_len(scope.0.len()) + self.bytes.len();
        let whole = delimited_len(resource.bytes.len()) + delimited_len(scope_spans);
        let mut out = Vec::with_capacity(delimited_len(whole));
        out.push(bytes_tag(1));
        varint(&mut out, whole as u64);
        delimited(&mut out, bytes_tag(1), &resource.bytes);
        out.push(bytes_tag(2));
        varint(&mut out, scope_spans as u64);
        delimited(&mut out, bytes_tag(1), &scope.0);
        out.append(&mut self.bytes);
        self.count = 0;
        out
    }
}

/// The instrumentation scope.
#[derive(Debug)]
pub(super) struct Scope(Vec<u8>);

impl Scope {
    pub(super) fn new(name: &str, version: &str) -> Scope {
        let mut bytes = Vec::new();
        delimited(&mut bytes, bytes_tag(1), name.as_bytes());
        delimited(&mut bytes, bytes_tag(2), version.as_bytes());
        Scope(bytes)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn request(attributes: &Attributes, links: &[(TraceId, SpanId)], more: u64) -> Vec<u8> {
        let mut resource = Attributes::of_resource();
        resource.text("service.name", "scales");
        let place = Place {
            trace: TraceId::from(7_u128),
            own: SpanId::from(8),
            parent: SpanId::from(9),
            remote: true,
        };
        let (kind, failed) = (Kind::Client, more > 0);
        let facts =
            Facts { name: "chat", kind, from_ns: 5, to_ns: 6, links, links_more: more, failed };
        let mut spans = Spans::default();
        spans.add(place, &facts, attributes);
        spans.add(Place { parent: SpanId::INVALID, ..place }, &facts, attributes);
        assert_eq!(spans.len(), 2);
        spans.take_request(&resource, &Scope::new("weighbridge", "1"))
    }

    #[test]
    fn lengths_are_those_of_the_encoding() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }

    proptest! {
        /// What is written is what the protocol's own types write: decoded and encoded again it is
        /// the same bytes, and nothing was lost.
        #[test]
        fn it_is_what_the_protocols_own_types_write(
            texts in prop::collection::vec(".{0,300}", 0..4),
            count in any::<u64>(),
            number in any::<i64>(),
            double in any::<f64>(),
            links in prop::collection::vec((any::<u128>(), any::<u64>()), 0..130),
            more in 0_u64..3,
        ) {
            let mut attributes = Attributes::of_span();
            attributes.texts("texts", texts.iter().map(String::as_str));
            attributes.text("text", texts.first().map_or("", String::as_str));
            attributes.count("count", count);
            attributes.number("number", number);
            attributes.double("double", double);
            attributes.truth("truth", true);
            let links: Vec<_> =
                links.iter().map(|(t, s)| (TraceId::from(*t), SpanId::from(*s))).collect();
            let bytes = request(&attributes, &links, more);
            let decoded = ExportTraceServiceRequest::decode(&bytes[..]).unwrap();
            prop_assert_eq!(decoded.encode_to_vec(), bytes);
            let spans = &decoded.resource_spans[0].scope_spans[0].spans;
            prop_assert_eq!(spans.len(), 2);
            prop_assert_eq!(spans[0].links.len(), links.len());
            prop_assert_eq!(spans[0].parent_span_id.len(), 8);
            prop_assert!(spans[1].parent_span_id.is_empty());
            prop_assert_eq!(spans[0].attributes.len(), 6);
            let value = |place: usize| {
                spans[0].attributes[place].value.clone().and_then(|value| value.value)
            };
            prop_assert_eq!(value(3), Some(Value::IntValue(number)));
            prop_assert_eq!(
                value(2),
                Some(Value::IntValue(i64::try_from(count).unwrap_or(i64::MAX)))
            );
        }
    }
}
