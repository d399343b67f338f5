use super::*;

const S: u64 = 1_000_000_000;

fn begin<'a>(exchange: &'a str, agent: Option<&'a str>, at_ns: u64) -> Begin<'a> {
    let session = Some("session");
    let (call, team) = (exchange, "search");
    Begin {
        exchange,
        session,
        call,
        team,
        agent,
        model: Some("opus"),
        parent_agent: None,
        trace: None,
        at_ns,
    }
}

fn end(queries: &mut Queries, one: &Begin<'_>, how: End, at: (u64, u64)) -> Option<Query> {
    let first = queries.open.get(&key(one)).map(|query| query.first.clone()).unwrap();
    queries.end((one, &first), how, at)
}

#[test]
fn a_query_goes_from_the_prompt_to_the_final_answer() {
    let mut queries = Queries::default();
    let first = begin("a", None, S);
    assert_eq!(queries.begin(&first).query, "a");
    assert_eq!(end(&mut queries, &first, End::Continues, (2 * S, 9)), None);
    // The tool runs a sub-agent, which answers finally: that is not the query's end.
    let sub = begin("b", Some("agent-1"), 3 * S);
    assert_eq!(queries.begin(&sub).query, "a");
    assert_eq!(end(&mut queries, &sub, End::Final, (4 * S, 9)), None);
    let last = begin("c", None, 5 * S);
    assert_eq!(queries.begin(&last).query, "a");
    let query = end(&mut queries, &last, End::Final, (6 * S, 9)).unwrap();
    assert_eq!((query.from_ns, query.to_ns, query.exchanges), (S, 6 * S, 3));
    assert_eq!((query.agents[0].from_ns, query.agents[0].to_ns), (3 * S, 4 * S));
    assert!(queries.open.is_empty() && !query.has_failed());
    // The next prompt of the session is another query.
    assert_eq!(queries.begin(&begin("d", None, 7 * S)).query, "d");
}

#[test]
fn what_runs_beside_the_final_answer_belongs_to_the_query() {
    let mut queries = Queries::default();
    let (main, side) = (begin("a", None, S), begin("b", None, S));
    queries.begin(&main);
    queries.begin(&side);
    assert_eq!(end(&mut queries, &side, End::Final, (2 * S, 9)), None);
    assert_eq!(end(&mut queries, &main, End::Final, (3 * S, 9)).unwrap().exchanges, 2);
}

#[test]
fn what_is_left_ends_after_its_wait() {
    let mut queries = Queries::default();
    let one = begin("a", None, S);
    queries.begin(&one);
    assert!(queries.expire(u64::MAX - 1, 9).is_empty(), "it runs");
    end(&mut queries, &one, End::Retryable, (2 * S, 9));
    assert!(queries.expire(2 * S + RETRY_WAIT_NS - 1, 9).is_empty());
    let left = queries.expire(2 * S + RETRY_WAIT_NS, 9);
    assert!(left.len() == 1 && left[0].has_failed());
}

#[test]
fn without_a_session_each_call_is_one_and_its_repetitions_belong_to_it() {
    let mut queries = Queries::default();
    let first = Begin { session: None, ..begin("a", None, S) };
    let again = Begin { session: None, call: "a", ..begin("b", None, 2 * S) };
    queries.begin(&first);
    assert_eq!(end(&mut queries, &first, End::Retryable, (S, 9)), None);
    assert_eq!(queries.begin(&again).query, "a");
    assert_eq!(end(&mut queries, &again, End::Continues, (3 * S, 9)).unwrap().exchanges, 2);
}

#[test]
fn the_number_of_queries_has_a_bound() {
    let mut queries = Queries::default();
    let names: Vec<String> = (0..=QUERIES_MAX).map(|n| format!("e{n:05}")).collect();
    let mut evicted = None;
    for (at, name) in names.iter().enumerate() {
        let one = Begin { session: Some(name), ..begin(name, None, at as u64) };
        evicted = queries.begin(&one).ended;
    }
    assert_eq!((queries.open.len(), evicted.unwrap().first), (QUERIES_MAX, names[0].clone()));
}

