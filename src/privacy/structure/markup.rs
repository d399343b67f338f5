//! XML and HTML: clinical documents (C-CDA), FHIR in XML, and whatever else has tags.
//!
//! A text is read by the name of the tag it stands in, an attribute by its own name or by its
//! tag's.

use super::super::document::Document;
use super::super::key::Field;
use super::super::label::Label;
use super::super::view::View;

/// How many open tags are remembered.
const OPEN_MAX: usize = 128;

/// What stands behind this is text, whatever signs it holds.
const CHARACTERS: &str = "<![CDATA[";

/// The text begins with a tag, and closes one.
pub(super) fn is(text: &str) -> bool {
    let text = text.trim_start();
    let tag = text.as_bytes();
    tag.first() == Some(&b'<')
        && tag.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'?' | b'!'))
        && (text.contains("</") || text.contains("/>"))
}

/// Reads tags and texts.
pub(super) fn read(document: &mut Document<'_>, view: &View<'_>, depth: usize) {
    let text = view.text.as_ref();
    let mut open: Vec<String> = Vec::new();
    // What the cell before says of the next: `<td>MRN</td><td>…</td>`.
    let mut label: Option<Field> = None;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let Some(begin) = rest.find('<') else {
            content(document, &view.part(at, text.len()), &open, &mut label, depth);
            break;
        };
        if begin > 0 {
            content(document, &view.part(at, at + begin), &open, &mut label, depth);
        }
        let tag_start = at + begin;
        let Some(length) = tag_length(&text[tag_start..]) else {
            document.plain(&view.part(tag_start, text.len()));
            break;
        };
        tag(document, view, (tag_start, tag_start + length), &mut open, depth);
        at = tag_start + length;
    }
}

/// The length of a tag or comment.
fn tag_length(text: &str) -> Option<usize> {
    if text.starts_with("<!--") {
        return text.find("-->").map(|end| end + 3);
    }
    if text.starts_with(CHARACTERS) {
        return text.find("]]>").map(|end| end + 3);
    }
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            (None, b'>') => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A text between tags.
fn content(
    document: &mut Document<'_>,
    piece: &View<'_>,
    open: &[String],
    label: &mut Option<Field>,
    depth: usize,
) {
    let text = piece.text.trim();
    if text.is_empty() {
        return;
    }
    let tag = open.last().map_or("", String::as_str);
    let cell = matches!(tag, "td" | "th" | "dt" | "dd" | "b" | "strong" | "label" | "span");
    let before = if cell { label.take() } else { None };
    let own = field(document, tag, open);
    if cell && before.is_none() {
        let name = text.trim_end_matches(':');
        *label = document.field(name).filter(|_| !name.bytes().any(|byte| byte.is_ascii_digit()));
    }
    document.value(piece, own.or(before), depth);
}

/// What a tag's name says where it stands.
fn field(document: &Document<'_>, tag: &str, open: &[String]) -> Option<Field> {
    let inside = |wanted: &str| open.iter().rev().take(4).any(|tag| tag == wanted);
    match tag {
        "given" | "family" | "suffix" => Some(Field::Sure(Label::Name)),
        "prefix" | "title" | "td" | "th" | "p" | "li" | "content" | "paragraph" | "text"
        | "caption" => None,
        "name"
            if inside("representedOrganization")
                || inside("providerOrganization")
                || inside("serviceProviderOrganization")
                || inside("representedCustodianOrganization") =>
        {
            None
        }
        "name" => Some(Field::MaybeName),
        "streetAddressLine" | "line" => Some(Field::Sure(Label::Address)),
        "state" | "country" => Some(Field::Code),
        _ => document.field(tag),
    }
}

/// The attributes of a tag, a comment's text, and what opens and closes.
fn tag(
    document: &mut Document<'_>,
    view: &View<'_>,
    (start, end): (usize, usize),
    open: &mut Vec<String>,
    depth: usize,
) {
    let text = view.text.get(start..end).unwrap_or("");
    if text.starts_with("<!--") {
        return document.plain(&view.part(start + 4, end.saturating_sub(3).max(start + 4)));
    }
    if text.starts_with(CHARACTERS) {
        let inner = view.part(start + CHARACTERS.len(), end - 3);
        let field = open.last().and_then(|tag| field(document, tag, open));
        return document.value(&inner, field, depth);
    }
    if text.starts_with("</") {
        open.pop();
        return;
    }
    if text.starts_with("<?") || text.starts_with("<!") {
        return;
    }
    let inner = text.trim_start_matches('<');
    let length =
        inner.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).unwrap_or(inner.len());
    let name = inner.get(..length).unwrap_or("");
    let name = name.rsplit(':').next().unwrap_or(name).to_owned();
    let mut at = start + 1 + length;
    // `<add key="DbPassword" value="…"/>`: one attribute names the other.
    let mut named = None;
    while let Some((key, from, to)) = attribute(&view.text, at, end) {
        let piece = view.part(from, to);
        let field = match key {
            "value" if named.is_some() => named,
            _ => attribute_field(document, &name, key, &piece.text),
        };
        if matches!(key, "key" | "name" | "id") {
            named = document.field(&piece.text);
        }
        document.value(&piece, field, depth);
        at = to + 1;
    }
    if !text.ends_with("/>") && open.len() < OPEN_MAX {
        open.push(name);
    }
}

/// The next attribute of a tag: its name and where its value stands.
fn attribute(text: &str, from: usize, end: usize) -> Option<(&str, usize, usize)> {
    let rest = text.get(from..end)?;
    let equals = rest.find('=')?;
    let key = rest.get(..equals)?.trim();
    let quote = rest.get(equals + 1..)?.trim_start().chars().next()?;
    let open = equals + 1 + rest.get(equals + 1..)?.find(quote)?;
    if !matches!(quote, '"' | '\'') {
        return None;
    }
    let close = open + 1 + rest.get(open + 1..)?.find(quote)?;
    let key = key.rsplit([':', ' ']).next().unwrap_or(key);
    Some((key, from + open + 1, from + close))
}

fn attribute_field(document: &Document<'_>, tag: &str, key: &str, value: &str) -> Option<Field> {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    match key {
        "extension" if digits >= 3 => Some(Field::Number(Label::Id)),
        "root" | "code" | "codeSystem" | "codeSystemName" | "displayName" | "classCode"
        | "moodCode" | "typeCode" | "use" | "type" | "unit" | "templateId" | "nullFlavor"
        | "xmlns" | "schemaLocation" | "class" | "style" | "lang" => Some(Field::Code),
        "value"
            if tag.to_ascii_lowercase().ends_with("time")
                || matches!(tag, "low" | "high" | "center") =>
        {
            (digits >= 8).then_some(Field::Date).or(Some(Field::Code))
        }
        "value" if tag == "telecom" && digits >= 7 => Some(Field::Number(Label::Phone)),
        "value" => match tag {
            "given" | "family" => Some(Field::Sure(Label::Name)),
            "line" => Some(Field::Sure(Label::Address)),
            "id" if digits >= 4 => Some(Field::Number(Label::Id)),
            _ => document.field(tag),
        },
        _ => document.field(key),
    }
}
