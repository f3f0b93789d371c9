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
            main: identity(path).ok().flatten(),
            beside: [None, None],
        }
    }

    /// Whether the path leads to the files that were opened.
    pub(super) fn is_same(&mut self) -> bool {
        let Ok(main) = identity(&self.path) else {
            return false;
        };
        if self.main.is_some() && main != self.main {
            return false;
        }
        for (known, suffix) in self.beside.iter_mut().zip(["-wal", "-shm"]) {
            let mut path = self.path.clone().into_os_string();
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
