//! `weighbridge redact` from outside: the corpus, the properties that must always hold, and what
//! other gateways let through.
#![cfg(test)]

mod planted;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use proptest::prelude::*;
use serde_json::{Value, json};
use support::sidecar::Site;
use weighbridge::anthropic::content;
use weighbridge::privacy::Redactor;
use weighbridge::privacy::known::Known;
use weighbridge::privacy::rules::{Mode, Rules};

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/phi/corpus.jsonl")
}

fn redact(arguments: &[&str], input: &str) -> Output {
    let site = Site::new();
    let mut command = site.command(&[&["redact"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn redacted(text: &str) -> String {
    redacted_in(text, Mode::Standard)
}

fn strictly(text: &str) -> String {
    redacted_in(text, Mode::Strict)
}

fn redacted_in(text: &str, mode: Mode) -> String {
    Redactor::new(Rules::new(mode)).redact(text, &mut Known::default()).text.to_string()
}

/// A figure of the self-test's tables: row by its first cell, column by its number.
fn figure(told: &str, table: usize, row: &str, column: usize) -> f64 {
    let table = told.split("\n\n").nth(table).unwrap();
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(row)).unwrap();
    line.split_whitespace().nth(column).unwrap().parse().unwrap()
}

#[test]
fn the_corpus_is_redacted_as_well_as_it_was() {
    let corpus = corpus();
    for (mode, recall, masked) in [("standard", 0.955, 0.02), ("strict", 0.975, 0.15)] {
        let told = redact(&["--mode", mode, "--self-test", corpus.to_str().unwrap()], "");
        let told = said(&told);
        assert!(figure(&told, 0, "all", 2) >= recall, "{told}");
        assert!(figure(&told, 1, "all", 4) <= masked, "{told}");
        for kind in ["fhir", "hl7", "ccda"] {
            assert!(figure(&told, 1, kind, 2) >= 0.99, "{kind}: {told}");
        }
        for label in ["EMAIL", "IP", "URL"] {
            assert!(figure(&told, 0, label, 2) >= 0.99, "{label}: {told}");
        }
    }
}

/// Texts about nobody: in at most one of ten is anything masked.
#[test]
fn texts_about_nobody_are_left() {
    let lines = std::fs::read_to_string(corpus()).unwrap();
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let about_nobody: Vec<Value> =
        lines.lines().map(parse).filter(|document| document["kind"] == "negative").collect();
    let texts: Vec<&str> = about_nobody.iter().map(|one| one["text"].as_str().unwrap()).collect();
    let changed = left(&texts).iter().zip(&texts).filter(|(left, text)| left != *text).count();
    assert!(texts.len() > 100 && changed * 10 <= texts.len(), "{changed} of {}", texts.len());
}

#[test]
fn each_way_of_asking_has_its_answer() {
    let text = "Pt Zyxela Quorvandel, MRN 0921098, é 919-555-0121";
    assert_eq!(said(&redact(&[], text)), "Pt [NAME], MRN [MRN], é [PHONE]");
    let told = said(&redact(&["--explain"], text));
    assert!(told.contains("name-cue") && told.contains("mrn-cue"), "{told}");
    assert!(told.ends_with("3 findings.\n"), "{told}");
    let line = json!({"id": 7, "text": text}).to_string();
    let answer: Value = serde_json::from_str(&said(&redact(&["--jsonl"], &line))).unwrap();
    assert_eq!(answer["id"], 7);
    let span = &answer["spans"][2];
    let points: String = text.chars().skip(span["start"].as_u64().unwrap() as usize).collect();
    assert_eq!((points.as_str(), &span["label"]), ("919-555-0121", &json!("PHONE")));
    for (arguments, input) in [
        (&["--jsonl"][..], "{\"text\": 5}"),
        (&["--self-test", "/nowhere"], ""),
        (&["--mode", "loose"], ""),
    ] {
        assert_eq!(redact(arguments, input).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_operator_adds_patterns_fields_names_and_exceptions() {
    let site = Site::new();
    let config = site.file(
        "w.toml",
        "[redaction]\nallow = ['Quorvandel Clinic']\nnames = ['flurb']\nhosts = ['own.example']\n\
         [redaction.pattern]\nstudy = 'ST-[0-9]{4}'\n[redaction.field]\ncohort = 'ID'\n",
    );
    let config = config.to_str().unwrap();
    let text = "ST-1234 of Flurb at https://own.example/help; {\"cohort\": \"blue\"}";
    let told = said(&redact(&["--config", config], text));
    assert_eq!(told, "[CUSTOM] of [NAME] at https://own.example/help; {\"cohort\": \"[ID]\"}");
    let bad = site.file("bad.toml", "[redaction.pattern]\nstudy = '[0-'\n");
    let output = redact(&["--config", bad.to_str().unwrap()], "x");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("study"), "{error}");
}

/// What other gateways were seen to let through: each a text, and what must not be left of it.
#[test]
fn what_others_let_through_is_found() {
    let history = json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use",
        "id": "t", "name": "lookup", "input": {"patient": {"name": "Zyxela Quorvandel",
        "note": "call 919-555-0121"}}}]}]})
    .to_string();
    let split = "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\
        \"text_delta\",\"text\":\"call 919-5\"}}\n\n\
        data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\
        \"text\":\"55-0121 now\"}}\n";
    let twice = json!({"result": json!({"ssn": "527-48-1936"}).to_string()}).to_string();
    for (text, gone) in [
        // Arguments of tools in the history of a request.
        (history.as_str(), &["Zyxela", "Quorvandel", "0121"][..]),
        // A value that two events of a stream share.
        (split, &["919-5", "55-0121"]),
        // JSON within a string of JSON.
        (&twice, &["527-48-1936"]),
        // Numbers that look like samples, and individual taxpayers'.
        ("SSN 123-45-6789 or 987-65-4320", &["6789", "4320"]),
        // An address that ends a sentence.
        ("It came from 24.16.38.27.", &["24.16.38.27"]),
        // A name as a key.
        (r#"{"Zyxela Quorvandel": {"potassium": 4.2}}"#, &["Zyxela", "Quorvandel"]),
        // Hyphens and digits that only look like the plain ones, and signs without width.
        ("SSN 527\u{2011}48\u{2013}1936, Tel 919\u{2010}555\u{2010}0121", &["1936", "0121"]),
        ("MRN 12\u{200b}34567 and \u{ff15}\u{ff12}\u{ff17}-48-1936", &["34567", "1936"]),
        ("\u{feff}name,ssn\nokonkwo adaeze,527481936\n", &["okonkwo", "527481936"]),
        // A secret behind a line end that was written out.
        ("log: key\\nsk-ant-api03-abcdefghijklmnop", &["abcdefghijklmnop"]),
        // Escapes inside a name.
        (r#"{"last_name": "Gonz\u00e1lez\"x"}"#, &["Gonz", "lez"]),
    ] {
        let left = redacted(text);
        for gone in gone {
            assert!(!left.contains(gone), "{gone} is left in {left}");
        }
    }
    // And what they mask without a reason.
    for text in ["an S3 bucket, an EKS node and a C4 model", "7ee3a3d3-706e-905e-54d0-06f3a38a5b20"]
    {
        assert_eq!(redacted(text), text);
    }
}

/// What the binary leaves of texts, all of them in one run; and nothing more in a second.
fn left(texts: &[&str]) -> Vec<String> {
    let once = lines_left(texts);
    let again: Vec<&str> = once.iter().map(String::as_str).collect();
    assert_eq!(lines_left(&again), once);
    once
}

fn lines_left(texts: &[&str]) -> Vec<String> {
    let lines: Vec<String> = texts.iter().map(|text| json!({"text": text}).to_string()).collect();
    let told = said(&redact(&["--jsonl"], &lines.join("\n")));
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].clone();
    told.lines().map(|line| text(line).as_str().unwrap().to_owned()).collect()
}

