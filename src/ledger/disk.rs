//! The system calls that can fail, in one place: tests put their faults here.

use std::fs::File;
use std::io;
#[cfg(not(test))]
use std::os::unix::fs::FileExt;

/// The disk as the ledger sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) faults: std::sync::Arc<Faults>,
}

impl Disk {
    /// Writes all of `bytes` at `offset`, in one call where the kernel takes them in one.
    pub(super) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut rest, mut offset) = (bytes, offset);
        while !rest.is_empty() {
            match self.write_some(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::StorageFull.into()),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the test build has faults in it")]
    fn write_some(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    /// Puts the file's data on the disk. An error is final: the kernel may have dropped the pages.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        self.faults.before_sync()?;
        file.sync_data()
    }
}

/// Whether an error says that there is no space, which can pass, unlike a broken disk.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
pub(super) use faults::Faults;

#[cfg(test)]
mod faults {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::Duration;

    use super::Disk;

    /// What goes wrong, and when.
    #[derive(Debug, Default)]
    pub(in crate::ledger) struct Faults {
        /// Bytes that can still be written before the disk is full.
        pub(in crate::ledger) space: Mutex<Option<usize>>,
        /// The sync with this number fails; syncs count from 1.
        pub(in crate::ledger) failing_sync: AtomicU64,
        /// Syncs so far.
        pub(in crate::ledger) syncs: AtomicU64,
        /// How long a sync takes.
        pub(in crate::ledger) sync_takes: Mutex<Duration>,
        /// The next write fails as on a broken disk.
        pub(in crate::ledger) broken_writes: AtomicU64,
    }

    impl Faults {
        pub(in crate::ledger) fn before_sync(&self) -> io::Result<()> {
            std::thread::sleep(*self.sync_takes.lock().unwrap());
            let number = self.syncs.fetch_add(1, SeqCst) + 1;
            if number == self.failing_sync.load(SeqCst) {
                return Err(io::Error::from_raw_os_error(5));
            }
            Ok(())
        }
    }

    impl Disk {
        /// Writes short and then says that the disk is full, as a real one does.
        pub(super) fn write_some(
            &self,
            file: &File,
            bytes: &[u8],
            offset: u64,
        ) -> io::Result<usize> {
            if self.faults.broken_writes.load(SeqCst) > 0 {
                return Err(io::Error::from_raw_os_error(5));
            }
            let mut space = self.faults.space.lock().unwrap();
            // What is preallocated stays writable.
            let allocated = file.metadata()?.len() >= offset + bytes.len() as u64;
            let Some(left) = space.as_mut().filter(|_| !allocated) else {
                return file.write_at(bytes, offset);
            };
            let taken = bytes.len().min(*left);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *left -= taken;
            file.write_at(&bytes[..taken], offset)
        }
    }
}
