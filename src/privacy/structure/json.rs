//! JSON, also in pieces: within a text, line by line, cut off, or with the quotes of Python.
//!
//! A value is read by its key, by its sibling (`{"system": "phone", "value": …}`), and by the kind
//! of object it stands in (FHIR's `HumanName`, `Reference`, `Patient`).

use memchr::{memchr2, memchr3};

use super::super::document::Document;
use super::super::key::Field;
use super::super::label::Label;
use super::super::names;
use super::super::text::Text;
use super::super::view::View;
use super::frames::is_of_columns;
use super::stream::Stream;

/// How deep values may be nested; deeper ones are read as text.
const NESTING_MAX: usize = 96;

/// A value and where it stands, quotes included.
#[derive(Debug)]
pub(super) struct Value {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
}

impl Value {
    /// Where the raw text between a string's quotes stands.
    pub fn inner(&self, text: &str) -> (usize, usize) {
        let raw = text.get(self.start..self.end).unwrap_or("");
        let closed = raw.len() > 1 && matches!(raw.as_bytes().last(), Some(b'"' | b'\''));
        (self.start + 1, self.end - usize::from(closed))
    }
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    Text,
    /// A number or a word without quotes.
    Bare,
    List(Vec<Value>),
    Object(Vec<(Value, Value)>),
}

/// Reads every object and list in a text, and what stands between as lines. `false` where there is
/// none.
pub(super) fn read(document: &mut Document<'_>, view: &View<'_>, depth: usize) -> bool {
    let text = view.text.as_ref();
    let mut stream = Stream::default();
    let mut plain_from = 0;
    let mut from = 0;
    let mut any = false;
    let open = |from: usize| memchr2(b'{', b'[', text.as_bytes().get(from..)?).map(|at| at + from);
    while let Some(at) = open(from) {
        let Some(value) = parse(text, at) else {
            from = at + 1;
            continue;
        };
        if super::hl7::is_within(text.get(plain_from..).unwrap_or(""), at - plain_from) {
            let rest = text.get(at..).unwrap_or("");
            from = at + rest.find(['\r', '\n']).unwrap_or(rest.len());
            continue;
        }
        any = true;
        if at > plain_from {
            super::lines(document, &view.part(plain_from, at), depth);
        }
        let mut walk = Walk { document, view, depth, stream: &mut stream };
        walk.value(&value, None, &Around::default());
        from = value.end;
        plain_from = value.end;
    }
    if !any {
        return false;
    }
    if plain_from < text.len() {
        super::lines(document, &view.part(plain_from, text.len()), depth);
    }
    for joined in stream.joined() {
        super::read(document, &joined, depth + 1);
    }
    true
}

/// The object or list that begins at a byte; one that is cut off ends with the text.
fn parse(text: &str, at: usize) -> Option<Value> {
    let mut parser = Parser { text, bytes: text.as_bytes(), at };
    let value = parser.value(0)?;
    is_filled(&value).then_some(value)
}

