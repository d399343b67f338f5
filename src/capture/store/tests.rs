use super::super::KeptPiece;
use super::*;
use crate::privacy::known::Known;
use crate::privacy::{Identifier, Redactor};

fn kept(exchange: &str) -> Kept {
    let redactor = Redactor::default();
    let text = redactor.redact("Mr. Roe has a fever", &mut Known::default()).text;
    let piece = KeptPiece {
        author: "user",
        kind: "text",
        tool: None,
        text: Some(text),
        bytes: 19,
        media: None,
        hash: None,
        dropped: None,
        counts: [0; crate::privacy::Label::ALL.len()],
    };
    Kept { exchange: exchange.to_owned(), mode: "standard", pieces: vec![piece] }
}

fn read(store: &Store, exchange: &str) -> Result<Option<Value>, StoreError> {
    store.read(exchange, &mut |path, line| panic!("{} {line}", path.display()))
}

#[test]
fn what_is_sealed_is_read_by_its_exchange_and_by_nobody_without_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    let exchange = "019abcde-0000-7000-8000-000000000001";
    let subject = Subject::User("onc".to_owned(), "ana".to_owned());
    store.append(&subject, &kept(exchange)).unwrap();
    let shown = read(&store, exchange).unwrap().unwrap();
    assert_eq!(shown, serde_json::to_value(kept(exchange)).unwrap());
    assert_eq!(shown["pieces"][0]["text"], "Mr. [NAME] has a fever");
    assert_eq!(read(&store, "019abcde-0000-7000-8000-000000000002").unwrap(), None);
    let file = store.day_path(millis_of(exchange));
    let bytes = std::fs::read_to_string(file).unwrap();
    assert!(!bytes.contains("fever") && !bytes.contains("ana"));
    let other = Store::open(dir.path(), [8; 32]).unwrap();
    assert!(matches!(read(&other, exchange), Err(StoreError::Damaged(_))));
}

#[test]
fn an_erased_subject_is_mute_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    let ids = ["019abcde-0000-7000-8000-00000000000a", "019abcde-0000-7000-8000-00000000000b"];
    let subjects = ["a", "b"].map(|name| Subject::Session(name.to_owned()));
    for (id, subject) in ids.iter().zip(&subjects) {
        store.append(subject, &kept(id)).unwrap();
    }
    assert!(store.erase(&subjects[0], 0).unwrap() && !store.erase(&subjects[0], 0).unwrap());
    assert!(matches!(read(&store, ids[0]), Err(StoreError::Erased)));
    assert!(read(&store, ids[1]).unwrap().is_some());
    // Who comes back has another key, and what was erased stays so.
    let again = "019abcde-0000-7000-8000-00000000000c";
    store.append(&subjects[0], &kept(again)).unwrap();
    assert!(read(&store, again).unwrap().is_some());
    assert!(matches!(read(&store, ids[0]), Err(StoreError::Erased)));
}

#[test]
fn keys_and_lines_without_an_id_are_read_and_erased() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    let subject = Subject::Session("s".to_owned());
    let name = store.name(&subject);
    let key = seal(&store.key, name.as_bytes(), vec![9; KEY_BYTES]).unwrap();
    store.write_whole(&store.key_path(&name), &key).unwrap();
    let ids = ["019abcde-0000-7000-8000-00000000000a", "019abcde-0000-7000-8000-00000000000b"];
    store.append(&subject, &kept(ids[0])).unwrap();
    let file = store.day_path(millis_of(ids[0]));
    assert!(!fs::read_to_string(&file).unwrap().contains("\"key\""), "an older version's line");
    assert!(read(&store, ids[0]).unwrap().is_some());
    store.erase(&subject, 0).unwrap();
    store.append(&subject, &kept(ids[1])).unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("\"key\""));
    assert!(matches!(read(&store, ids[0]), Err(StoreError::Erased)));
    assert!(read(&store, ids[1]).unwrap().is_some());
}

#[test]
fn a_line_that_was_changed_is_damaged_and_not_erased() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    let id = "019abcde-0000-7000-8000-00000000000a";
    store.append(&Subject::Session("s".to_owned()), &kept(id)).unwrap();
    let file = store.day_path(millis_of(id));
    let text = fs::read_to_string(&file).unwrap();
    let at = text.find("\"sealed\":\"").unwrap() + 40;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    fs::write(&file, format!("{}{other}{}", &text[..at], &text[at + 1..])).unwrap();
    assert!(matches!(read(&store, id), Err(StoreError::Damaged(_))));
}

/// An exchange that began in this millisecond.
fn exchange(millis: u64, nth: u64) -> String {
    let digits = format!("{millis:012x}");
    format!("{}-{}-7000-8000-{nth:012x}", &digits[..8], &digits[8..])
}

