use super::*;

const INPUT: i128 = 1_000; // Prices per token, in atto-dollars.
const WRITES: [i128; 2] = [2_000, 1_250];

/// One call of the session `s`: begins at a minute, takes a second.
struct Turn {
    minute: i64,
    read: u64,
    hour: u64,
    short: u64,
}

fn call(minute: i64, read: u64, hour: u64, short: u64) -> Turn {
    Turn { minute, read, hour, short }
}

fn item(kind: &'static str, quantity: u64, price: i128) -> Item<'static> {
    let usd = Money::from_atto(i128::from(quantity) * price);
    Item { kind: kind.into(), list_usd: None, model: None, quantity, usd }
}

fn add(meter: &mut WasteMeter, call: &Turn, session: &str) {
    let Turn { minute, read, hour, short } = *call;
    let exchange = Exchange {
        session: Some(session),
        model: Some("m"),
        opened_at: minute * MINUTE_NS,
        closed_at: Some(minute * MINUTE_NS + 1),
        cache_read: Some(read),
        write_1h: Some(hour),
        write_5m: Some(short),
        ..Exchange::default()
    };
    let items = [
        item("input", 7, INPUT),
        item("cache_write_1h", hour, WRITES[0]),
        item("cache_write_5m", short, WRITES[1]),
    ];
    meter.add(&exchange, &items);
}

fn finish(mut meter: WasteMeter) -> Waste {
    meter.end_instance(i64::MAX);
    meter.finish()
}

fn waste(calls: &[Turn]) -> Waste {
    let mut meter = WasteMeter::default();
    calls.iter().for_each(|call| add(&mut meter, call, "s"));
    finish(meter)
}

/// (never read, rewritten) in tokens.
fn tokens(calls: &[Turn]) -> (u64, u64) {
    let waste = waste(calls);
    (waste.never_read.tokens, waste.rewritten.tokens)
}

#[test]
fn what_the_next_call_reads_is_not_waste() {
    // The last write of a chain has no reader: 10 tokens of three times that.
    let calls = [call(0, 0, 0, 100), call(4, 100, 0, 10), call(8, 110, 0, 10)];
    assert_eq!(tokens(&calls), (10, 0));
    let waste = waste(&calls);
    assert_eq!((waste.written, waste.never_read.usd.atto()), (120, 10 * 250));
}

#[test]
fn a_read_after_the_time_ran_out_does_not_count_and_what_comes_again_is_a_rewrite() {
    // 5 minutes and a nanosecond are still in time: the time runs from the end of the call.
    assert_eq!(tokens(&[call(0, 0, 0, 100), call(5, 100, 0, 0)]), (0, 0));
    let late = [call(0, 0, 0, 100), call(6, 0, 0, 120), call(7, 120, 0, 0)];
    // The first 100 were never read, and 100 of the 120 are written for the second time.
    assert_eq!(tokens(&late), (100, 100));
    assert_eq!(waste(&late).usd().atto(), 200 * 250);
    // Where nobody reads the second write either, its tokens count once: as never read.
    assert_eq!(tokens(&[call(0, 0, 0, 100), call(6, 0, 0, 120)]), (220, 0));
}

#[test]
fn a_read_keeps_the_prefix_alive() {
    let calls = [call(0, 0, 0, 100), call(4, 100, 0, 0), call(8, 100, 0, 0), call(12, 0, 0, 100)];
    // Alive until 13: what is written at 12 is another prompt, not a rewrite after expiry.
    assert_eq!(tokens(&calls), (100, 0));
}

#[test]
fn an_hours_write_lives_for_an_hour() {
    let calls = [call(0, 0, 50, 100), call(30, 50, 0, 100), call(31, 150, 0, 0)];
    // The 100 for five minutes died, and came again; the 50 for an hour were read.
    assert_eq!(tokens(&calls), (100, 100));
    assert_eq!(waste(&calls).rewritten.usd.atto(), 100 * 250);
    assert_eq!(tokens(&[call(0, 0, 50, 0), call(61, 0, 50, 0), call(62, 50, 0, 0)]), (50, 50));
    let unread = waste(&[call(0, 0, 50, 0)]);
    assert_eq!(unread.never_read.usd.atto(), 50 * 1_000);
}

#[test]
fn a_partial_read_leaves_the_rest_as_waste() {
    assert_eq!(tokens(&[call(0, 20, 0, 100), call(1, 80, 0, 0)]), (40, 0));
    // Two readers: the deeper one counts.
    let calls = [call(0, 20, 0, 100), call(1, 110, 0, 0), call(2, 50, 0, 0)];
    assert_eq!(tokens(&calls), (10, 0));
}

#[test]
fn chains_are_apart_and_without_a_session_each_call_is_one() {
    let mut meter = WasteMeter::default();
    add(&mut meter, &call(0, 0, 0, 100), "a");
    add(&mut meter, &call(1, 100, 0, 0), "b");
    assert_eq!(finish(meter).never_read.tokens, 100);
    let mut meter = WasteMeter::default();
    for (id, read, write) in [("1", 0, 100), ("2", 100, 0)] {
        let cache_read = Some(read);
        let exchange = Exchange { id, cache_read, write_5m: Some(write), ..Exchange::default() };
        meter.add(&exchange, &[]);
    }
    let waste = finish(meter);
    assert_eq!((waste.never_read.tokens, waste.never_read.unpriced), (100, 100));
    assert_eq!(waste.usd(), Money::ZERO);
}

#[test]
fn the_price_of_plain_input_follows_from_the_savings() {
    // 90 read at a tenth, 10 written: 100 × 1000 − (90 × 100 + 10 × 1250) saved.
    let items = [item("cache_read", 90, 100), item("cache_write_5m", 10, WRITES[1])];
    let savings = Some(Money::from_atto(100 * INPUT - 90 * 100 - 10 * WRITES[1]));
    let exchange = Exchange {
        savings,
        cache_read: Some(90),
        write_5m: Some(10),
        session: Some("s"),
        ..Exchange::default()
    };
    let mut meter = WasteMeter::default();
    meter.add(&exchange, &items);
    assert_eq!(finish(meter).never_read.usd.atto(), 10 * 250);
}

#[test]
fn memory_holds_the_last_hour_only() {
    let mut meter = WasteMeter::default();
    for minute in 0..10_000 {
        add(&mut meter, &call(minute, 0, 0, 1), &format!("s{minute}"));
        assert!(meter.chains.len() <= CHAINS_SWEEP);
    }
    assert_eq!(finish(meter).never_read.tokens, 10_000);
}

#[test]
fn more_chains_than_can_be_followed_are_let_go() {
    let mut meter = WasteMeter::default();
    for chain in 0..CHAINS_MAX + 10 {
        add(&mut meter, &call(0, 0, 0, 1), &chain.to_string());
        assert!(meter.chains.len() <= CHAINS_MAX);
    }
    assert_eq!(finish(meter).never_read.tokens, 10);
}

#[test]
fn what_still_lives_is_not_waste_yet() {
    let mut meter = WasteMeter::default();
    add(&mut meter, &call(0, 0, 100, 0), "s");
    add(&mut meter, &call(1, 0, 0, 10), "t");
    meter.end_instance(30 * MINUTE_NS);
    assert_eq!(meter.finish().never_read.tokens, 10);
}
