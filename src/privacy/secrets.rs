//! Keys, tokens and passwords: forms that are nothing else.
//!
//! The prefixes are those the issuers publish. Each begins with letters that a scan for bytes finds
//! quickly; the pattern is asked there alone.

use std::sync::LazyLock;

use regex::bytes::Regex;

use super::cue::Cues;
use super::finding::Finding;
use super::label::Label;
use super::text::Text;
use super::token::{Kind, Token};

/// What a secret may begin with: the rule's name and its pattern.
const FORMS: &[(&str, &str)] = &[
    ("anthropic-key", r"sk-ant-[A-Za-z0-9_-]{8,}"),
    ("weighbridge-key", r"wbk_[A-Za-z0-9_-]{8,}"),
    ("api-key", r"sk-(?:proj-|live-|test-)?[A-Za-z0-9_-]{20,}"),
    ("stripe-key", r"(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("aws-key", r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}"),
    ("github-token", r"gh[pousr]_[A-Za-z0-9]{20,}"),
    ("github-token", r"github_pat_[A-Za-z0-9_]{22,}"),
    ("gitlab-token", r"glpat-[A-Za-z0-9_-]{20,}"),
    ("slack-token", r"xox[abeprs]-[A-Za-z0-9-]{10,}"),
    ("google-key", r"AIza[A-Za-z0-9_-]{30,}"),
    ("npm-token", r"npm_[A-Za-z0-9]{30,}"),
    ("pypi-token", r"pypi-[A-Za-z0-9_-]{40,}"),
    ("hf-token", r"hf_[A-Za-z0-9]{30,}"),
    ("jwt", r"eyJ[A-Za-z0-9_-]{8,900}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    ("bearer", r"(?i:bearer|basic) +[A-Za-z0-9._~+/=-]{16,}"),
    ("pem", r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)"),
    ("password-in-url", r"[a-z][a-z0-9+]{1,12}://[^\s/:@]{1,64}:[^\s/@]{1,128}@[^\s/]+"),
];

/// The same that a word or a piece with digits begins: looked at there alone.
const FORMS_OF_ISSUERS: &[(&str, &str)] = &[
    ("sendgrid-key", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("digitalocean-token", r"do[por]_v1_[a-f0-9]{32,}"),
    ("shopify-token", r"shp(?:at|ss|ca|pa)_[A-Fa-f0-9]{24,}"),
    ("grafana-token", r"(?:glsa|glc)_[A-Za-z0-9+/=_]{24,}"),
    ("vault-token", r"hv[sb]\.[A-Za-z0-9_-]{20,}"),
    ("linear-key", r"lin_api_[A-Za-z0-9]{24,}"),
    ("figma-token", r"figd_[A-Za-z0-9_-]{20,}"),
    ("sentry-token", r"sntry[su]_[A-Za-z0-9+/=_-]{20,}"),
    ("rubygems-key", r"rubygems_[a-f0-9]{32,}"),
    ("docker-token", r"dckr_pat_[A-Za-z0-9_-]{20,}"),
    ("webhook-secret", r"whsec_[A-Za-z0-9+/=]{20,}"),
    ("postman-key", r"PMAK-[a-f0-9-]{24,}"),
    ("gitlab-token", r"gl(?:rt|dt|ptt|oas|cbt)-[A-Za-z0-9_-]{20,}"),
    ("newrelic-key", r"NRAK-[A-Z0-9]{20,}"),
    ("model-key", r"(?:nvapi-|gsk_|xai-|tvly-|pplx-)[A-Za-z0-9_-]{20,}"),
    ("tailscale-key", r"tskey-[a-z]+-[A-Za-z0-9-]{16,}"),
    ("contentful-token", r"CFPAT-[A-Za-z0-9_-]{32,}"),
    ("database-token", r"(?:pscale_(?:tkn|pw)_[A-Za-z0-9_-]{20,}|sbp_[a-f0-9]{32,})"),
    ("mailgun-key", r"key-[0-9a-f]{32}\b"),
    ("hubspot-token", r"pat-[a-z]{2}\d-[0-9a-f-]{32,}"),
    ("slack-token", r"xapp-[A-Za-z0-9-]{16,}|xox[cdo]-[A-Za-z0-9-]{10,}"),
    ("sourcegraph-token", r"sgp_[A-Fa-f0-9_]{32,}"),
    ("age-key", r"AGE-SECRET-KEY-1[A-Z0-9]{32,}"),
    ("google-token", r"ya29\.[A-Za-z0-9_-]{16,}"),
    ("square-token", r"sq0[a-z]{3}-[A-Za-z0-9_-]{16,}"),
    ("databricks-token", r"dapi[0-9a-f]{32}"),
    ("atlassian-token", r"AT[AC]TT3[A-Za-z0-9_=-]{20,}"),
    ("aws-key", r"(?:ABIA|ACCA)[A-Z0-9]{16}\b"),
    ("nuget-key", r"oy2[a-z0-9]{43}\b"),
    ("replicate-token", r"r8_[A-Za-z0-9]{30,}"),
    ("dynatrace-token", r"dt0[a-z]\d\d\.[A-Z0-9]{20,}\.[A-Z0-9]{40,}"),
];

/// All of them as one, which most places fail at once, and each.
static OF_ISSUERS: LazyLock<Option<(Regex, Vec<Regex>)>> = LazyLock::new(|| {
    let form = |(_, form): &(&str, &str)| format!("(?-u)^(?:{form})");
    let forms: Vec<String> = FORMS_OF_ISSUERS.iter().map(form).collect();
    let each: Option<Vec<Regex>> = forms.iter().map(|form| Regex::new(form).ok()).collect();
    Some((Regex::new(&forms.join("|")).ok()?, each?))
});

/// The secret of an issuer that begins at a token.
#[must_use]
pub fn of_issuer(text: &Text<'_>, at: usize) -> Option<Finding> {
    const PIECE_BYTES_MIN: usize = 20;
    let token = text.get(at)?;
    let joined = matches!(text.byte(token.end), Some(b'-' | b'_' | b'.'));
    let long = |token: &Token| token.len() >= PIECE_BYTES_MIN;
    let begins = match token.kind {
        Kind::Word => joined && token.cues.has(Cues::ISSUER),
        Kind::Mixed => long(token) || joined && text.get(at + 2).is_some_and(|it| it.len() > 7),
        _ => false,
    };
    let inside = matches!(text.byte_before(token.start), Some(b'_' | b'-'));
    if !begins || inside {
        return None;
    }
    let bytes = text.text.as_bytes();
    let rest = bytes.get(token.start..bytes.len().min(token.start + SECRET_BYTES_MAX))?;
    let (any, each) = OF_ISSUERS.as_ref()?;
    if !any.is_match(rest) {
        return None;
    }
    let (length, rule) = each
        .iter()
        .zip(FORMS_OF_ISSUERS)
        .find_map(|(form, (rule, _))| Some((form.find(rest)?.end(), *rule)))?;
    Some(Finding::new(token.start, token.start + length, Label::Secret, rule))
}

static SECRETS: LazyLock<Option<(Regex, Vec<Regex>)>> = LazyLock::new(|| {
    let each = FORMS.iter().map(|(_, form)| Regex::new(&format!("(?-u)^(?:{form})")));
    let each: Result<Vec<Regex>, _> = each.collect();
    let begins = Regex::new(
        "(?-u)(?:sk-|sk_|pk_|rk_|wbk_|AKIA|ASIA|AROA|AIDA|gh[pousr]_|github_pat_|glpat-|\
         xox[abeprs]-|AIza|npm_|pypi-|hf_|eyJ|[Bb]earer |BEARER |[Bb]asic |-----BEGIN |://)",
    );
    Some((begins.ok()?, each.ok()?))
});

/// How a client says who it is, before the secret that shows it.
#[must_use]
pub fn is_scheme(word: &str) -> bool {
    ["bearer", "basic", "token", "apikey", "digest"]
        .iter()
        .any(|scheme| scheme.eq_ignore_ascii_case(word))
}

/// Compiles the forms, so that no call has to wait for it.
pub fn load() {
    LazyLock::force(&SECRETS);
    LazyLock::force(&OF_ISSUERS);
}

/// None of the forms fits into fewer bytes: `a+://b:c@d` is the shortest.
const SECRET_BYTES_MIN: usize = 9;

/// The longest secret that is told whole, in bytes.
const SECRET_BYTES_MAX: usize = 8 * 1024;

/// Secrets in a text.
pub fn find(text: &str, found: &mut Vec<Finding>) {
    if text.len() < SECRET_BYTES_MIN {
        return;
    }
    let Some((begins, forms)) = SECRETS.as_ref() else { return };
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(begin) = begins.find_at(bytes, from) {
        from = begin.end();
        let mut start = begin.start();
        if begin.as_bytes() == b"://" {
            let scheme = bytes[..start].iter().rev().take_while(|b| b.is_ascii_alphanumeric());
            start -= scheme.count();
        } else if start > 0 && bytes[start - 1].is_ascii_alphanumeric() && !is_escape(bytes, start)
        {
            continue;
        }
        // No secret but a key in PEM is longer.
        let pem = begin.as_bytes().starts_with(b"-----");
        let bound = if pem { bytes.len() } else { bytes.len().min(start + SECRET_BYTES_MAX) };
        let rest = &bytes[start..bound];
        let hit = forms
            .iter()
            .zip(FORMS)
            .find_map(|(form, (rule, _))| form.find(rest).map(|hit| (hit.end(), *rule)));
        if let Some((length, rule)) = hit {
            let mut end = start + length;
            while !text.is_char_boundary(end) {
                end += 1;
            }
            found.push(Finding::new(start, end, Label::Secret, rule));
            from = from.max(end);
        }
    }
}

/// A word that is no word: letters and digits, or a sign that words do not have, and no spaces.
#[must_use]
pub fn is_like_password(text: &str) -> bool {
    const PASSWORD_BYTES_MIN: usize = 6;
    let has = |is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    let odd = |byte: u8| matches!(byte, b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*');
    let machine = text.bytes().any(|byte| matches!(byte, b'(' | b'/' | b'[' | b'<' | b'{' | b':'));
    text.len() >= PASSWORD_BYTES_MIN
        && !machine
        && !text.contains(char::is_whitespace)
        && has(u8::is_ascii_alphabetic)
        && (has(u8::is_ascii_digit) || text.bytes().any(odd))
}

/// `\\n`, `\\r` or `\\t` stands before this byte, written out as logs write them.
fn is_escape(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at.wrapping_sub(2)..at), Some(b"\\n" | b"\\r" | b"\\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_many_issuers_are_found() {
        for secret in [
            "sk-ant-api03-abcdefgh",
            "wbk_0123456789abcdef",
            "AKIAABCDEFGHIJKLMNOP",
            "ghp_0123456789abcdefghij0123",
            "xoxb-0123456789-abcdef",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0x.c2ln",
            "Bearer 0123456789abcdef0123",
            "postgres://app:hunter2@db.internal",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        ] {
            let text = format!("x {secret} y");
            let mut found = Vec::new();
            find(&text, &mut found);
            assert_eq!(found.len(), 1, "{secret}");
            assert_eq!(&text[found[0].start..found[0].end], secret);
        }
        let mut found = Vec::new();
        find("task-antibody basic training https://example.com/a eyJ", &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
}
