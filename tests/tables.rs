//! Tables, statements and segments, as they stand in terminals, logs and answers of tools: what a
//! header names is masked whole, and what only looks like a table is left.
#![cfg(test)]

use weighbridge::privacy::Redactor;
use weighbridge::privacy::known::Known;
use weighbridge::privacy::rules::{Mode, Rules};

fn redacted_in(text: &str, mode: Mode) -> String {
    Redactor::new(Rules::new(mode)).redact(text, &mut Known::default()).text.to_string()
}

/// What is left of each text, and nothing more is found in it a second time, in either mode.
fn is_left(cases: &[(&str, &str)]) {
    for (text, wanted) in cases {
        assert_eq!(redacted_in(text, Mode::Standard), *wanted, "of {text}");
        for mode in [Mode::Standard, Mode::Strict] {
            let once = redacted_in(text, mode);
            assert_eq!(redacted_in(&once, mode), once, "of {text}");
        }
    }
}

fn stays(texts: &[&str]) {
    for text in texts {
        assert_eq!(redacted_in(text, Mode::Standard), *text);
    }
}

#[test]
fn answers_of_databases_are_read_by_their_columns() {
    is_left(&[
        // psql, with and without a second column.
        (
            "     name     |    ssn    |    dob     \n--------------+-----------+------------\n \
             zyxela quorv | 527481936 | 1962-03-04\n tammy roe    | 527481937 | \n(2 rows)\n",
            "     name     |    ssn    |    dob     \n--------------+-----------+------------\n \
             [NAME] | [SSN] | [DATE]\n [NAME]    | [SSN] | \n(2 rows)\n",
        ),
        (
            "   ssn     \n-----------\n 527481936\n 527481937\n(2 rows)\n",
            "   ssn     \n-----------\n [SSN]\n [SSN]\n(2 rows)\n",
        ),
        // MySQL.
        (
            "+--------------+-----------+\n| name         | ssn       |\n\
             +--------------+-----------+\n| zyxela quorv | 527481936 |\n\
             +--------------+-----------+\n1 row in set (0.00 sec)\n",
            "+--------------+-----------+\n| name         | ssn       |\n\
             +--------------+-----------+\n| [NAME] | [SSN] |\n\
             +--------------+-----------+\n1 row in set (0.00 sec)\n",
        ),
        (
            "+-----------+\n| last_name |\n+-----------+\n| quorv     |\n+-----------+\n\
             1 row in set\n",
            "+-----------+\n| last_name |\n+-----------+\n| [NAME]     |\n+-----------+\n\
             1 row in set\n",
        ),
        // SQLite.
        (
            "name          ssn        dob\n------------  ---------  ----------\n\
             zyxela quorv  527481936  1962-03-04\n",
            "name          ssn        dob\n------------  ---------  ----------\n\
             [NAME]  [SSN]  [DATE]\n",
        ),
        // Markdown, and frames that are drawn.
        (
            "| Name | SSN |\n|---|:---:|\n| zyxela quorv | 527481936 |\n\
             | tammy roe | n/a |\n\ntext\n",
            "| Name | SSN |\n|---|:---:|\n| [NAME] | [SSN] |\n| [NAME] | n/a |\n\ntext\n",
        ),
        (
            "┌──────────────┬───────────┐\n│ name         ┆ ssn       │\n\
             │ ---          ┆ ---       │\n\
             │ str          ┆ i64       │\n╞══════════════╪═══════════╡\n\
             │ zyxela quorv ┆ 527481936 │\n\
             └──────────────┴───────────┘\n",
            "┌──────────────┬───────────┐\n│ name         ┆ ssn       │\n\
             │ ---          ┆ ---       │\n\
             │ str          ┆ i64       │\n╞══════════════╪═══════════╡\n│ [NAME] ┆ [SSN] │\n\
             └──────────────┴───────────┘\n",
        ),
    ]);
}

#[test]
fn records_one_below_the_other_are_read_by_their_names() {
    is_left(&[
        (
            "-[ RECORD 1 ]-------\nname | zyxela quorv\nssn  | 527481936\ncity | oakton\n\
             note | by Dr. Quorv\n-[ RECORD 2 ]-------\nname | tammy roe\nssn  | \n\nbye\n",
            "-[ RECORD 1 ]-------\nname | [NAME]\nssn  | [SSN]\ncity | [LOCATION]\n\
             note | by Dr. [NAME]\n-[ RECORD 2 ]-------\nname | [NAME]\nssn  | \n\nbye\n",
        ),
        (
            "*************************** 1. row ***************************\n\
             \x20    name: zyxela quorv\n      ssn: 527481936\n     city: oakton\n\
             1 row in set (0.00 sec)\n",
            "*************************** 1. row ***************************\n\
             \x20    name: [NAME]\n      ssn: [SSN]\n     city: [LOCATION]\n\
             1 row in set (0.00 sec)\n",
        ),
    ]);
    stays(&[
        "*************************** 1. row ***************************\n\
         Variable_name: version\n        Value: 8.0.36\n",
        "-[ RECORD 1 ]-------\nname  | max_connections\nvalue | 100\n",
    ]);
}

