//! Message batches as the API answers them. A batch's id says how many requests it has, and what
//! each of them came to follows from its number.

use super::message::Figures;
use super::script::{Framing, Reply, Request, Step};

/// The batch of so many requests.
pub fn id(requests: usize) -> String {
    format!("msgbatch_01FAKE_{requests}")
}

/// What the caller calls a request: a name that must not be kept.
pub fn custom_id(number: usize) -> String {
    format!("MRN-{number:05}-Jane-Doe")
}

/// What a request came to; `None` where it is not billed.
pub fn figures(number: usize) -> Option<Figures> {
    let n = number as u64;
    (!matches!(number % 5, 1..=3)).then(|| Figures::new(1_000 + n, 0, 0, 2 * n, 100 + n))
}

/// What the whole batch came to, at half the price, in 10⁻¹⁸ dollars.
pub fn bill(requests: usize) -> i128 {
    (0..requests).filter_map(figures).map(|figures| figures.list_cost() / 2).sum()
}

/// The line of one request. Every other one does not say its tier: the endpoint implies it.
pub fn line(number: usize) -> String {
    let kind = ["succeeded", "errored", "canceled", "expired", "succeeded"][number % 5];
    let more = match (kind, figures(number)) {
        ("errored", _) => {
            let error = super::message::error("invalid_request_error", "too long");
            format!(",\"error\":{error}")
        }
        (_, None) => String::new(),
        (_, Some(figures)) => {
            let usage = figures.json();
            let usage = match number % 2 {
                0 => usage.replace("\"standard\"", "\"batch\""),
                _ => usage.replace(",\"service_tier\":\"standard\"", ""),
            };
            format!(
                ",\"message\":{{\"id\":\"msg_01FAKE{number}\",\"type\":\"message\",\
                 \"role\":\"assistant\",\"model\":\"claude-opus-5-5\",\
                 \"content\":[{{\"type\":\"text\",\"text\":\"a \\\"quoted\\\" line\\n\"}}],\
                 \"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{usage}}}"
            )
        }
    };
    let name = custom_id(number);
    format!("{{\"custom_id\":\"{name}\",\"result\":{{\"type\":\"{kind}\"{more}}}}}\n")
}

/// Answers what is below `/v1/messages/batches`.
pub fn answer(request: &Request<'_>) -> Option<Reply> {
    let rest = request.path.strip_prefix("/v1/messages/batches")?;
    if rest.is_empty() {
        let requests = request.body["requests"].as_array().map_or(0, Vec::len);
        let id = id(requests);
        let made = format!(
            "{{\"id\":\"{id}\",\"type\":\"message_batch\",\"processing_status\":\"in_progress\",\
             \"request_counts\":{{\"processing\":{requests},\"succeeded\":0,\"errored\":0,\
             \"canceled\":0,\"expired\":0}},\"results_url\":null}}"
        );
        return Some(Reply::json(200, made));
    }
    let requests = rest.strip_suffix("/results")?.rsplit('_').next()?.parse().ok()?;
    Some(results(request.scenario, requests))
}

fn results(scenario: &str, requests: usize) -> Reply {
    let mut lines: Vec<String> = (0..requests).map(line).collect();
    if scenario == "batch_damaged" {
        lines.insert(1, "this is no result\n".to_owned());
        lines.insert(3, format!("{{\"custom_id\":\"{}\"}}\n", "x".repeat(5 << 20)));
    }
    let body = lines.concat();
    let (first, second) = body.as_bytes().split_at(body.len() / 2);
    let bytes = |part: &[u8]| Step::Bytes(part.to_vec());
    let mut reply = Reply::new(200, "application/binary", body.as_bytes());
    match scenario {
        "batch_length" => return reply,
        "batch_split" => reply.steps = body.as_bytes().chunks(7).map(bytes).collect(),
        "batch_gate" => reply.steps = vec![bytes(first), Step::Gate, bytes(second)],
        "batch_cut" => reply.steps = vec![bytes(first), Step::Reset],
        _ => {}
    }
    reply.framing = Framing::Chunked;
    reply
}
