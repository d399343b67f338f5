//! Which form of the API a request uses, from its method and path.
//!
//! This decides what is metered, never what is forwarded. A path is normalised before it is
//! compared (doubled slashes, `..`, `;parameters`, percent escapes, case), so that a spelling an
//! upstream may accept cannot dodge metering. Any prefix is allowed: gateways and Foundry put
//! the API below a path of their own.

use crate::accounting::price_book::Platform;
use crate::record::exchange::Endpoint;

/// The longest path that is normalised; the rest of a longer one is not looked at.
const PATH_BYTES_MAX: usize = 8 * 1024;

/// The longest model name taken from a path. Bedrock's profile ARNs reach about 150 bytes.
const MODEL_BYTES_MAX: usize = 256;

/// What Bedrock is asked for at the end of a path: an answer at once, or a stream.
const BEDROCK_ANSWERS: [&str; 2] = ["invoke", "converse"];
const BEDROCK_STREAMS: [&str; 2] = ["invoke-with-response-stream", "converse-stream"];

/// What a path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The form of the API.
    pub endpoint: Endpoint,
    /// The model, where the path names it (Bedrock, Vertex, one model of `/v1/models`).
    pub model: Option<String>,
    /// Whether a stream is asked for, where the path says so; else the body does.
    pub streamed: Option<bool>,
    /// Where the model runs, where the path says so and its name does not.
    pub platform: Option<Platform>,
    /// What is done with a batch.
    pub batch: Option<BatchStep>,
}

/// What a request does with a message batch, as far as it matters to its bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchStep {
    /// It creates one: the response names it.
    Create,
    /// It fetches the results of the one with this id.
    Results(String),
}

impl Route {
    const fn plain(endpoint: Endpoint) -> Route {
        Route { endpoint, model: None, streamed: None, platform: None, batch: None }
    }
}

/// Classifies a request. `path` comes without the query.
#[must_use]
pub fn classify(method: &str, path: &str) -> Route {
    let post = method.eq_ignore_ascii_case("POST");
    if post && path == "/v1/messages" {
        return Route::plain(Endpoint::Messages);
    }
    let path = path.as_bytes();
    let path = &path[..path.len().min(PATH_BYTES_MAX)];
    // First segment by segment: a model's ARN holds an escaped slash that does not separate.
    let segments: Vec<Vec<u8>> = path.split(|byte| *byte == b'/').map(unescape).collect();
    let route = of_segments(post, &resolve(segments.iter().map(Vec::as_slice)));
    if route.endpoint != Endpoint::Other || memchr::memchr2(b'%', b'\\', path).is_none() {
        return route;
    }
    // Then as an upstream would read it that unescapes first.
    let whole = unescape(&unescape(path));
    of_segments(post, &resolve(whole.split(|byte| matches!(byte, b'/' | b'\\'))))
}

/// Drops empty and `.` segments, parameters and blanks, and applies `..`.
fn resolve<'a>(segments: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    let mut resolved = Vec::with_capacity(8);
    for segment in segments {
        let end = segment.iter().position(|byte| *byte == b';').unwrap_or(segment.len());
        let segment = trim(&segment[..end]);
        match segment {
            b"" | b"." => {}
            b".." => {
                resolved.pop();
            }
            _ => resolved.push(segment),
        }
    }
    resolved
}