#[test]
fn statements_name_their_values() {
    is_left(&[
        (
            "COPY public.patients (name, ssn, dob, note) FROM stdin;\n\
             zyxela quorv\t527481936\t1962-03-04\tfine\n\
             tammy roe\t527481937\t\\N\tby Dr. Quorv\n\\.\n\n\
             SELECT 1;\n",
            "COPY public.patients (name, ssn, dob, note) FROM stdin;\n\
             [NAME]\t[SSN]\t[DATE]\tfine\n[NAME]\t[SSN]\t\\N\tby Dr. [NAME]\n\\.\n\nSELECT 1;\n",
        ),
        (
            "\\copy p (mrn, last_name) from stdin with (format csv)\n12345,quorv\n\\.\n",
            "\\copy p (mrn, last_name) from stdin with (format csv)\n[MRN],[NAME]\n\\.\n",
        ),
        (
            "Insert Into p (last_name, ssn)\nValues (N'quorv', '527481936'),\n('roe', 527481937)",
            "Insert Into p (last_name, ssn)\nValues (N'[NAME]', '[SSN]'),\n('[NAME]', [SSN])",
        ),
        (
            "REPLACE INTO [p] ([name], [ssn], n) VALUES ('quorv', '527481936', 5)",
            "REPLACE INTO [p] ([name], [ssn], n) VALUES ('[NAME]', '[SSN]', 5)",
        ),
    ]);
    stays(&[
        "INSERT INTO p (last_name, ssn) VALUES (?, ?), (:last, :ssn), ($1, $2);\n",
        "COPY p (last_name, ssn) FROM '/tmp/p.csv' WITH (FORMAT csv);\nSELECT 1;\n",
        "SELECT name, ssn, dob\nFROM patients, visits, codes\nWHERE patients.id = visits.id\n",
        "CREATE TABLE patients (\n  first_name  text,\n  ssn         char(11),\n  dob  date\n);\n",
    ]);
}

#[test]
fn columns_between_spaces_are_read_by_their_names() {
    is_left(&[
        // pandas: an index, names over the ends of their cells, nothing in a cell.
        (
            "           name        ssn         dob  age\n\
             0  zyxela quorv  527481936  1962-03-04   93\n\
             1     tammy roe  527481937         NaN   40\n",
            "           name        ssn         dob  age\n\
             0  [NAME]  [SSN]  [DATE]   [AGE]\n1     [NAME]  [SSN]         NaN   40\n",
        ),
        // R: one space between columns, types below the names.
        (
            "          name       ssn        dob age\n\
             1 zyxela quorv 527481936 1962-03-04  93\n2    tammy roe 527481937 1970-01-02  40\n",
            "          name       ssn        dob age\n\
             1 [NAME] [SSN] [DATE]  [AGE]\n2    [NAME] [SSN] [DATE]  40\n",
        ),
        (
            "  name               ssn dob\n  <chr>            <dbl> <date>\n\
             1 zyxela quorv 527481936 1962-03-04\n",
            "  name               ssn dob\n  <chr>            <dbl> <date>\n\
             1 [NAME] [SSN] [DATE]\n",
        ),
        // A report, with a cell that is empty.
        (
            "Patient Name      MRN        Home Phone\nzyxela quorv      8812345    5550121\n\
             tammy roe                    5550122\n\nEnd of the report\n",
            "Patient Name      MRN        Home Phone\n[NAME]      [MRN]    [PHONE]\n\
             [NAME]                    [PHONE]\n\nEnd of the report\n",
        ),
        (
            "mrn last_name dob\n8812345 quorv 1962-03-04\n",
            "mrn last_name dob\n[MRN] [NAME] [DATE]\n",
        ),
    ]);
}

