//! Files of a folder and its subfolders, and the name by which each is known.
//!
//! A file is known by its path relative to the folder given. Folders called `column=value` hold a
//! part of a table each, as Hive and Spark write it: they are always looked into, and belong to the
//! name also where such a folder, or a file within it, is given itself. So a file has one name
//! whichever way it is given.

use percent_encoding::percent_decode_str;
use std::io;
use std::path::{Path, PathBuf};
use taghouse_rules::FileGlob;

/// Folders in folders beyond this many are a link that leads back.
const MAX_DEPTH: usize = 64;

/// What Hive writes for no value.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A file and the name by which it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path below the folder given, with `/` between its parts; it stands in message ids and
    /// in the ledger.
    pub name: String,
}

/// A column whose value stands in the name of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderColumn {
    pub(crate) name: String,
    /// `None`: no value.
    pub(crate) value: Option<String>,
}

/// The file at `path`, or the files of that folder which `glob` picks; without one, all. Of
/// subfolders those of a Hive partition are looked into, and if the glob names folders all but
/// those whose name begins with `.` or `_`.
///
/// # Errors
/// What cannot be read; a name that is not UTF-8; folders nested without end.
pub fn files_at(path: &Path, glob: Option<&FileGlob>) -> io::Result<Vec<FoundFile>> {
    let is_folder = std::fs::metadata(path)?.is_dir();
    let mut above = partitions_above(path, is_folder)?;
    if !is_folder {
        above.push(utf8_name(path)?);
        return Ok(vec![FoundFile { path: path.to_owned(), name: above.join("/") }]);
    }
    let mut found = Vec::new();
    walk(path, &above, glob, &mut found)?;
    Ok(found)
}

/// The names of the partitions that directly hold the path, outermost first; of a folder with its
/// own.
fn partitions_above(path: &Path, is_folder: bool) -> io::Result<Vec<String>> {
    let mut above = Vec::new();
    let mut next = if is_folder { Some(path) } else { path.parent() };
    while let Some(folder) = next.filter(|folder| {
        folder.file_name().is_some_and(|name| column_of(&name.to_string_lossy()).is_some())
    }) {
        above.push(utf8_name(folder)?);
        next = folder.parent();
    }
    above.reverse();
    Ok(above)
}

fn walk(
    folder: &Path,
    above: &[String],
    glob: Option<&FileGlob>,
    found: &mut Vec<FoundFile>,
) -> io::Result<()> {
    if above.len() > MAX_DEPTH {
        return Err(io::Error::other(format!(
            "{} lies more than {MAX_DEPTH} folders deep: does a link lead back?",
            folder.display()
        )));
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            // A link that leads nowhere.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            // Such as a link that leads back: the system follows 40 of them.
            Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
        };
        let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if metadata.is_dir() {
            let hidden = shown.starts_with(['.', '_']);
            if column_of(&shown).is_some() || (!hidden && glob.is_some_and(FileGlob::names_folders))
            {
                let below: Vec<String> = above.iter().cloned().chain([utf8_name(&path)?]).collect();
                walk(&path, &below, glob, found)?;
            }
            continue;
        }
        let name =
            above.iter().map(String::as_str).chain([shown.as_str()]).collect::<Vec<_>>().join("/");
        if metadata.is_file() && glob.is_none_or(|glob| glob.matches(&name)) {
            utf8_name(&path)?;
            found.push(FoundFile { path, name });
        }
    }
    Ok(())
}

fn utf8_name(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the name of {} is not UTF-8: rename it", path.display()),
        )
    })
}

/// The columns that a file's name gives, outermost first.
pub(crate) fn columns_of(name: &str) -> Vec<FolderColumn> {
    let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
    folders.split('/').filter_map(column_of).collect()
}

/// `column=value`, both perhaps with %20 and the like.
fn column_of(folder: &str) -> Option<FolderColumn> {
    let (name, value) = folder.split_once('=').filter(|(name, _)| !name.is_empty())?;
    let plain = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map_or_else(|_| text.to_owned(), |plain| plain.into_owned())
    };
    Some(FolderColumn {
        name: plain(name),
        value: (value != HIVE_NULL && !value.is_empty()).then(|| plain(value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path, glob: Option<&str>) -> Vec<String> {
        let glob = glob.map(|glob| FileGlob::parse(glob).unwrap());
        let mut names: Vec<_> =
            files_at(path, glob.as_ref()).unwrap().into_iter().map(|file| file.name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_one_name_whichever_way_it_is_given() {
        let home = tempfile::tempdir().unwrap();
        let here = home.path();
        for name in [
            "a.csv",
            "sub/a.csv",
            "sub/deep/b.csv",
            "dt=1/hour=2/a.csv",
            "sub/dt=3/a.csv",
            "_temporary/a.csv",
            ".git/a.csv",
            "=x/a.csv",
        ] {
            std::fs::create_dir_all(here.join(name).parent().unwrap()).unwrap();
            std::fs::write(here.join(name), "").unwrap();
        }
        assert_eq!(names(here, None), ["a.csv", "dt=1/hour=2/a.csv"]);
        assert_eq!(names(here, Some("*.csv")), ["a.csv", "dt=1/hour=2/a.csv"]);
        assert_eq!(
            names(here, Some("**/*.csv")),
            [
                "=x/a.csv",
                "a.csv",
                "dt=1/hour=2/a.csv",
                "sub/a.csv",
                "sub/deep/b.csv",
                "sub/dt=3/a.csv"
            ]
        );
        assert_eq!(names(here, Some("sub/*.csv")), ["sub/a.csv"]);
        assert_eq!(names(here, Some("**/dt=*/**")), ["dt=1/hour=2/a.csv", "sub/dt=3/a.csv"]);
        assert_eq!(names(&here.join("dt=1"), Some("*.csv")), ["dt=1/hour=2/a.csv"]);
        assert_eq!(names(&here.join("dt=1/hour=2"), None), ["dt=1/hour=2/a.csv"]);
        assert_eq!(names(&here.join("dt=1/hour=2/a.csv"), None), ["dt=1/hour=2/a.csv"]);
        assert_eq!(names(&here.join("sub"), None), ["a.csv", "dt=3/a.csv"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_back_end() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(home.path(), home.path().join("again")).unwrap();
        std::os::unix::fs::symlink(home.path().join("gone"), home.path().join("nowhere.csv"))
            .unwrap();
        assert_eq!(names(home.path(), Some("*.csv")), Vec::<String>::new());
        let glob = FileGlob::parse("**/*.csv").unwrap();
        assert!(files_at(home.path(), Some(&glob)).is_err());
    }

    #[test]
    fn columns_of_folders() {
        let columns = |name: &str| {
            columns_of(name)
                .into_iter()
                .map(|column| (column.name, column.value))
                .collect::<Vec<_>>()
        };
        let some = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(columns("a=b.csv"), []);
        assert_eq!(columns("dt=2026-03-02/a.csv"), [some("dt", "2026-03-02")]);
        assert_eq!(
            columns("x/city=S%C3%A3o%20Paulo/k=a=b/a.csv"),
            [some("city", "São Paulo"), some("k", "a=b")]
        );
        assert_eq!(columns("dt=__HIVE_DEFAULT_PARTITION__/a.csv"), [("dt".to_owned(), None)]);
        assert_eq!(columns("bad=%FF/=x/a.csv"), [some("bad", "%FF")]);
    }
}