fn of_segments(post: bool, segments: &[&[u8]]) -> Route {
    if let Some(route) = of_cloud(post, segments) {
        return route;
    }
    let Some(at) = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case(b"v1")) else {
        return Route::plain(Endpoint::Other);
    };
    let mut tail = segments[at + 1..].iter();
    let resource = tail.next().copied().unwrap_or_default();
    let rest: Vec<&[u8]> = tail.copied().collect();
    if resource.eq_ignore_ascii_case(b"messages") {
        return Route::plain(match rest.as_slice() {
            [] if post => Endpoint::Messages,
            [verb] if post && verb.eq_ignore_ascii_case(b"count_tokens") => Endpoint::CountTokens,
            [first, rest @ ..] if first.eq_ignore_ascii_case(b"batches") => {
                return Route { batch: batch_step(post, rest), ..Route::plain(Endpoint::Batches) };
            }
            _ => Endpoint::Other,
        });
    }
    let asks = match rest.as_slice() {
        [] => resource.eq_ignore_ascii_case(b"complete"),
        [verb] => {
            resource.eq_ignore_ascii_case(b"chat") && verb.eq_ignore_ascii_case(b"completions")
        }
        _ => false,
    };
    if post && asks {
        return Route::plain(Endpoint::Completions);
    }
    if resource.eq_ignore_ascii_case(b"models") && rest.len() <= 1 {
        let model = rest.first().and_then(|name| model_name(name));
        return Route { model, ..Route::plain(Endpoint::Models) };
    }
    Route::plain(Endpoint::Other)
}

/// What follows `batches`.
fn batch_step(post: bool, rest: &[&[u8]]) -> Option<BatchStep> {
    match rest {
        [] if post => Some(BatchStep::Create),
        [id, verb] if !post && verb.eq_ignore_ascii_case(b"results") => {
            // Whatever the id is, its results cost money.
            let id = String::from_utf8_lossy(&id[..id.len().min(MODEL_BYTES_MAX)]);
            Some(BatchStep::Results(id.into_owned()))
        }
        _ => None,
    }
}

/// Bedrock's `…/model/{id}/{verb}` and Vertex's `…/models/{id}:{verb}`.
fn of_cloud(post: bool, segments: &[&[u8]]) -> Option<Route> {
    let (last, before) = segments.split_last()?;
    if !post {
        return None;
    }
    if let [.., parent, id] = before
        && parent.eq_ignore_ascii_case(b"model")
    {
        let is = |verb: &&str| last.eq_ignore_ascii_case(verb.as_bytes());
        let streamed = BEDROCK_STREAMS.iter().any(&is);
        if streamed || BEDROCK_ANSWERS.iter().any(is) {
            let (model, streamed) = (model_name(of_profile(id)), Some(streamed));
            return Some(Route { model, streamed, ..Route::plain(Endpoint::Bedrock) });
        }
    }
    if !before.last()?.eq_ignore_ascii_case(b"models") {
        return None;
    }
    let colon = last.iter().rposition(|byte| *byte == b':')?;
    let (id, verb) = (&last[..colon], &last[colon + 1..]);
    let streamed = verb.eq_ignore_ascii_case(b"streamRawPredict");
    if !streamed && !verb.eq_ignore_ascii_case(b"rawPredict") {
        return None;
    }
    if id.eq_ignore_ascii_case(b"count-tokens") {
        return Some(Route::plain(Endpoint::CountTokens));
    }
    let platform = location(before).map(|location| match location {
        b"global" => Platform::Direct,
        _ => Platform::VertexRegional,
    });
    let (model, streamed) = (model_name(id), Some(streamed));
    Some(Route { model, streamed, platform, ..Route::plain(Endpoint::Vertex) })
}

/// Vertex's `…/locations/{location}/…`.
fn location<'a>(segments: &[&'a [u8]]) -> Option<&'a [u8]> {
    let mut pairs = segments.windows(2).rev();
    pairs.find_map(|pair| pair[0].eq_ignore_ascii_case(b"locations").then_some(pair[1]))
}

/// The model's name in the ARN of a foundation model or of a system's profile. What an account's
/// own profile stands for, its ARN does not say.
fn of_profile(id: &[u8]) -> &[u8] {
    let tail = id.rsplit(|byte| *byte == b'/').next().unwrap_or(id);
    if memchr::memmem::find(tail, b"anthropic.").is_some() { tail } else { id }
}