#[test]
fn hooks_say_when_a_query_begins_and_ends() {
    let mut queries = Queries::default();
    assert_eq!(queries.prompt("session", S), None);
    let (main, side) = (begin("a", None, 2 * S), begin("b", None, 2 * S));
    queries.begin(&main);
    // A call beside it with the same model decides nothing now.
    assert_eq!(end(&mut queries, &main, End::Final, (3 * S, 9)), None);
    queries.begin(&side);
    assert_eq!(queries.stop("session", false, 4 * S), None, "something runs");
    let query = end(&mut queries, &side, End::Retryable, (5 * S, 9)).unwrap();
    assert_eq!((query.from_ns, query.to_ns, query.exchanges), (S, 5 * S, 2));
    assert_eq!(query.ended(), Ended::Answered);
    // A prompt that is never answered ends with the next one, or with the session.
    queries.prompt("session", 6 * S);
    let next = begin("c", None, 7 * S);
    queries.begin(&next);
    assert_eq!(end(&mut queries, &next, End::Continues, (8 * S, 9)), None);
    let left = queries.prompt("session", 9 * S).unwrap();
    assert_eq!((left.first.as_str(), left.ended()), ("c", Ended::Left));
    let last = begin("d", None, 10 * S);
    queries.begin(&last);
    assert_eq!((queries.exchanges("session"), queries.session_over("session")), (Some(1), None));
    end(&mut queries, &last, End::Failed, (11 * S, 9));
    assert_eq!(queries.session_over("session").unwrap().ended(), Ended::Failed);
}

#[test]
fn endings_are_told_apart() {
    assert_eq!(End::of(Some(200), false, Some("end_turn"), false), End::Final);
    assert_eq!(End::of(Some(200), false, Some("tool_use"), false), End::Continues);
    assert_eq!(End::of(Some(200), true, None, false), End::Retryable);
    assert_eq!(End::of(Some(200), false, None, false), End::Retryable);
    assert_eq!(End::of(Some(529), true, None, false), End::Retryable);
    assert_eq!(End::of(Some(400), true, None, false), End::Failed);
    assert_eq!(End::of(None, false, None, false), End::Retryable);
}
#[test]
fn a_call_beside_the_conversation_decides_nothing() {
    let mut queries = Queries::default();
    let side = |exchange, at| Begin { model: Some("haiku"), ..begin(exchange, None, at) };
    let main = begin("a", None, S);
    let title = side("b", S);
    queries.begin(&main);
    queries.begin(&title);
    assert_eq!(end(&mut queries, &main, End::Continues, (2 * S, 9)), None);
    assert_eq!(end(&mut queries, &title, End::Final, (3 * S, 9)), None, "a tool still runs");
    let last = begin("c", None, 4 * S);
    let late = side("d", 4 * S);
    queries.begin(&last);
    queries.begin(&late);
    assert_eq!(end(&mut queries, &last, End::Final, (5 * S, 9)), None);
    let query = end(&mut queries, &late, End::Retryable, (6 * S, 9)).unwrap();
    assert_eq!((query.exchanges, query.has_failed()), (4, false));
}

#[test]
fn a_sub_agent_that_goes_on_holds_the_query() {
    let mut queries = Queries::default();
    let (main, sub) = (begin("a", None, S), begin("b", Some("agent-1"), S));
    queries.begin(&main);
    queries.begin(&sub);
    assert_eq!(end(&mut queries, &sub, End::Continues, (2 * S, 9)), None);
    assert_eq!(end(&mut queries, &main, End::Final, (3 * S, 9)), None);
    let more = begin("c", Some("agent-1"), 4 * S);
    assert_eq!(queries.begin(&more).query, "a");
    assert_eq!(end(&mut queries, &more, End::Final, (5 * S, 9)).unwrap().exchanges, 3);
}

#[test]
fn what_comes_after_the_wait_is_another_query_whoever_looks_when() {
    let mut queries = Queries::default();
    let first = begin("a", None, S);
    queries.begin(&first);
    end(&mut queries, &first, End::Retryable, (2 * S, 9));
    let later = begin("b", None, 2 * S + RETRY_WAIT_NS);
    let place = queries.begin(&later);
    assert_eq!((place.query.as_str(), place.ended.unwrap().first.as_str()), ("b", "a"));
    // The closing of an exchange of a query that is gone ends no other.
    assert_eq!(queries.end((&first, "a"), End::Final, (3 * S, 9)), None);
}
