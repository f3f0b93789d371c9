//! The identity of the open file, and whether its path still leads to it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::error::Cause;

/// The state of the file, which the threads of a store share.
#[derive(Debug, Default)]
pub(super) struct FileState {
    is_replaced: AtomicBool,
    /// Counts how often the file was opened again. Every reader then opens it again, too.
    generation: AtomicU64,
}

impl FileState {
    pub(super) fn set_replaced(&self, is_replaced: bool) {
        self.is_replaced.store(is_replaced, Ordering::SeqCst);
    }

    pub(super) fn check(&self) -> Result<(), Cause> {
        match self.is_replaced.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(Cause::FileReplaced),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn opened_again(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.set_replaced(false);
    }
}

/// A database's files as they were when it was opened.
#[derive(Debug)]
pub(super) struct OpenedFile {
    path: PathBuf,
    /// Where the path led. SQLite follows links, too, and keeps the files beside the target. With another
    /// name of the same file it would use others.
    real: Option<PathBuf>,
    main: Option<Identity>,
    /// The write-ahead log and its index. They must stay the same files, because a change is in them first.
    /// The first access creates them.
    beside: [Option<Identity>; 2],
}

/// Device and inode. An inode is not used again as long as the file is open.
type Identity = (u64, u64);

impl OpenedFile {
    /// Call it before the file is opened, and [`is_same`](Self::is_same) afterwards.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            real: path.canonicalize().ok(),
            main: identity(path).ok().flatten(),
            beside: [None, None],
        }
    }

    /// Whether the path leads to the files that were opened.
    pub(super) fn is_same(&mut self) -> bool {
        let (Ok(main), Ok(real)) = (identity(&self.path), self.path.canonicalize()) else {
            return false;
        };
        if self.main.is_some() && main != self.main {
            return false;
        }
        let known = self.real.get_or_insert_with(|| real.clone());
        if *known != real {
            return false;
        }
        for (known, suffix) in self.beside.iter_mut().zip(["-wal", "-shm"]) {
            let mut path = real.clone().into_os_string();
            path.push(suffix);
            let Ok(found) = identity(Path::new(&path)) else {
                return false;
            };
            if known.is_some() && found != *known {
                return false;
            }
            *known = found;
        }
        self.main = main;
        main.is_some()
    }

    /// Fails if the file has a name beside which another process would look for another log: a second hard
    /// link, or the place at which the file alone is mounted. Changes of one log are not seen in the other.
    pub(super) fn check_names(&self) -> Result<(), Cause> {
        let Some(real) = &self.real else {
            return Ok(());
        };
        match has_other_names(real) {
            true => Err(Cause::OtherNames),
            false => Ok(()),
        }
    }
}

#[cfg(unix)]
fn has_other_names(real: &Path) -> bool {
    use std::os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _};
    if std::fs::metadata(real).is_ok_and(|file| file.nlink() > 1) {
        return true;
    }
    // Only Linux tells where something is mounted in this way.
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    is_mounted_at(&mounts, real.as_os_str().as_bytes())
}

#[cfg(not(unix))]
fn has_other_names(_real: &Path) -> bool {
    false
}

/// Whether the list of Linux has a mount at exactly this path. It is the fifth word of a line, and some
/// bytes are written as three octal digits there.
#[cfg(any(unix, test))]
fn is_mounted_at(mounts: &[u8], path: &[u8]) -> bool {
    let mut escaped = Vec::with_capacity(path.len());
    for &byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").into_bytes()),
            byte => escaped.push(byte),
        }
    }
    let mut lines = mounts.split(|&byte| byte == b'\n');
    lines.any(|line| line.split(|&byte| byte == b' ').nth(4) == Some(&escaped))
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Option<Identity>> {
    use std::os::unix::fs::MetadataExt as _;
    match std::fs::metadata(path) {
        Ok(file) => Ok(Some((file.dev(), file.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// On other systems an open file cannot be replaced, so it is enough that one exists.
#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<Option<Identity>> {
    Ok(path.try_exists()?.then_some((0, 0)))
}

/// The absolute path, which stays right if the process changes its folder.
pub(super) fn checked_path(path: &Path) -> Result<PathBuf, Cause> {
    // For these paths SQLite makes a database for each connection, which ends with it.
    if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
        return Err(Cause::NoFile(path.to_owned()));
    }
    std::path::absolute(path).map_err(|_| Cause::NoFile(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::is_mounted_at;

    /// The lines are those of `proc_pid_mountinfo(5)`, with a blank in the name of a file.
    #[test]
    fn a_file_that_is_mounted_alone_is_found_in_the_list_of_mounts() {
        let mounts = b"25 1 253:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
            36 25 253:0 /host/my.db /data/my\\040own.db rw - ext4 /dev/root rw\n";
        assert!(is_mounted_at(mounts, b"/data/my own.db"));
        for path in ["/data/my", "/data/my own.db-wal", "/data", "/host/my.db"] {
            assert!(!is_mounted_at(mounts, path.as_bytes()), "{path}");
        }
        assert!(!is_mounted_at(b"", b"/data/my own.db"));
    }
}
