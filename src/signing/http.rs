//! Posts to witnesses: C2SP `tlog-witness`, and notes to webhooks.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, StatusCode, Uri};

use crate::audit::merkle::Hash;
use crate::audit::note::{Note, SIGNATURES_MAX, Signature};
use crate::outbound::{Client, Route};

/// A whole post, connection and answer together.
const POST_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Why a witness does not hold a checkpoint: the metric's word, and what is said in the log.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) reason: &'static str,
    pub(super) what: String,
    /// Entries that the witness is known to hold.
    pub(super) holds: u64,
}

impl Problem {
    pub(super) fn new(reason: &'static str, what: impl Into<String>) -> Problem {
        Problem { reason, what: what.into(), holds: 0 }
    }
}

/// What a witness says to a checkpoint.
pub(super) enum Answer {
    /// It has taken it; these are its signature lines.
    Cosigned(Vec<Signature>),
    /// It holds a tree of another size.
    Holds(u64),
}

/// One witness's address.
pub(super) struct Post {
    address: Uri,
    client: Client<Full<Bytes>>,
}

impl Post {
    pub(super) fn new(address: &str, route: &Route) -> Result<Post> {
        let address: Uri = address.parse()?;
        let client = Client::new(&address, route)?;
        Ok(Post { address, client })
    }

    /// `add-checkpoint` of a witness that holds `old` entries.
    pub(super) async fn add(
        &self,
        old: u64,
        proof: &[Hash],
        note: &Note,
    ) -> Result<Answer, Problem> {
        let mut body = format!("old {old}\n");
        for hash in proof {
            let _ = writeln!(body, "{}", STANDARD.encode(hash.as_bytes()));
        }
        let _ = write!(body, "\n{note}");
        let (status, answer) = self.send(body).await?;
        let text = std::str::from_utf8(&answer).unwrap_or_default();
        let refused =
            |why: &str| Err(Problem::new("refused", format!("status {}: {why}", status.as_u16())));
        match status {
            StatusCode::OK => signatures(text).map(Answer::Cosigned),
            StatusCode::CONFLICT => match text.strip_suffix('\n').unwrap_or(text).parse() {
                Ok(size) => Ok(Answer::Holds(size)),
                Err(_) => Err(Problem::new("invalid", "a 409 that names no size")),
            },
            StatusCode::NOT_FOUND => refused("it does not know this instance"),
            StatusCode::FORBIDDEN => refused("it does not know this instance's key"),
            StatusCode::UNPROCESSABLE_ENTITY => {
                let why = "what it holds is not the beginning of this ledger";
                Err(Problem::new("inconsistent", why))
            }
            _ => refused("not an answer of a witness"),
        }
    }

    /// A note to a webhook.
    pub(super) async fn tell(&self, note: &Note) -> Result<(), Problem> {
        let (status, _) = self.send(note.to_string()).await?;
        // A redirect is not followed: it could lead anywhere.
        match status.is_success() {
            true => Ok(()),
            false => Err(Problem::new("refused", format!("status {}", status.as_u16()))),
        }
    }

    /// What went wrong is said without the address, which may hold a secret.
    async fn send(&self, body: String) -> Result<(StatusCode, Bytes), Problem> {
        let unreachable = |what: &str| Problem::new("unreachable", what);
        let request = Request::post(&self.address)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(USER_AGENT, concat!("weighbridge/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| unreachable("the request cannot be made up"))?;
        let sending = async {
            let response = self.client.request(request).await.map_err(|error| {
                unreachable(if error.is_connect() { "no connection" } else { "no answer" })
            })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_| Problem::new("invalid", "its answer has no good end"))?;
            Ok((status, body.to_bytes()))
        };
        let late = || unreachable("no answer in time");
        tokio::time::timeout(POST_TIMEOUT, sending).await.map_err(|_| late())?
    }
}

fn signatures(text: &str) -> Result<Vec<Signature>, Problem> {
    let invalid = || Problem::new("invalid", "its answer is not made of signature lines");
    let lines = text.strip_suffix('\n').ok_or_else(invalid)?.split('\n');
    let lines: Result<Vec<_>, _> = lines.take(SIGNATURES_MAX).map(Signature::parse).collect();
    lines.map_err(|_| invalid())
}
