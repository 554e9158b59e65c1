//! A folder that each run fills again, in memory where the system has a place for that.

use std::fs;
use std::path::{Path, PathBuf};

pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = Self(parent.join(format!("taghouse-fuzz-{name}-{}", std::process::id())));
        folder.clear();
        folder
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Empties it.
    pub fn clear(&self) {
        let _ = fs::remove_dir_all(&self.0);
        fs::create_dir_all(&self.0).expect("a folder can be made");
    }

    /// Writes a file below it.
    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.0.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a folder can be made");
        }
        fs::write(path, content).expect("a file can be written");
    }

    /// All files, with their paths below it, sorted.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let (mut files, mut folders) = (Vec::new(), vec![self.0.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("it can be read").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let (Ok(below), Ok(content)) =
                    (path.strip_prefix(&self.0), fs::read(&path))
                {
                    files.push((below.to_string_lossy().into_owned(), content));
                }
            }
        }
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