/// Each text, and what is left of it.
fn is_left(cases: &[(&str, &str)]) {
    let texts: Vec<&str> = cases.iter().map(|(text, _)| *text).collect();
    let left = left(&texts);
    assert_eq!(left.len(), cases.len());
    for ((text, wanted), left) in cases.iter().zip(left) {
        assert_eq!(left, *wanted, "of {text}");
    }
}

/// Segments of HL7 and X12 are read where they stand, and what stands beside them as what it is.
#[test]
fn segments_and_what_stands_beside_them_are_both_read() {
    let table = "mrn|last_name|dob\n8812345|Quorv|1970-01-02\n";
    let table_left = "mrn|last_name|dob\n[MRN]|[NAME]|[DATE]\n";
    let message =
        "MSH|^~\\&|A|B|||20240101||ADT^A01|1|P|2.5\rPID|1||4456677^^^H||QUORV^ZYX||19620304\r";
    let message_left =
        "MSH|^~\\&|A|B|||20240101||ADT^A01|1|P|2.5\rPID|1||[MRN]^^^H||[NAME]^[NAME]||[DATE]\r";
    let own = "ZPD|1|7766554|Quorv^Zyxela|19620304|ACTIVE|Y\n";
    let isa = "ISA|00|          |00|          |ZZ|A              |ZZ|B              |240101|1200|\
        ^|00501|000000001|0|P|:'";
    let isa_left = format!("Claim:\n{isa}NM1|IL|1|[NAME]|[NAME]'N3|[ADDRESS]'\n{table_left}");
    is_left(&[
        (&format!("Seen:\n{message}\n{table}"), &format!("Seen:\n{message_left}\n{table_left}")),
        // Its own names of fields, not of a segment.
        ("PID|NAME|STATUS\n123|Zyxela Quorv|ok\n", "PID|NAME|STATUS\n[MRN]|[NAME]|ok\n"),
        (
            &json!({"last_name": "Quorv", "m": message, "t": table}).to_string(),
            &json!({"last_name": "[NAME]", "m": message_left, "t": table_left}).to_string(),
        ),
        // Signs of a sender's own.
        (
            "MSH#*~\\&#A#B###20240101##ADT*A01#1#P#2.5\rPID#1##4456677*H##QUORV*ZYX##19620304",
            "MSH#*~\\&#A#B###20240101##ADT*A01#1#P#2.5\rPID#1##[MRN]*H##[NAME]*[NAME]##[DATE]",
        ),
        // A segment of a site's own.
        (
            &format!("{message}{own}"),
            &format!("{message_left}ZPD|1|[ID]|[NAME]^[NAME]|[DATE]|ACTIVE|Y\n"),
        ),
        (&format!("Claim:\n{isa}NM1|IL|1|QUORV|ZYX'N3|12 ELM ST'\n{table}"), &isa_left),
        (
            "NM1*IL*1*QUORV*ZYX****MI*W88123456~\n{\"mrn\":\"8812345\"}\nPatient Zyxela Quorv\n",
            "NM1*IL*1*[NAME]*[NAME]****MI*[HEALTH_PLAN_ID]~\n{\"mrn\":\"[MRN]\"}\n\
             Patient [NAME]\n",
        ),
    ]);
}

