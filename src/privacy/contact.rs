//! Mail addresses and web addresses.

use std::sync::LazyLock;

use memchr::memchr_iter;
use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::finding::Finding;
use super::label::Label;
use super::logins;

/// Hosts whose addresses name things of the trade, never a person.
const TRADE_HOSTS: [&str; 22] = [
    "hl7.org",
    "loinc.org",
    "snomed.info",
    "unitsofmeasure.org",
    "w3.org",
    "ietf.org",
    "iana.org",
    "schema.org",
    "json-schema.org",
    "github.com",
    "githubusercontent.com",
    "gitlab.com",
    "crates.io",
    "docs.rs",
    "pypi.org",
    "npmjs.com",
    "npmjs.org",
    "python.org",
    "rust-lang.org",
    "anthropic.com",
    "nih.gov",
    "localhost",
];

static SCHEME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("://"));
static WORLD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("www."));

/// What an address that is spelled out has in it.
static SPELLED: LazyLock<Option<(Regex, Regex)>> = LazyLock::new(|| {
    let hint = Regex::new(r"(?-u)(?i: dot |[\[(]dot[\])]|[\[(]at[\])])").ok()?;
    let mail = concat!(
        r"(?-u)(?i)\b[a-z0-9][a-z0-9._+-]*(?: (?:dot|underscore|dash|hyphen) [a-z0-9_]+){0,3}",
        r" ?(?: at | @ |[\[(]at[\])]|@) ?[a-z0-9-]+(?:(?: dot | ?[\[(]dot[\])] ?|\.)[a-z0-9-]+){0,3}",
        r"(?: dot | ?[\[(]dot[\])] ?|\.)(?:com|org|net|edu|gov|mil|info|io|co|us|uk|ca|de|fr|es)\b",
    );
    Some((hint, Regex::new(mail).ok()?))
});

/// Words that stand before the address of a site.
const NO_NAMES: [&str; 12] =
    ["look", "go", "is", "are", "us", "me", "them", "found", "available", "site", "page", "online"];

/// `jane dot roe at example dot com`, `jane (at) example.com`.
fn spelled(bytes: &[u8], found: &mut Vec<Finding>) {
    const ADDRESS_BYTES_MAX: usize = 96;
    let Some((hint, mail)) = SPELLED.as_ref() else { return };
    let mut from = 0;
    while let Some(at) = hint.find_at(bytes, from) {
        let end = bytes.len().min(at.end() + ADDRESS_BYTES_MAX);
        let start = from.max(at.start().saturating_sub(ADDRESS_BYTES_MAX));
        from = at.end();
        for hit in mail.find_iter(bytes.get(start..end).unwrap_or(&[])) {
            let (first, last) = (start + hit.start(), start + hit.end());
            // `see us at example dot com` tells of a place in the web.
            let local = hit.as_bytes().split(|byte| *byte == b' ').next().unwrap_or(&[]);
            if NO_NAMES.iter().any(|word| local.eq_ignore_ascii_case(word.as_bytes())) {
                continue;
            }
            found.push(Finding::new(first, last, Label::Email, "mail-spelled"));
            from = from.max(last);
        }
    }
}

/// Compiles the forms, so that no call has to wait for it.
pub fn load() {
    LazyLock::force(&SPELLED);
}

/// Mail addresses and web addresses in a text.
pub fn find(text: &str, own_hosts: &[String], found: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    spelled(bytes, found);
    for at in memchr_iter(b'@', bytes) {
        if let Some((start, end)) = mail(bytes, at) {
            found.push(Finding::new(start, end, Label::Email, "mail"));
        } else {
            found.extend(logins::before_host(text, at));
        }
    }
    // A web address may hold another; it is read once.
    let mut end = 0;
    for at in SCHEME.find_iter(bytes) {
        if at >= end {
            end = url(text, at, own_hosts, found).unwrap_or(end);
        }
    }
    let mut end = 0;
    for at in WORLD.find_iter(bytes) {
        let led =
            at > 0 && !bytes[at - 1].is_ascii_whitespace() && !b"(<\"'".contains(&bytes[at - 1]);
        if !led && at >= end {
            end = url_end(bytes, at);
            push_url(text, (at, at, end), own_hosts, found);
        }
    }
}