#[test]
fn what_only_looks_like_a_table_is_left() {
    stays(&[
        "CONTAINER ID   IMAGE          COMMAND       CREATED          STATUS          NAMES\n\
         4c01db0b339c   ubuntu:22.04   \"bash\"        17 seconds ago   Up 16 seconds   a_hopper\n\
         d7886598dbe2   redis:7        \"redis\"       2 weeks ago      Up 2 weeks      cache_main\n",
        "USER       PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n\
         root         1  0.0  0.1 167744 11296 ?        Ss   10:12   0:03 /sbin/init\n",
        "NAME                    READY   STATUS    RESTARTS   AGE\n\
         web-7d9f8b6c5d-abcde    1/1     Running   0          95d\n",
        "COMMAND   PID   USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n\
         node    48213  root  23u  IPv6 123456      0t0  TCP *:3000 (LISTEN)\n",
        "total 48\ndrwxr-xr-x  5 root root  4096 src\n-rw-r--r--  1 root root 12288 Cargo.lock\n",
        "running 3 tests\ntest table::tests::a_header ... ok\ntest table::tests::prose ... ok\n\n\
         test result: ok. 3 passed; 0 failed; 12 filtered out; finished in 0.02s\n",
        " src/privacy/mod.rs   | 12 ++++++------\n src/privacy/table.rs | 40 +++++++++++++++---\n \
         2 files changed, 30 insertions(+), 22 deletions(-)\n",
        "| Field | Type | Description |\n|---|---|---|\n| name | string | The name of the file |\n\
         | address | u32 | Where it begins |\n",
        " Schema |   Name   | Type  |  Owner   \n--------+----------+-------+----------\n \
         public | patients | table | postgres\n(1 row)\n",
        "def f(name, ssn, dob):\n    return name, ssn, dob\n",
        "Filesystem     1K-blocks      Used Available Use% Mounted on\n\
         /dev/sda1      102687672  48123456  54547832  47% /\n",
        "PASS tests/redact.rs::x   0.52s\nFAIL tests/phone.rs::y    1.20s\n",
        "name    phone    address\n\nThe columns above are explained below.\n",
        "├── src\n│   ├── main.rs\n│   └── lib.rs\n└── Cargo.toml\n",
        "Hits | Misses | Address\n--- | --- | ---\n12 | 4 | 0x00ff\n",
        "shape: (1, 2)\n│ name ┆ n   │\n│ ---  ┆ --- │\n│ str  ┆ i64 │\n│ a    ┆ 93  │\n",
    ]);
}

#[test]
fn columns_of_json_are_named_once() {
    let gone = |text: &str| {
        for (at, left) in
            [Mode::Standard, Mode::Strict].map(|mode| redacted_in(text, mode)).iter().enumerate()
        {
            for gone in ["quorv", "527481936", "tammy"] {
                assert!(!left.contains(gone), "{gone} is left in {left}");
            }
            assert!(left.contains("last_name") && left.contains("ssn"), "{left}");
            assert!(serde_json::from_str::<serde_json::Value>(left).is_ok(), "{left}");
            let mode = [Mode::Standard, Mode::Strict][at];
            assert_eq!(redacted_in(left, mode), *left);
        }
    };
    for text in [
        r#"{"columns":["last_name","ssn","n"],"index":[0],"data":[["quorv",527481936,3]]}"#,
        r#"{"rows":[["quorv","527481936"],["tammy"]],"headers":["last_name","ssn"]}"#,
        r#"{"columns":[{"name":"last_name","type":"text"},{"name":"ssn"}],"rows":[["quorv",
            "527481936"]]}"#,
        r#"{"schema":{"fields":[{"name":"last_name"},{"name":"ssn"}]},
            "rows":[{"f":[{"v":"quorv"},{"v":527481936}]}]}"#,
        r#"{"range":"A1:C3","values":[["last_name","ssn","n"],["quorv","527481936","5"]]}"#,
        r#"[["last_name","ssn"],["quorv",527481936],["tammy"]]"#,
        r#"{"last_name":{"0":"quorv","1":"tammy"},"ssn":{"0":527481936,"1":null}}"#,
        r#"{"result":{"meta":{"columns":["last_name","ssn"]},"values":[["quorv",527481936]]}}"#,
    ] {
        gone(text);
        gone(&serde_json::json!({ "content": text }).to_string());
    }
    stays(&[
        r#"{"columns": ["file_name", "size", "phase"], "rows": [["a.rs", 12, "x"]]}"#,
        r#"{"fields": ["name", "type"], "data": [["main", "fn"]]}"#,
        r#"[["name", "size"], ["main.rs", 12]]"#,
        r#"{"columns": {"0": "a"}, "size": {"0": "main.rs"}}"#,
        r#"{"fields": ["last_name", "ssn"], "index": [["a", "b", "c"]]}"#,
    ]);
}

const HEADER: &str = "MSH|^~\\&|A|B|||20240101||ADT^A01|1|P|2.5";
const PERSON: &str = "PID|1||4456677^^^H||QUORV^ZYX||19620304";
const PERSON_LEFT: &str = "PID|1||[MRN]^^^H||[NAME]^[NAME]||[DATE]";
const KIN: &str = "NK1|1|ROE^TAM|SPO|12 ELM^^OAKTON^MN^55101";
const KIN_LEFT: &str = "NK1|1|[NAME]^[NAME]|SPO|[ADDRESS]^^[LOCATION]^MN^[ZIP]";

