//! What a request's headers say, and which of them go on.

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

use crate::accounting::attribution::CredentialHash;

/// Most bytes of header names and values together.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most asserted tags kept of one request.
pub const TAGS_MAX: usize = 16;
/// The longest name of a tag.
const TAG_NAME_BYTES_MAX: usize = 64;
/// Our own request headers: asserted facts, taken off before anything goes upstream.
const OURS: &str = "x-weighbridge-";
/// Names the exchange in every response.
pub const EXCHANGE_HEADER: HeaderName = HeaderName::from_static("x-weighbridge-exchange");

/// Headers that belong to one connection and not to the message (RFC 9110 §7.6.1), and `expect`,
/// which the sidecar has answered itself by the time a request goes on.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::EXPECT,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SESSION: &str = "x-claude-code-session-id";
const AGENT: &str = "x-claude-code-agent-id";
const PARENT_AGENT: &str = "x-claude-code-parent-agent-id";
const RETRY_COUNT: &str = "x-stainless-retry-count";
const TRACEPARENT: &str = "traceparent";

/// What the tokens of OAuth logins begin with: Claude subscriptions, and workload identities.
const OAUTH_PREFIX: &[u8] = b"sk-ant-oat";

/// Who asked, as seen on the wire. Holds copies of a few values, never the credential.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The credential's hash.
    pub key: Option<CredentialHash>,
    /// The client's session id.
    pub session: Option<Vec<u8>>,
    /// The client's agent id.
    pub agent: Option<Vec<u8>>,
    /// The agent that started this one.
    pub parent_agent: Option<Vec<u8>>,
    /// The client's trace context.
    pub traceparent: Option<Vec<u8>>,
    /// The client says that this is a repetition.
    pub repeats: bool,
    /// All it sends upstream are tokens of OAuth logins.
    pub subscription: bool,
    /// Asserted tags: name and value.
    pub tags: Vec<(String, Vec<u8>)>,
}

/// Bytes of all names and values.
pub fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// What the two credential headers hold, `x-api-key` first.
fn credentials(headers: &HeaderMap) -> [Option<&[u8]>; 2] {
    let key = headers.get(API_KEY).map(HeaderValue::as_bytes);
    let bearer = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let bearer = bearer.and_then(|value| {
        let (scheme, token) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    [key, bearer]
}

/// Whether what goes upstream is tokens of OAuth logins alone: with an API key beside one, it is
/// not published which of them pays.
pub fn is_oauth(headers: &HeaderMap) -> bool {
    let mut all = credentials(headers).into_iter().flatten().peekable();
    all.peek().is_some() && all.all(|credential| credential.starts_with(OAUTH_PREFIX))
}

/// The credential that decides who pays: a virtual key in either header wins over any other.
pub fn credential(headers: &HeaderMap) -> Option<&[u8]> {
    let is_virtual = |credential: &&[u8]| credential.starts_with(b"wbk_");
    let both = credentials(headers);
    let found = both.iter().flatten().find(|credential| is_virtual(credential));
    found.or_else(|| both.iter().flatten().next()).copied()
}

/// Reads the caller and takes our own headers off. `key` is the credential's hash.
pub fn take_caller(headers: &mut HeaderMap, key: Option<CredentialHash>) -> Caller {
    let copy = |name: &str| headers.get(name).map(|value| value.as_bytes().to_vec());
    let mut caller = Caller {
        key,
        session: copy(SESSION),
        agent: copy(AGENT),
        parent_agent: copy(PARENT_AGENT),
        traceparent: copy(TRACEPARENT),
        repeats: copy(RETRY_COUNT).is_some_and(|count| !matches!(count.as_slice(), b"0" | b"")),
        subscription: false,
        tags: Vec::new(),
    };
    if !headers.keys().any(|name| name.as_str().starts_with(OURS)) {
        return caller;
    }
    let ours: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(OURS)).cloned().collect();
    for name in ours {
        let Some(value) = headers.remove(&name) else { continue };
        let asserted = name.as_str().trim_start_matches(OURS);
        let tag = match asserted {
            "project" | "task" => Some(asserted),
            _ => asserted.strip_prefix("tag-"),
        };
        // A name that is no identifier cannot be kept, and its hash would say nothing.
        let plain = |tag: &&str| {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            (1..=TAG_NAME_BYTES_MAX).contains(&tag.len()) && tag.bytes().all(is_plain)
        };
        if let Some(tag) = tag.filter(plain)
            && caller.tags.len() < TAGS_MAX
        {
            caller.tags.push((tag.to_owned(), value.as_bytes().to_vec()));
        }
    }
    caller
}

/// Takes off what belongs to the connection, with what `connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Puts the upstream's own key in the place of a virtual one. Both credential headers go: the
/// other one could hold a second credential of the caller's.
pub fn replace_credential(headers: &mut HeaderMap, mut key: HeaderValue) {
    key.set_sensitive(true);
    headers.remove(header::AUTHORIZATION);
    headers.insert(API_KEY, key);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_virtual_key_wins_in_either_header() {
        let both = headers(&[("x-api-key", "sk-ant-1"), ("authorization", "Bearer wbk_1")]);
        assert_eq!(credential(&both), Some(&b"wbk_1"[..]));
        let plain = headers(&[("x-api-key", "sk-ant-1"), ("authorization", "Bearer t")]);
        assert_eq!(credential(&plain), Some(&b"sk-ant-1"[..]));
        assert_eq!(credential(&headers(&[("authorization", "Basic x")])), None);
    }

    #[test]
    fn an_oauth_token_alone_is_a_login() {
        let login = ("authorization", "Bearer sk-ant-oat01-x");
        for (pairs, oauth) in [
            (&[login][..], true),
            (&[("x-api-key", "sk-ant-oat01-x"), login], true),
            (&[("x-api-key", "sk-ant-api03-x"), login], false),
            (&[("authorization", "Bearer sk-ant-api03-x")], false),
            (&[], false),
        ] {
            assert_eq!(is_oauth(&headers(pairs)), oauth, "{pairs:?}");
        }
    }

    #[test]
    fn our_headers_and_the_connections_are_taken_off() {
        let mut map = headers(&[
            ("x-weighbridge-project", "p"),
            ("x-weighbridge-tag-env", "ci"),
            ("x-weighbridge-unknown", "u"),
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("anthropic-beta", "kept"),
        ]);
        let caller = take_caller(&mut map, None);
        strip_hop_by_hop(&mut map);
        let kept: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(kept, ["anthropic-beta"]);
        let tags: Vec<&str> = caller.tags.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(tags, ["project", "env"]);
    }
}
