//! A disk of 16 MiB that nobody but a test sees: a tmpfs in a mount namespace of its own, which a
//! user without privileges may make in a user namespace. The process that holds it is the way in.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// It has no room for two reserves of 10 MiB: to leave the one in use, the ledger must give its
/// rest back first.
pub struct SmallDisk {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where it is seen from outside.
    pub path: PathBuf,
}

impl SmallDisk {
    /// `None` where this machine lets nobody mount anything.
    pub fn mount(folder: &Path) -> Option<SmallDisk> {
        fs::create_dir_all(folder).unwrap();
        ["-Urm", "-m"].iter().find_map(|flags| SmallDisk::mount_with(flags, folder))
    }

    fn mount_with(flags: &str, folder: &Path) -> Option<SmallDisk> {
        let mut command = Command::new("unshare");
        command.arg(flags).args(["sh", "-c"]);
        command.arg("while read -r line; do eval \"$line\" && echo done || echo failed; done");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let (commands, answers) = (child.stdin.take()?, child.stdout.take()?);
        let path = folder.strip_prefix("/").unwrap();
        let path = PathBuf::from(format!("/proc/{}/root", child.id())).join(path);
        let answers = BufReader::new(answers);
        let mut disk = SmallDisk { child, commands, answers, path };
        let mount = format!("mount -t tmpfs -o size=16m,mode=0700 tmpfs {}", folder.display());
        disk.run(&mount).then_some(disk)
    }

    /// Runs a command where the disk is mounted.
    pub fn run(&mut self, command: &str) -> bool {
        let mut answer = String::new();
        let sent = writeln!(self.commands, "{command}").is_ok();
        sent && self.answers.read_line(&mut answer).is_ok() && answer == "done\n"
    }

    /// Leaves no byte free; removing the file ends it.
    pub fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