#[test]
fn messages_in_lines_of_logs_are_read_by_their_segments() {
    let mut cases = Vec::new();
    for end in
        ["<CR>", "<cr><lf>", "\\r", "\\r\\n", "\\x0d", "\\u000d", "&#13;", "&#xD;", "\r", "\n"]
    {
        for (before, after) in [("2024-01-01 10:00:00 INFO recv ", ""), ("<VT>", "<FS>"), ("", "")]
        {
            cases.push((
                format!("{before}{HEADER}{end}{PERSON}{end}{KIN}{end}{after}"),
                format!("{before}{HEADER}{end}{PERSON_LEFT}{end}{KIN_LEFT}{end}{after}"),
            ));
        }
    }
    // Segments without their header, and with signs of the sender's own.
    for (text, left) in [
        (
            format!("segment was {PERSON}|F and then failed\nNext {KIN}\n"),
            format!("segment was {PERSON_LEFT}|F and then failed\nNext {KIN_LEFT}\n"),
        ),
        (format!("msg='{PERSON}' x"), format!("msg='{PERSON_LEFT}' x")),
        (
            PERSON.replace('|', "$").replace('^', "%"),
            PERSON_LEFT.replace('|', "$").replace('^', "%"),
        ),
        (format!("seen: {}", PERSON.replace('|', "#")), {
            format!("seen: {}", PERSON_LEFT.replace('|', "#"))
        }),
    ] {
        cases.push((text, left));
    }
    let cases: Vec<(&str, &str)> =
        cases.iter().map(|(text, left)| (text.as_str(), left.as_str())).collect();
    is_left(&cases);
    stays(&[
        "let x = a || b || PID|mask|0x1;\n",
        "echo $PID$1$$ && kill -9 $PID\n",
        "the regex PID$ or ^PID#1#2## is no segment\n",
        "a|b|PID|x|y\n1|2|3|4|5\n",
        "C:\\reports\\new | sort | uniq | head\n",
    ]);
}

#[test]
fn segments_of_claims_are_read_one_by_one() {
    is_left(&[
        ("N4*OAKTON*MN*55101~", "N4*[LOCATION]*MN*[ZIP]~"),
        ("REF*SY*527481936~", "REF*SY*[ID]~"),
        ("at N3*12 ELM ST~ of it", "at N3*[ADDRESS]~ of it"),
        ("bad: DMG*D8*19620304*F~", "bad: DMG*D8*[DATE]*F~"),
        ("NM1*IL*1*QUORV*ZYX~", "NM1*IL*1*[NAME]*[NAME]~"),
    ]);
    stays(&[
        "let area = N1*2 + N3*4;\nlet b = N4*a;\n",
        "int *N4*foo; REF*p = &x;\n",
        "a glob: src/*.rs and N3*.txt\n",
    ]);
}

#[test]
fn what_devices_and_contracts_are_told_by_is_found() {
    is_left(&[
        (
            r#"{"resourceType":"Device","serialNumber":"SN-88X","lotNumber":"LOTX","a":5}"#,
            r#"{"resourceType":"Device","serialNumber":"[DEVICE]","lotNumber":"[DEVICE]","a":5}"#,
        ),
        (
            r#"{"class":[{"value":"GRPX","name":"Acme Plan"}],"resourceType":"Coverage"}"#,
            concat!(
                r#"{"class":[{"value":"[HEALTH_PLAN_ID]","name":"Acme Plan"}],"#,
                r#""resourceType":"Coverage"}"#
            ),
        ),
        (
            r#"{"resourceType":"Coverage","subscriberId":"W88"}"#,
            r#"{"resourceType":"Coverage","subscriberId":"[HEALTH_PLAN_ID]"}"#,
        ),
    ]);
    stays(&[r#"{"class":[{"value":"GRPX"}],"lot":"a"}"#]);
}

/// The last line of a long text is read as the first is, in a time that grows with its length.
#[test]
fn long_tables_are_read_to_their_end() {
    for piece in [
        "name ssn\n",
        "name  ssn\n\n",
        "name  ssn\n---- --------\n",
        "name ssn\nabc defgh\n",
        "name | ssn\n",
        "│ name │ ssn │\n",
        "COPY p (a) FROM stdin;\n",
        "FROM STDIN ",
        "REPLACE INTO ",
        "-[ RECORD 1 ]-\nssn | 527481936\n",
        "* 1. row *\n",
        "PID|",
        "PID$1",
        " PID|1|2|3|4",
        "MSH|^~\\&|\\r",
        "REF*a~",
        "last_name  mrn  a\nx\ny\n",
    ] {
        let text = format!("{}\n\nMRN 0921098\n", piece.repeat(300_000 / piece.len()));
        let left = redacted_in(&text, Mode::Standard);
        assert!(!left.contains("0921098"), "{piece}");
    }
}
