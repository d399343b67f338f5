//! An older copy of the ledger is found out.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::api::Fake;
use crate::support::client::Request;
use crate::support::sidecar::{Options, Sidecar, Site};
use crate::tree::{bodies, check, lines, newest};

pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// One run with so many calls.
pub async fn run(site: &Site, options: &Options, calls: usize) {
    let sidecar = Sidecar::start(site, options);
    for _ in 0..calls {
        assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    }
    sidecar.stop();
}

/// The start is refused, and nothing is added.
pub fn refused(site: &Site, options: &Options, source: &str) {
    let before = lines(site);
    let (status, said) = Sidecar::try_start(site, options).unwrap_err();
    assert_eq!(status.code(), Some(1), "{said}");
    for word in [source, "--accept-rollback", "Put the newest copy back"] {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(lines(site), before);
}

#[tokio::test]
async fn older_segments_are_refused_until_somebody_accepts_them() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let mut options = Options::to(&fake.url);
    run(&site, &options, 3).await;
    copy(&site.data.join("segments"), &site.path("older"));
    run(&site, &options, 3).await;
    let signed = newest(&site).size;
    copy(&site.path("older"), &site.data.join("segments"));
    let left = lines(&site);
    refused(&site, &options, "audit/checkpoints holds a checkpoint of");
    options.arguments.push("--accept-rollback".to_owned());
    run(&site, &options, 1).await;
    let (_, body) = bodies(&site).into_iter().find(|(kind, _)| kind == "rollback").unwrap();
    assert_eq!(body["entries"], left);
    assert_eq!(body["signed"], signed);
    assert_eq!(body["source"], "audit/checkpoints");
    // What was signed after that is what the next start looks at.
    options.arguments.clear();
    run(&site, &options, 1).await;
}

#[tokio::test]
async fn another_history_of_the_same_length_is_refused() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let options = Options::to(&fake.url);
    run(&site, &options, 2).await;
    copy(&site.data, &site.path("before"));
    run(&site, &options, 2).await;
    copy(&site.data.join("audit"), &site.path("signed"));
    copy(&site.path("before"), &site.data);
    run(&site, &options, 4).await;
    check(&site);
    copy(&site.path("signed"), &site.data.join("audit"));
    refused(&site, &options, "is another one");
}

#[tokio::test]
async fn a_whole_older_directory_is_found_out_by_a_file_elsewhere() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let worm = site.path("worm.notes");
    let config = format!("[witness.worm]\nkind = 'file'\nto = '{}'\n", worm.display());
    let options = Options::to(&fake.url).config(&config);
    run(&site, &options, 2).await;
    copy(&site.data, &site.path("older"));
    run(&site, &options, 2).await;
    let text = fs::read_to_string(&worm).unwrap();
    assert!(text.contains(&format!("\n{}\n", newest(&site).size)), "the last one too: {text}");
    let said = site.ok(&["audit", "checkpoint"]);
    assert!(
        said.contains(&format!("witness worm: {} entries, the newest", lines(&site))),
        "{said}"
    );
    copy(&site.path("older"), &site.data);
    refused(&site, &options, "witness.worm holds a checkpoint of");
    // A directory whose keys and checkpoints are gone is no way around it.
    fs::remove_dir_all(site.data.join("audit")).unwrap();
    refused(&site, &options, "witness.worm holds a checkpoint of");
}
