//! A data directory that cannot be used, is taken, or goes away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::chain::sound;
use crate::disk::SmallDisk;
use crate::support::api::Fake;
use crate::support::client::Request;
use crate::support::sidecar::{Options, Sidecar, Site, files};
use crate::support::{SOON, eventually};

/// Root may do everything: without its capabilities it is held to the modes of files too.
const PLAIN_ROOT: [&str; 3] = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];

/// The start ends with an error that names the place, and makes no other.
fn refused(site: &Site, options: &Options, names: &str) {
    let (status, said) = Sidecar::try_start(site, options).unwrap_err();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(names) && said.contains(site.data.to_str().unwrap()), "{said}");
    assert_nowhere_else(site);
}

/// Nothing was written into the home instead.
fn assert_nowhere_else(site: &Site) {
    let mut found = Vec::new();
    files(&site.path("home"), &mut found);
    assert!(found.is_empty(), "{found:?}");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a10_a_directory_that_cannot_be_used_refuses_the_start() {
    let (mut site, fake) = (Site::new(), Fake::start("burst").await);
    let options = Options::to(&fake.url);
    let plain = if rustix::process::getuid().is_root() {
        options.clone().through(&PLAIN_ROOT)
    } else {
        options.clone()
    };
    Sidecar::start(&site, &plain).stop();
    let data = site.data.clone();
    // Somebody else's, and one that may be read only.
    for bits in [0o000, 0o500] {
        mode(&data, bits);
        refused(&site, &plain, "ermission denied");
        mode(&data, 0o700);
    }
    Sidecar::start(&site, &plain).stop();
    sound(&site);
    // Where it should be made nothing can be: below a file, and in a folder of somebody else.
    site.data = site.file("a-file", "").join("data");
    refused(&site, &options, "cannot be made");
    let locked = site.path("locked");
    fs::create_dir(&locked).unwrap();
    mode(&locked, 0o500);
    site.data = locked.join("data");
    refused(&site, &plain, "cannot be made");
    mode(&locked, 0o700);
}

#[tokio::test]
async fn a10_a_disk_that_may_be_read_only_refuses_the_start() {
    let (mut site, fake) = (Site::new(), Fake::start("burst").await);
    let options = Options::to(&fake.url);
    let folder = site.data.clone();
    let Some(mut disk) = SmallDisk::mount(&folder) else {
        println!("no disk of its own here; the modes of a10_a_directory_… show the same");
        return;
    };
    site.data.clone_from(&disk.path);
    Sidecar::start(&site, &options).stop();
    assert!(disk.run(&format!("mount -o remount,bind,ro {}", folder.display())));
    refused(&site, &options, "ead-only");
    assert!(disk.run(&format!("mount -o remount,bind,rw {}", folder.display())));
    Sidecar::start(&site, &options).stop();
    sound(&site);
}

#[tokio::test]
async fn a10_a_directory_that_goes_away_ends_the_taking_of_calls() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let options = Options::to(&fake.url);
    let sidecar = Sidecar::start(&site, &options);
    let request = Request::messages("burst", true);
    assert_eq!(sidecar.call(&request).await.status, 200);
    let away = site.path("away");
    fs::rename(&site.data, &away).unwrap();
    let start = std::time::Instant::now();
    loop {
        let response = sidecar.call(&request).await;
        if response.status == 503 {
            assert_eq!(response.error_type(), "api_error");
            break;
        }
        assert!(start.elapsed() < SOON, "{}", sidecar.said());
    }
    let sent = fake.count();
    assert_eq!(sidecar.call(&request).await.status, 503);
    assert_eq!(fake.count(), sent, "nothing is sent on without a record");
    assert!(!site.data.join("segments").exists(), "no other ledger is begun");
    assert_nowhere_else(&site);
    drop(sidecar);
    let _ = fs::remove_dir_all(&site.data);
    fs::rename(&away, &site.data).unwrap();
    Sidecar::start(&site, &options).stop();
    sound(&site);
}

#[tokio::test]
async fn a11_one_data_directory_has_one_sidecar() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let first = Sidecar::start(&site, &Options::to(&fake.url));
    let second = Sidecar::try_start(&site, &Options::to(&fake.url));
    let (status, said) = second.expect_err("the second must not start");
    assert!(!status.success());
    assert!(said.contains("in use by another process"), "{said}");
    let response = first.call(&Request::messages("burst", true)).await;
    assert_eq!(response.status, 200, "the first goes on");
    assert_eq!(site.exchange(&response.exchange())["outcome"], "completed");
    first.stop();
    sound(&site);
    eventually("the lock is free", || {
        let again = Sidecar::try_start(&site, &Options::to(&fake.url));
        again.ok().map(Sidecar::stop)
    })
    .await;
}
