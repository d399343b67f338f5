use super::*;

fn worker(dir: &Path) -> Worker {
    Worker {
        store: Store::open(dir, [7; 32]).unwrap(),
        standard: Redactor::default(),
        strict: Redactor::default(),
        sessions: Sessions::default(),
        metrics: Arc::new(Metrics::new().unwrap()),
        waiting: Arc::default(),
        identifiers: HashKey::new(&[7; 32]),
        clock: Clock::start(),
        told: Box::new(drop),
    }
}

fn taking(exchange: &str) -> Taking {
    Taking {
        mode: Mode::Standard,
        exchange: exchange.to_owned(),
        team: "onc".to_owned(),
        session: None,
        subject: Subject::Exchange(exchange.to_owned()),
        messages: Vec::new(),
        answer: BodyCopy::None,
    }
}

#[test]
fn a_deadline_holds_within_one_piece() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker(dir.path());
    let taking = taking("019abcde-0000-7000-8000-000000000001");
    let text = format!("[{}0]", "{\"note\": \"Seen by Dr. Roe.\"},".repeat(100_000));
    let redacted = |text: &str, end| worker.redacted(text, (&taking, end), &mut Known::default());
    // A fraction of what reading all of it takes, on any machine.
    let end = worker.clock.mono_ns() + 1_000_000;
    assert_eq!(redacted(&text, end).err(), Some("timed_out"));
    let end = worker.clock.mono_ns() + 3_600 * 1_000_000_000;
    assert!(redacted(&text[..29_000], end).is_ok());
}