/// Something in an object or list has a key or quotes: brackets about bare words are text.
fn is_filled(value: &Value) -> bool {
    match &value.kind {
        Kind::Object(fields) => !fields.is_empty(),
        Kind::List(values) => {
            values.iter().any(|value| matches!(value.kind, Kind::Text) || is_filled(value))
        }
        Kind::Text | Kind::Bare => false,
    }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn value(&mut self, nesting: usize) -> Option<Value> {
        self.space();
        let start = self.at;
        let kind = match self.bytes.get(self.at)? {
            b'{' if nesting < NESTING_MAX => self.object(nesting)?,
            b'[' if nesting < NESTING_MAX => self.list(nesting)?,
            b'"' | b'\'' => {
                self.string()?;
                Kind::Text
            }
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+') => {
                let bare = |byte: &&u8| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_')
                };
                self.at += self.bytes[self.at..].iter().take_while(bare).count();
                self.call();
                Kind::Bare
            }
            _ => return None,
        };
        Some(Value { start, end: self.at, kind })
    }

    /// `datetime.date(1995, 7, 23)`: what a program would call, as one value.
    fn call(&mut self) {
        const CALL_BYTES_MAX: usize = 80;
        if self.bytes.get(self.at) == Some(&b'(') {
            let rest = self.bytes.get(self.at..).unwrap_or(&[]);
            let close = rest.iter().take(CALL_BYTES_MAX).position(|byte| *byte == b')');
            self.at += close.map_or(0, |close| close + 1);
        }
    }

    /// A string to its closing quote, or to the end of a text that is cut off.
    fn string(&mut self) -> Option<()> {
        let quote = *self.bytes.get(self.at)?;
        self.at += 1;
        // A line's end is no part of a string in single quotes, and like any other sign in another.
        let end = if quote == b'\'' { b'\n' } else { quote };
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or(&[]);
            let Some(next) = memchr3(quote, b'\\', end, rest) else {
                self.at = self.bytes.len();
                return Some(());
            };
            self.at += next;
            match rest[next] {
                b'\\' => self.at = (self.at + 2).min(self.bytes.len()),
                byte if byte == quote => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
            while !self.text.is_char_boundary(self.at) {
                self.at += 1;
            }
        }
    }

    fn object(&mut self, nesting: usize) -> Option<Kind> {
        let mut fields = Vec::new();
        self.at += 1;
        loop {
            self.space();
            match self.bytes.get(self.at) {
                None => return (!fields.is_empty()).then_some(Kind::Object(fields)),
                Some(b'}') => {
                    self.at += 1;
                    return Some(Kind::Object(fields));
                }
                Some(b',') => self.at += 1,
                Some(b'"' | b'\'') => {
                    let key = self.value(nesting + 1)?;
                    self.space();
                    if self.bytes.get(self.at) != Some(&b':') {
                        return self.bytes.get(self.at).is_none().then_some(Kind::Object(fields));
                    }
                    self.at += 1;
                    match self.value(nesting + 1) {
                        Some(value) => fields.push((key, value)),
                        None if self.at >= self.bytes.len() => return Some(Kind::Object(fields)),
                        None => return None,
                    }
                }
                Some(_) => return None,
            }
        }
    }

    fn list(&mut self, nesting: usize) -> Option<Kind> {
        let mut values = Vec::new();
        self.at += 1;
        loop {
            self.space();
            match self.bytes.get(self.at) {
                None => return (!values.is_empty()).then_some(Kind::List(values)),
                Some(b']') => {
                    self.at += 1;
                    return Some(Kind::List(values));
                }
                Some(b',') => self.at += 1,
                Some(_) => {
                    values.push(self.value(nesting + 1)?);
                    self.space();
                    // `[[ MRN 0921098` is a text with brackets.
                    if !matches!(self.bytes.get(self.at), None | Some(b',' | b']')) {
                        return None;
                    }
                }
            }
        }
    }
}

/// What the objects around a value say of it.
#[derive(Clone, Default)]
struct Around {
    /// What the sibling of a `value` says.
    sibling: Option<Field>,
    /// Inside a name's object: `HumanName` of FHIR.
    in_name: bool,
    /// The object has both a first name and a last in short, `fn` and `ln`.
    has_both: bool,
    /// Inside an address's object.
    in_address: bool,
    /// The object is of a person: its `name` and `id` are.
    is_person: bool,
    /// The object refers to a person.
    to_person: bool,
    /// The object is a code of a vocabulary.
    is_code: bool,
    /// The object is a contract with an insurer, or its classes: `Coverage` of FHIR.
    is_coverage: bool,
    /// The quote that ends the key, where the document has it.
    quote: Option<(usize, usize)>,
}

pub(super) struct Walk<'d, 'r, 'v> {
    pub document: &'d mut Document<'r>,
    pub view: &'d View<'v>,
    depth: usize,
    stream: &'d mut Stream,
}

impl<'d> Walk<'d, '_, '_> {
    fn inner(&self, value: &Value) -> (usize, usize) {
        value.inner(&self.view.text)
    }