/// The bounds of the mail address about an `@`.
fn mail(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    const LOCAL_BYTES_MAX: usize = 64;
    let local = |byte: &&u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
            || **byte >= 0x80
    };
    let before = &bytes[at.saturating_sub(LOCAL_BYTES_MAX)..at];
    let mut start = at - before.iter().rev().take_while(local).count();
    while start < at && (matches!(bytes[start], b'.' | b'\'' | b'-') || bytes[start] & 0xc0 == 0x80)
    {
        start += 1;
    }
    let rest = &bytes[at + 1..];
    let host = rest.iter().take_while(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || **byte >= 0x80
    });
    let mut end = at + 1 + host.count();
    while end > at + 1 && (matches!(bytes[end - 1], b'.' | b'-')) {
        end -= 1;
    }
    while end > at + 1 && bytes.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    let host = bytes.get(at + 1..end)?;
    let dot = host.iter().rposition(|byte| *byte == b'.')?;
    let top = host.get(dot + 1..)?;
    let named = top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic);
    (start < at && named).then_some((start, end))
}

/// The longest scheme.
const SCHEME_BYTES_MAX: usize = 32;

/// The longest web address that is read as one; what follows is read as text again.
const URL_BYTES_MAX: usize = 4_096;

/// The byte after a web address, at the beginning of a sign.
fn url_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or(&[]);
    let rest = rest.get(..URL_BYTES_MAX).unwrap_or(rest);
    let inside = |byte: &&u8| {
        !byte.is_ascii_whitespace()
            && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'`' | b'|' | b'{' | b'}')
    };
    let mut end = from + rest.iter().take_while(inside).count();
    while end > from
        && matches!(bytes[end - 1], b'.' | b',' | b';' | b':' | b')' | b']' | b'\'' | b'!' | b'?')
    {
        end -= 1;
    }
    while end > from && !is_boundary(bytes, end) {
        end -= 1;
    }
    end
}

/// A sign begins at this byte, or the text ends.
fn is_boundary(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)
}

fn url(text: &str, at: usize, own_hosts: &[String], found: &mut Vec<Finding>) -> Option<usize> {
    let bytes = text.as_bytes();
    let scheme = bytes[..at]
        .iter()
        .rev()
        .take(SCHEME_BYTES_MAX)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-'))
        .count();
    if scheme == 0 {
        return None;
    }
    let end = url_end(bytes, at + 3);
    push_url(text, (at - scheme, at + 3, end), own_hosts, found);
    Some(end)
}

fn push_url(
    text: &str,
    (start, host_start, end): (usize, usize, usize),
    own_hosts: &[String],
    found: &mut Vec<Finding>,
) {
    let rest = text.get(host_start..end).unwrap_or("");
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or("").to_ascii_lowercase();
    let path = rest.get(host.len()..).unwrap_or("");
    let is =
        |own: &str| host == own || host.strip_suffix(own).is_some_and(|head| head.ends_with('.'));
    let trade = TRADE_HOSTS.iter().any(|own| is(own)) || host.starts_with("127.");
    let own = own_hosts.iter().any(|own| is(own));
    if host.is_empty() || trade || own && !path.bytes().any(|byte| byte.is_ascii_digit()) {
        return;
    }
    found.push(Finding::new(start, end, Label::Url, "url"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &["own.example".to_owned()], &mut found);
        found.iter().map(|finding| &text[finding.start..finding.end]).collect()
    }

    #[test]
    fn mail_and_web_addresses_end_where_they_end() {
        assert_eq!(
            all("To <jane.o'doe+x@mail.example.org>, or."),
            ["jane.o'doe+x@mail.example.org"]
        );
        assert_eq!(
            all("see https://records.example.com/patient/0817918."),
            ["https://records.example.com/patient/0817918"]
        );
        assert_eq!(all("at www.example.net/a, too"), ["www.example.net/a"]);
        let spelled = "jane dot o_roe at mail dot example dot com";
        assert_eq!(all(&format!("write {spelled}, or")), [spelled]);
        assert!(all("see us at example dot com, look at it").is_empty());
        assert_eq!(all("x roe [at] example [dot] org y"), ["roe [at] example [dot] org"]);
    }

    #[test]
    fn what_names_nobody_is_left() {
        for text in [
            "http://terminology.hl7.org/CodeSystem/v2-0203",
            "https://github.com/a/b and http://localhost:8484/x",
            "user@host and @decorator and a @ b",
            "https://own.example/help",
        ] {
            assert!(all(text).is_empty(), "{text}");
        }
        assert_eq!(all("https://own.example/p/1234").len(), 1);
    }
}
