//! Faults that no privilege is needed for: the sidecar runs on a C library that lies as it is told
//! (`shim.c`).

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::sidecar::Site;

/// The numbers of `struct control`, in order.
const WALL: u64 = 0;
const FAILING_SYNC: u64 = 1;
const SYNCS: u64 = 2;
const FULL: u64 = 3;
const REFUSED: u64 = 4;
const NUMBERS: u64 = 5;

/// What is out of space.
#[derive(Clone, Copy, Debug)]
pub enum Full {
    Nothing = 0,
    Checkpoints = 1,
    Growth = 2,
}

/// What every command of a site is told.
pub struct Shim(File);

impl Shim {
    /// Compiles it, and loads it into every command of the site from now on. Whoever builds this
    /// program has `cc`: it links it.
    pub fn load(site: &mut Site) -> Shim {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let (library, control) = (site.path("shim.so"), site.path("shim.control"));
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library);
        let output = command.arg(source).arg("-ldl").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = File::options().create_new(true).read(true).write(true).open(&control).unwrap();
        file.set_len(NUMBERS * 8).unwrap();
        site.env("LD_PRELOAD", library.to_str().unwrap());
        site.env("SHIM_CONTROL", control.to_str().unwrap());
        Shim(file)
    }

    fn set(&self, number: u64, value: i64) {
        self.0.write_all_at(&value.to_ne_bytes(), number * 8).unwrap();
    }

    fn get(&self, number: u64) -> i64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, number * 8).unwrap();
        i64::from_ne_bytes(bytes)
    }

    /// The wall clock is this far ahead of the machine's.
    pub fn wall_ahead(&self, seconds: i64) {
        self.set(WALL, seconds * Duration::from_secs(1).as_nanos() as i64);
    }

    /// The sync of a segment with this number, from the program's start on, fails with EIO.
    pub fn fail_sync(&self, number: i64) {
        self.set(SYNCS, 0);
        self.set(FAILING_SYNC, number);
    }

    pub fn syncs(&self) -> i64 {
        self.get(SYNCS)
    }

    pub fn full(&self, what: Full) {
        self.set(FULL, what as i64);
    }

    /// Writes that found no space.
    pub fn refused(&self) -> i64 {
        self.get(REFUSED)
    }
}