fn model_name(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?;
    (1..=MODEL_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte <= b' ';
    let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    &bytes[start..end]
}

/// Resolves `%xx`; an escape that is none stays as it is.
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        let escape = match tail {
            [high, low, after @ ..] if byte == b'%' => {
                digit(*high).zip(digit(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            _ => None,
        };
        let (byte, tail) = escape.unwrap_or((byte, tail));
        out.push(byte);
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(path: &str) -> Endpoint {
        classify("POST", path).endpoint
    }

    #[test]
    fn the_documented_paths_are_told_apart() {
        assert_eq!(endpoint("/v1/messages"), Endpoint::Messages);
        assert_eq!(endpoint("/anthropic/v1/messages"), Endpoint::Messages);
        assert_eq!(endpoint("/v1/messages/count_tokens"), Endpoint::CountTokens);
        assert_eq!(endpoint("/v1/messages/batches"), Endpoint::Batches);
        assert_eq!(classify("GET", "/v1/messages/batches/b_1/results").endpoint, Endpoint::Batches);
        assert_eq!(classify("GET", "/v1/models").endpoint, Endpoint::Models);
        assert_eq!(
            classify("GET", "/v1/models/claude-opus-5-5").model.as_deref(),
            Some("claude-opus-5-5")
        );
        for asks in ["/v1/complete", "/v1//Chat/completions"] {
            assert_eq!(endpoint(asks), Endpoint::Completions, "{asks}");
        }
        assert_eq!(classify("GET", "/v1/complete").endpoint, Endpoint::Other);
        for other in ["/", "", "/v1", "/v1/complete/x", "/v1/messages/x", "/v1/models/a/b"] {
            assert_eq!(endpoint(other), Endpoint::Other, "{other}");
        }
        assert_eq!(classify("GET", "/v1/messages").endpoint, Endpoint::Other);
        assert_eq!(classify("HEAD", "/api/hello").endpoint, Endpoint::Other);
    }

    #[test]
    fn clouds_name_the_model_in_the_path() {
        let route = classify("POST", "/model/us.anthropic.claude-opus-5-5/invoke");
        assert_eq!(route.endpoint, Endpoint::Bedrock);
        assert_eq!(route.model.as_deref(), Some("us.anthropic.claude-opus-5-5"));
        assert_eq!(route.streamed, Some(false));

        let arn = "/bedrock/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fp1\
                   /invoke-with-response-stream";
        let route = classify("POST", arn);
        assert_eq!(route.endpoint, Endpoint::Bedrock);
        assert_eq!(
            route.model.as_deref(),
            Some("arn:aws:bedrock:us-east-1:1:inference-profile/p1")
        );
        assert_eq!(route.streamed, Some(true));

        let base = "/v1/projects/p/locations/global/publishers/anthropic/models/";
        let route = classify("POST", &format!("{base}claude-opus-4-1%4020250805:streamRawPredict"));
        assert_eq!(route.endpoint, Endpoint::Vertex);
        assert_eq!(route.model.as_deref(), Some("claude-opus-4-1@20250805"));
        assert_eq!(route.streamed, Some(true));
        let route = classify("POST", &format!("{base}claude-opus-5-5:rawPredict"));
        assert_eq!((route.endpoint, route.streamed), (Endpoint::Vertex, Some(false)));
        assert_eq!(endpoint(&format!("{base}count-tokens:rawPredict")), Endpoint::CountTokens);
    }

    #[test]
    fn no_spelling_dodges_metering() {
        for trick in [
            "//v1//messages",
            "/v1/messages/",
            "/v1/./messages",
            "/v1/x/../messages",
            "/v1/x/%2e%2e/messages",
            "/x/%2E./v1/messages",
            "/v1;a=b/messages;c",
            "/v1/%6d%65ssages",
            "/v1/%256dessages",
            "/v1%2fmessages",
            "/v1\\messages",
            "/V1/Messages",
            "/v1/messages%20",
            "/v1/messages%00",
            "/v1/complete/../../v1/messages",
        ] {
            assert_eq!(endpoint(trick), Endpoint::Messages, "{trick}");
        }
        assert_eq!(classify("post", "/v1/messages").endpoint, Endpoint::Messages);
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_classified(path in ".{0,80}", hostile in "[/%.;:a-f0-9]{0,40}") {
            let _ = classify("POST", &path);
            let prefixed = format!("{hostile}/%2e%2e/v1/messages");
            proptest::prop_assert_eq!(endpoint(&prefixed), Endpoint::Messages);
        }
    }
}