/// Values without a name beside them, names in another line, and what was escaped too often.
#[test]
fn rows_cards_and_escapes_are_read() {
    is_left(&[
        (
            "INSERT INTO p VALUES (17,'Quorv','Zyxela','1962-03-04','F',7766554,'919-555-0121',\
             '12 Elm St','Oakton','MN','55101'), (18,\"Tammy Roe\",DATE('1970-01-02'),'on');",
            "INSERT INTO p VALUES (17,'[NAME]','[NAME]','[DATE]','F',[ID],'[PHONE]',\
             '[ADDRESS]','[LOCATION]','MN','[ZIP]'), (18,\"[NAME]\",DATE('[DATE]'),'on');",
        ),
        (
            "mrn,last_name,note\n8812345,Quorv,\"seen\nby Tammy Martinez\"\n8812346,Zyx,ok\n",
            "mrn,last_name,note\n[MRN],[NAME],\"seen\nby [NAME]\"\n[MRN],[NAME],ok\n",
        ),
        (
            "BEGIN:VCARD\nN:Quorv;Zyxela;;Ms;\nFN:Zyxela Quorv\n\
             ADR;TYPE=home:;;12 Elm St;Oakton;MN;55101;USA\nTEL;TYPE=cell:+1-919-555-0121\n\
             EMAIL:z@quorv.example\nBDAY:19620304\nEND:VCARD\n",
            "BEGIN:VCARD\nN:[NAME];[NAME];;[NAME];\nFN:[NAME]\n\
             ADR;TYPE=home:;;[ADDRESS];[LOCATION];MN;[ZIP];USA\nTEL;TYPE=cell:[PHONE]\n\
             EMAIL:[EMAIL]\nBDAY:[DATE]\nEND:VCARD\n",
        ),
        (r#"{"fn":"Zyxela","ln":"Quorv"}"#, r#"{"fn":"[NAME]","ln":"[NAME]"}"#),
        (r#"{"fn":"main","x":"Quorv"}"#, r#"{"fn":"main","x":"Quorv"}"#),
        (
            "seen\\nMRN: 1234567\\nTel: 919-555-0121\\r\\nName: Zyxela Quorv, not \\d",
            "seen\\nMRN: [MRN]\\nTel: [PHONE]\\r\\nName: [NAME], not \\d",
        ),
        (
            r#"{\"ssn\": \"527481936\", \"name\": \"Zyxela Quorv\"}"#,
            r#"{\"ssn\": \"[SSN]\", \"name\": \"[NAME]\"}"#,
        ),
        (
            "<a><family><![CDATA[Quorv <x>]]></family></a>",
            "<a><family><![CDATA[[NAME]]]></family></a>",
        ),
    ]);
}

/// Bytes within the text of a tool are no text.
#[test]
fn encoded_bytes_are_not_kept() {
    let bytes: String = (0_u32..90).map(|at| format!("{:04X}q/Zk", at * 7919 % 65_536)).collect();
    let lines: Vec<&str> = (0..5).map(|at| &bytes[at * 76..at * 76 + 76]).collect();
    let lines = lines.join("\n");
    let hex: String = (0_u32..60).map(|at| format!("{:04x}", at * 7919 % 65_536)).collect();
    is_left(&[
        (&format!("cat scan.b64\n{bytes}\ndone"), "cat scan.b64\n[ID]\ndone"),
        (&format!("the body:\n{lines}\nand so on"), "the body:\n[ID]\nand so on"),
        (&format!("dump {hex} of it"), "dump [ID] of it"),
        (&json!({"output": bytes, "n": 5}).to_string(), r#"{"n":5,"output":"[ID]"}"#),
        (
            "<img src='data:image/png;base64,iVBORw0KGgo='> data:text/plain,Zyxela%20Quorv",
            "<img src='[ID]'> [ID]",
        ),
    ]);
}

/// Numbers that a word in another form announces.
#[test]
fn numbers_are_announced_in_many_ways() {
    is_left(&[
        ("Social: 123456789, soc sec 123456789", "Social: [SSN], soc sec [SSN]"),
        ("SSN527481936 S.S.N.: 527481936", "SSN[SSN] S.S.N.: [SSN]"),
        (r#"{"S.S.N.": "527481936", "n.o": 5}"#, r#"{"S.S.N.": "[SSN]", "n.o": 5}"#),
        ("Social history: 20 a day", "Social history: 20 a day"),
        ("(919)5550121", "[PHONE]"),
        ("MRN\n1234567\nMedical Record Number\n7654321", "MRN\n[MRN]\nMedical Record Number\n[ID]"),
        ("lines\n1234567", "lines\n1234567"),
        ("NI QQ123456C, National Insurance QQ 12 34 56 C", "NI [SSN], National Insurance [SSN]"),
        (
            "badge 4471, group 0081234, member 99123412",
            "badge [ID], group [HEALTH_PLAN_ID], member [HEALTH_PLAN_ID]",
        ),
        ("group 12 and group A", "group 12 and group A"),
        ("pass: Abc123!x, pw=hunter2!", "pass: [SECRET], pw=[SECRET]"),
        ("pass: 12 tests, pass: nothing", "pass: 12 tests, pass: nothing"),
        ("password: \"my dog has fleas\" x", "password: \"[SECRET]\" x"),
        (r#"{"password": "my dog has fleas"}"#, r#"{"password": "[SECRET]"}"#),
        ("jane dot roe at gmail dot com", "[EMAIL]"),
        ("/data/patients/hope_grace_1234567.pdf", "/data/patients/[ID].pdf"),
        ("/data/patients/summary.pdf", "/data/patients/summary.pdf"),
    ]);
}

/// Dates and ages in digits without signs, in words, and in other languages.
#[test]
fn dates_and_ages_are_found_however_they_are_written() {
    is_left(&[
        ("DOB: 030462, born 03041962", "DOB: [DATE], born [DATE]"),
        ("DOB 3 4 1962 and DOB 02MAR1960", "DOB [DATE] and DOB [DATE]"),
        ("DOB 999999", "DOB 999999"),
        ("4th of March", "[DATE]"),
        ("seen 20240304T1000", "seen [DATE]"),
        ("1962年3月4日生", "[DATE]生"),
        ("né le 4 mars 1962, le 12 août", "né le [DATE], le [DATE]"),
        ("4 de marzo de 1962; am 4. März 1962", "[DATE]; am [DATE]"),
        ("4 mars bars", "4 mars bars"),
        ("Age: ninety-three; a ninety-three year old", "Age: [AGE]; a [AGE] year old"),
        ("she is one hundred and two years old", "she is [AGE] years old"),
        ("Age: thirty-three; ninety percent", "Age: thirty-three; ninety percent"),
    ]);
}

/// Streets in small letters and with their number in words, routes, and who speaks.
#[test]
fn streets_and_speakers_are_found_however_they_are_written() {
    is_left(&[
        ("lives at 123 main street, oakton", "lives at [ADDRESS], oakton"),
        ("residing at 45 n. elm st apt 4", "residing at [ADDRESS]"),
        ("a 2 lane road, 500 main street style", "a 2 lane road, 500 main street style"),
        ("One Main Street or Twenty-Two Elm Avenue", "[ADDRESS] or [ADDRESS]"),
        ("One Way Street", "One Way Street"),
        ("RR 2 Box 14; Rural Route 2, Box 14", "[ADDRESS]; [ADDRESS]"),
        ("Agent (June): hello", "Agent ([NAME]): hello"),
        ("Table (May): sums", "Table (May): sums"),
        ("ATT: PATEL", "ATT: [NAME]"),
        ("Authorization: Bearer 8xLOxBtZp8zqQ", "Authorization: Bearer [SECRET]"),
        (r#"{"Authorization": "Bearer 8xLOxBtZp8zqQ"}"#, r#"{"Authorization": "[SECRET]"}"#),
        ("Name: ______  Last visit: ______", "Name: ______  Last visit: ______"),
        ("Child-Pugh B; the Bence Jones protein", "Child-Pugh B; the Bence Jones protein"),
    ]);
}

fn documents() -> Vec<String> {
    let lines = std::fs::read_to_string(corpus()).unwrap();
    let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].clone();
    lines.lines().map(|line| text(line).as_str().unwrap().to_owned()).collect()
}

#[test]
fn redacting_twice_is_redacting_once() {
    let mut moved = Vec::new();
    for text in documents() {
        for redacted in [redacted, strictly] {
            let once = redacted(&text);
            let twice = redacted(&once);
            if once != twice {
                moved.push((once, twice));
            }
        }
    }
    assert!(moved.is_empty(), "{} of them, first: {:#?}", moved.len(), moved.first());
}

#[test]
fn json_stays_json() {
    for text in [
        r#"{"mrns":[1234567,7654321],"zip" : 2115 , "ssn":\t527481936\r\n}"#.replace("\\t", "\t"),
        r#"{"note": "{\"ssn\": 527481936, \"x\": 1}"}"#.to_owned(),
        json!({"a": json!({"b": json!({"mrn": 1_234_567}).to_string()}).to_string()}).to_string(),
    ] {
        let text = text.replace("\\r\\n}", "\r\n}");
        let left = redacted(&text);
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        assert!(serde_json::from_str::<Value>(&left).is_ok(), "{left}");
        assert!(!left.contains("527481936") && !left.contains("1234567"), "{left}");
    }
    for text in documents() {
        if serde_json::from_str::<Value>(&text).is_ok() {
            let left = redacted(&text);
            assert!(serde_json::from_str::<Value>(&left).is_ok(), "{left}");
        }
    }
}

/// The last line of a long text is read as the first is, whatever it repeats.
#[test]
fn long_texts_are_redacted_to_their_end() {
    for (piece, end) in [
        ("MRN 1234567\n", "1234567"),
        ("Mr. Smith <\n", "Smith"),
        ("see http://a.example/x1\n", "a.example"),
        ("[", "0921098"),
        ("http://a", "0921098"),
        ("eyJaaaaaaaa-", "0921098"),
        ("INSERT INTO t VALUES ('", "0921098"),
        ("data:a/b,", "0921098"),
        ("INSERT INTO ", "0921098"),
        ("PID|1|[\"a\"]", "0921098"),
        ("ISA*0*", "0921098"),
        ("pass:", "0921098"),
        ("a dot b(at)", "0921098"),
        ("3/6 ", "0921098"),
        ("a@", "0921098"),
        ("cookie: a=b ", "0921098"),
        ("Jan 3 ", "0921098"),
        ("curl -u ", "0921098"),
        ("/home/zquorv", "0921098"),
        ("password 'a ", "0921098"),
    ] {
        let text = format!("{}\nMRN 0921098\n", piece.repeat(200_000 / piece.len()));
        let left = redacted(&text);
        assert!(!left.contains(end) && left.ends_with("MRN [MRN]\n"), "{piece}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// However a text is cut into the deltas of a stream, the same is kept of it.
    #[test]
    fn any_cut_of_a_stream_keeps_the_same(cuts in prop::collection::vec(1_usize..40, 1..30)) {
        let text = "Patient Zyxela Quorvandel, born 9 March 1942, é SSN 527-48-1936, \
            lives in Oak Park.";
        let start = json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}});
        let mut stream = format!("data: {start}\n\n");
        let signs: Vec<char> = text.chars().collect();
        let mut rest = signs.as_slice();
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            let delta = json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": head.iter().collect::<String>()}});
            stream.push_str(&format!("data: {delta}\n\n"));
            rest = tail;
        }
        let pieces = content::of_response(stream.as_bytes());
        prop_assert_eq!(pieces.len(), 1);
        prop_assert_eq!(&pieces[0].text, text);
        prop_assert_eq!(redacted(&pieces[0].text), redacted(text));
    }

    /// No text makes the redactor fail, and what it leaves it leaves again.
    #[test]
    fn any_text_is_redacted(text in "\\PC{0,200}|[\\[\\]{}\":,|^~\\\\<>=A-Za-z0-9 \n]{0,200}") {
        for redacted in [redacted, strictly] {
            let once = redacted(&text);
            prop_assert_eq!(redacted(&once), once);
        }
    }
}