    pub fn string(&self, value: &Value) -> &'d str {
        let view: &'d View<'_> = self.view;
        let (start, end) = self.inner(value);
        view.text.get(start..end.max(start)).unwrap_or("")
    }

    fn value(&mut self, value: &Value, key: Option<&str>, around: &Around) {
        match &value.kind {
            Kind::Object(fields) => self.object(fields, key, around),
            Kind::List(values) => {
                let headed = self.headed(values);
                for value in values.iter().take(headed.as_ref().map_or(values.len(), |_| 1)) {
                    self.value(value, key, around);
                }
                if let Some((columns, quote)) = headed {
                    self.all_rows(&values[1..], &columns, quote);
                }
            }
            Kind::Text | Kind::Bare => {
                let field = key.and_then(|key| self.field(key, around));
                self.read(value, field, around.quote);
            }
        }
    }

    /// Reads a value by what it holds.
    pub fn read(&mut self, value: &Value, field: Option<Field>, quote: Option<(usize, usize)>) {
        match &value.kind {
            Kind::Text => {
                let (start, end) = self.inner(value);
                if start < end {
                    let view = self.view.unescaped(start, end);
                    self.document.value(&view, field, self.depth);
                }
            }
            Kind::Bare => {
                let view = self.view.part(value.start, value.end);
                let bare = view
                    .text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'));
                let field = field.or(bare.then_some(Field::LogTime));
                self.document.bare_value(&view, field, quote, self.depth);
            }
            Kind::List(_) | Kind::Object(_) => self.value(value, None, &Around::default()),
        }
    }

    /// What a key says where it stands.
    fn field(&self, key: &str, around: &Around) -> Option<Field> {
        let name = Field::Sure(Label::Name);
        match key {
            _ if around.is_code => return None,
            "system" | "profile" | "$schema" | "@context" => return Some(Field::Code),
            "value" | "val" | "valueString" | "valueDate" | "valueDateTime" | "text" | "answer"
            | "content"
                if around.sibling.is_some() =>
            {
                return around.sibling;
            }
            "family" | "given" => return Some(name),
            // What FHIR's devices and contracts are told by may have letters alone.
            "serialNumber" | "lotNumber" | "distinctIdentifier" => {
                return Some(Field::Sure(Label::Device));
            }
            "subscriberId" | "policyHolderId" if around.is_coverage => {
                return Some(Field::Sure(Label::HealthPlanId));
            }
            "first" | "last" | "middle" if around.in_name || around.is_person => return Some(name),
            // Short names that say so only beside each other.
            "fn" | "ln" | "mn" if around.has_both => return Some(name),
            "text" if around.in_name => return Some(name),
            "text" | "line" if around.in_address => return Some(Field::Sure(Label::Address)),
            "display" | "text" if around.to_person => return Some(Field::MaybeName),
            "name" | "full" | "fullName" | "display" if around.is_person => return Some(name),
            "id" if around.is_person => return Some(Field::Sure(Label::Id)),
            _ => {}
        }
        self.document.field(key)
    }

    fn object(&mut self, fields: &[(Value, Value)], outer_key: Option<&str>, outer: &Around) {
        let around = self.around(fields, outer_key, outer);
        let columns = self.columns(fields);
        for (name, value) in fields {
            let key = self.string(name);
            self.key(name, key);
            if self.stream.takes(self.view, fields, key, value) {
                continue;
            }
            if key == "reference" && matches!(value.kind, Kind::Text) {
                self.reference(value);
                continue;
            }
            if is_binary(key, self.string(value)) {
                let (start, end) = self.inner(value);
                self.document.tell_all(&self.view.part(start, end), Label::Id, "encoded-bytes");
                continue;
            }
            let quote = Some(self.document.bounds(self.view, name.end - 1, name.end));
            if columns
                .as_ref()
                .is_some_and(|columns| !is_of_columns(key) && self.rows(value, columns, quote))
            {
                continue;
            }
            // `{"ssn": {"0": …, "1": …}}`: a column, and its rows by their numbers.
            let (key, around) = match is_number(key) && outer_key.is_some() {
                true => (outer_key, outer),
                false => (Some(key), &around),
            };
            self.value(value, key, &Around { quote, ..around.clone() });
        }
    }

    /// What an object's own fields say of it.
    fn around(&self, fields: &[(Value, Value)], key: Option<&str>, outer: &Around) -> Around {
        const PERSONS: [&str; 6] =
            ["Patient", "RelatedPerson", "Person", "Practitioner", "patient", "member"];
        let mut around = Around::default();
        let mut personal = 0;
        let lower = key.unwrap_or("").to_ascii_lowercase();
        let (mut system, mut code, mut valued) = (false, false, false);
        let (mut has_fn, mut has_ln) = (false, false);
        for (name, value) in fields {
            let text = if matches!(value.kind, Kind::Text) { self.string(value) } else { "" };
            let name = self.string(name);
            match name {
                "family" | "given" => around.in_name = true,
                "fn" => has_fn = true,
                "ln" => has_ln = true,
                "postalCode" | "city" => around.in_address = true,
                "system" => system = true,
                "code" => code = true,
                "value" => valued = true,
                _ => {}
            }
            match name {
                "resourceType" => {
                    around.is_person |= PERSONS.contains(&text) && text != "Practitioner";
                    around.is_coverage |= text == "Coverage";
                }
                "reference" | "type" if is_person_reference(text) => around.to_person = true,
                "system" | "name" | "key" | "label" | "field" | "use" | "question" | "url"
                | "type" | "code" | "linkId" | "attribute" | "column" | "header" | "param" => {
                    let field =
                        if text.is_empty() { self.coded(value) } else { self.sibling(text) };
                    around.sibling = around.sibling.or(field);
                }
                key => {
                    let field = self.document.field(key);
                    let one =
                        matches!(
                            field,
                            Some(
                                Field::Number(Label::Mrn | Label::Ssn | Label::Phone)
                                    | Field::Sure(Label::Address | Label::Email)
                            )
                        ) || matches!(key, "gender" | "sex" | "dob" | "birthDate" | "birth_date");
                    personal += u32::from(one);
                }
            }
        }
        around.is_person |= personal >= 1 || is_person_key(&lower);
        around.in_name |= lower.ends_with("name");
        around.has_both = has_fn && has_ln;
        around.in_address |= lower.contains("address");
        around.is_code = system && code && !valued || lower == "coding";
        if around.sibling.is_none() && lower == "identifier" {
            around.sibling = Some(Field::Number(Label::Id));
        }
        around.in_name |= outer.in_name && lower.is_empty();
        // A class of a contract is a group, a plan or a subgroup, by its number or its letters.
        if outer.is_coverage && lower == "class" {
            around.sibling = Some(Field::Sure(Label::HealthPlanId));
        }
        around
    }

    /// What the text of a sibling says: the last part of a web address or of a path, too.
    fn sibling(&self, text: &str) -> Option<Field> {
        match text {
            "MR" => Some(Field::Number(Label::Mrn)),
            "SS" => Some(Field::Number(Label::Ssn)),
            "DL" => Some(Field::Number(Label::License)),
            "usual" | "official" | "home" | "work" => None,
            _ if text.len() > 120 => None,
            _ => self.document.field(text),
        }
    }

    /// The code inside a `type`: `{"coding": [{"code": "MR"}]}`.
    fn coded(&self, value: &Value) -> Option<Field> {
        match &value.kind {
            Kind::Object(fields) => {
                fields.iter().find_map(|(name, value)| match (self.string(name), &value.kind) {
                    ("code", Kind::Text) => self.sibling(self.string(value)),
                    ("coding", Kind::List(_)) => self.coded(value),
                    _ => None,
                })
            }
            Kind::List(values) => values.iter().find_map(|value| self.coded(value)),
            _ => None,
        }
    }

    /// `Patient/PT014894`: what stands behind the kind.
    fn reference(&mut self, value: &Value) {
        let (start, end) = self.inner(value);
        let text = self.view.text.get(start..end).unwrap_or("");
        match text.rsplit_once('/') {
            Some((kind, _)) if is_person_reference(text) => {
                let view = self.view.part(start + kind.len() + 1, end);
                self.document.tell_all(&view, Label::Id, "reference");
            }
            _ => {
                let view = self.view.unescaped(start, end);
                self.document.value(&view, Some(Field::Code), self.depth);
            }
        }
    }

    /// A key may be a name or a number itself: `{"Jane Roe": …}`.
    fn key(&mut self, name: &Value, key: &str) {
        let (start, end) = self.inner(name);
        let digits = key.bytes().filter(u8::is_ascii_digit).count();
        let named = key.contains(' ') && key.starts_with(|sign: char| sign.is_uppercase());
        if named && self.document.field(key).is_none() {
            let view = self.view.unescaped(start, end);
            if names::reads_like_name(&Text::new(&view.text)) {
                self.document.tell_all(&view, Label::Name, "name-as-key");
            }
        } else if digits >= 5 || key.contains('@') {
            let view = self.view.unescaped(start, end);
            self.document.plain(&view);
        }
    }
}