#[test]
fn what_began_before_an_erasure_is_not_sealed_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    let subject = Subject::Session("s".to_owned());
    const ERASED: u64 = 1_790_000_000_000;
    // Nothing was sealed yet: what waits is dropped all the same.
    assert!(!store.erase(&subject, ERASED).unwrap());
    let sealed = |millis: u64| store.append(&subject, &kept(&exchange(millis, 1))).unwrap();
    assert_eq!(sealed(ERASED - 1), Appended::Erased);
    assert_eq!(sealed(ERASED), Appended::Erased);
    assert_eq!(sealed(ERASED + 1), Appended::Sealed);
    assert!(read(&store, &exchange(ERASED - 1, 1)).unwrap().is_none());
    assert!(read(&store, &exchange(ERASED + 1, 1)).unwrap().is_some());
    // An erasure by a clock that went back takes nothing of one before it away.
    assert!(store.erase(&subject, ERASED - 9).unwrap());
    assert_eq!(sealed(ERASED), Appended::Erased);
    // A word that cannot be read is no leave to seal.
    fs::write(store.erased_path(&store.name(&subject)), "soon").unwrap();
    assert!(store.append(&subject, &kept(&exchange(ERASED + 2, 1))).is_err());
    assert!(store.erase(&subject, ERASED + 3).is_ok());
}

#[test]
fn an_erasure_amid_the_sealing_leaves_nothing_that_began_before_it() {
    const ERASED: u64 = 1_790_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let [sealing, erasing] = [0, 1].map(|_| Store::open(dir.path(), [7; 32]).unwrap());
    let subject = Subject::Session("s".to_owned());
    let (name, before) = (sealing.name(&subject), kept(&exchange(ERASED - 1, 1)));
    // The sidecar has a key in its hand, new or old, and has not sealed yet.
    for _ in 0..2 {
        let key = sealing.key_for(&name).unwrap();
        assert!(erasing.erase(&subject, ERASED).unwrap());
        let appended = sealing.append_under(key, &name, &before).unwrap();
        assert_eq!(appended, Appended::Erased);
    }
    // The erasure goes no further than its word: the key is not gone before it.
    let other = Subject::Session("t".to_owned());
    sealing.append(&other, &before).unwrap();
    fs::create_dir(sealing.erased_path(&sealing.name(&other))).unwrap();
    assert!(erasing.erase(&other, ERASED).is_err());
    assert!(sealing.key_path(&sealing.name(&other)).exists());
}

#[test]
fn the_beginning_of_an_id_is_enough_where_it_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    // The first eight digits are the same on both sides of this midnight.
    const MIDNIGHT: u64 = 20_716 * 86_400_000;
    let ids = [exchange(MIDNIGHT - 1, 1), exchange(MIDNIGHT, 2)];
    assert_eq!(ids[0][..8], ids[1][..8]);
    for id in &ids {
        store.append(&Subject::Exchange(id.clone()), &kept(id)).unwrap();
    }
    for id in &ids {
        assert_eq!(read(&store, &id[..13]).unwrap().unwrap()["exchange"], **id);
        assert_eq!(read(&store, &id.to_uppercase()).unwrap().unwrap()["exchange"], **id);
    }
    let both = read(&store, &ids[0][..8]).unwrap_err().to_string();
    assert!(ids.iter().all(|id| both.contains(id)), "{both}");
    let none = exchange(MIDNIGHT + 7, 1);
    assert_eq!(store.whole_id(&none[..13], &mut |_, _| ()).unwrap(), None);
    for wrong in [&ids[0][..7], "", "../../keys", &"a".repeat(37), "019abcdé"] {
        assert!(matches!(read(&store, wrong), Err(StoreError::NoId(_))), "{wrong}");
    }
}

#[test]
fn a_line_above_the_bound_is_neither_written_nor_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    let (long, short) = (exchange(1_790_000_000_000, 1), exchange(1_790_000_000_000, 2));
    let subject = Subject::Session("s".to_owned());
    let mut much = kept(&long);
    much.pieces[0].tool = Some(Identifier::known("x".repeat(LINE_BYTES_MAX).leak()));
    assert_eq!(store.append(&subject, &much).unwrap(), Appended::TooLong);
    let path = store.day_path(millis_of(&long));
    assert!(!path.exists());
    fs::write(&path, "x".repeat(LINE_BYTES_MAX + 1) + "\n" + &"\u{e9}".repeat(9)).unwrap();
    assert_eq!(store.append(&subject, &kept(&short)).unwrap(), Appended::Sealed);
    let mut told = Vec::new();
    let read = store.read(&short, &mut |path, line| told.push((path.to_owned(), line)));
    assert!(read.unwrap().is_some());
    assert_eq!(told, [(path, 1)]);
}
