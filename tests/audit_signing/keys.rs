//! The key: made once, replaced by command and by age.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use weighbridge::audit::note::Verdict;

use crate::support::api::Fake;
use crate::support::client::Request;
use crate::support::eventually;
use crate::support::sidecar::{Options, Sidecar, Site};
use crate::tree::{bodies, check, lines, newest, notes, vkey};

fn key_files(site: &Site) -> Vec<String> {
    let names = fs::read_dir(site.data.join("audit/keys")).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The key `number` is signed by the one before and signs what comes from its own entry on.
fn follows(site: &Site, number: u32, reason: &str) {
    let text = fs::read_to_string(site.data.join(format!("audit/keys/{number:04}.vkey"))).unwrap();
    let parts: Vec<&str> = text.lines().collect();
    let signature = STANDARD.decode(parts[2]).unwrap();
    let statement = format!("{}\n{}\n", parts[0], parts[1]);
    assert!(vkey(site, number - 1).verifies(statement.as_bytes(), &signature));
    let from: usize = parts[1].parse().unwrap();
    let (kind, body) = bodies(site).remove(from);
    assert_eq!((kind.as_str(), body["reason"].as_str()), ("key_rotated", Some(reason)));
    assert_eq!(body["after"], vkey(site, number).to_string());
    assert_eq!(body["before"], vkey(site, number - 1).to_string());
    for note in notes(site) {
        let size: usize = note.text.lines().nth(1).unwrap().parse().unwrap();
        let is_before = note.verdict(&vkey(site, number)) == Verdict::Absent;
        assert_eq!(is_before, size <= from, "{size} {from}");
    }
}

#[tokio::test]
async fn a_new_key_by_command_is_signed_by_the_old_one() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    assert_eq!(key_files(&site), ["0001.key", "0001.vkey"]);
    let mode = fs::metadata(site.data.join("audit/keys/0001.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    eventually("the first is used", || (newest(&site).size > 0).then_some(())).await;
    let said = site.ok(&["audit", "rotate-key"]);
    assert!(said.contains("signed with a new key"), "{said}");
    assert_eq!(key_files(&site), ["0001.vkey", "0002.key", "0002.vkey"]);
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    let entries = lines(&site);
    eventually("the second is used", || (newest(&site).size >= entries).then_some(())).await;
    sidecar.kill();
    follows(&site, 2, "asked");
    check(&site);
    // On a stopped directory the next start takes it.
    let said = site.ok(&["audit", "rotate-key"]);
    assert!(said.contains("the next start"), "{said}");
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    eventually("a third", || (key_files(&site).len() == 4).then_some(())).await;
    sidecar.stop();
    follows(&site, 3, "asked");
    check(&site);
    assert!(!site.data.join("audit/rotate.wanted").exists());
}

#[tokio::test]
async fn an_old_key_is_replaced() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    Sidecar::start(&site, &Options::to(&fake.url)).stop();
    let options = Options::to(&fake.url).config("[audit]\nkey_age = '1ms'\n");
    let sidecar = Sidecar::start(&site, &options);
    eventually("a second", || site.data.join("audit/keys/0002.vkey").exists().then_some(())).await;
    sidecar.stop();
    check(&site);
    let aged = bodies(&site).into_iter().filter(|(kind, _)| kind == "key_rotated");
    assert!(aged.into_iter().all(|(_, body)| body["reason"] == "age"));
}

#[tokio::test]
async fn a_lost_key_is_named_and_no_other_is_made() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    Sidecar::start(&site, &Options::to(&fake.url)).stop();
    let before = lines(&site);
    fs::remove_file(site.data.join("audit/keys/0001.key")).unwrap();
    let (status, said) = Sidecar::try_start(&site, &Options::to(&fake.url)).unwrap_err();
    assert!(!status.success() && said.contains("0001.key cannot be read; put it back"), "{said}");
    assert_eq!((lines(&site), key_files(&site)), (before, vec!["0001.vkey".to_owned()]));
}