/// The object under this key is of a person.
fn is_person_key(key: &str) -> bool {
    matches!(
        key,
        "patient"
            | "subject"
            | "member"
            | "subscriber"
            | "guarantor"
            | "user"
            | "customer"
            | "person"
            | "contact"
            | "beneficiary"
    )
}

fn is_number(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_person_reference(text: &str) -> bool {
    let mut parts = text.rsplit('/').skip(1);
    matches!(parts.next(), Some("Patient" | "RelatedPerson" | "Person"))
        || matches!(text, "Patient" | "RelatedPerson" | "Person")
}

/// The data of an image or a document, or a signature: bytes, not text.
fn is_binary(key: &str, text: &str) -> bool {
    const BINARY_BYTES_MIN: usize = 64;
    matches!(key, "data" | "signature" | "encrypted_content")
        && text.len() >= BINARY_BYTES_MIN
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_python_are_read_and_text_is_not() {
        let whole = |text| parse(text, 0).map(|value| value.end);
        assert_eq!(whole(r#"{"a":[1,{"b":"}"}]} x"#), Some(19));
        assert_eq!(whole("{'a': None, 'b': 'it'}"), Some(22));
        assert_eq!(whole(r#"{"a":"cut of"#), Some(12));
        for text in
            ["[NAME] was", "{x: 1}", "[1, 2]", "{}", "[see below]", "[[ MRN 0921098", "[[1], [2]"]
        {
            assert_eq!(whole(text), None, "{text}");
        }
    }
}
