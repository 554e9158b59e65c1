//! Which files a run reads.

use crate::folder::{FoundFile, files_at};
use std::path::PathBuf;
use taghouse_rules::{FileGlob, SourceFormat};

/// The files meant by `paths`, in name order: of a folder those that match `glob`, or by default
/// the format's endings (see [`files_at`] for its subfolders); a file that is named itself always.
///
/// # Errors
/// A path that cannot be read, two files of one name, a name that is not UTF-8.
pub(crate) fn list(
    paths: &[PathBuf],
    glob: Option<&str>,
    format: SourceFormat,
) -> crate::Result<Vec<FoundFile>> {
    let glob = glob.map(FileGlob::parse).transpose().map_err(crate::Error::Invalid)?;
    let mut found = Vec::new();
    for path in paths {
        let files = files_at(path, glob.as_ref())
            .map_err(|source| crate::Error::Path { path: path.clone(), source })?;
        let named_itself = |file: &FoundFile| file.path == *path;
        found.extend(
            files
                .into_iter()
                .filter(|file| named_itself(file) || glob.is_some() || ends_as(&file.name, format)),
        );
    }
    found.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    found.dedup();
    if let Some(pair) = found.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let (a, b) = (pair[0].path.display(), pair[1].path.display());
        return Err(crate::Error::Invalid(format!(
            "{a} and {b} have one name, by which files are known: rename one, or give the folder that holds both"
        )));
    }
    Ok(found)
}

fn ends_as(name: &str, format: SourceFormat) -> bool {
    let name = name.to_ascii_lowercase();
    let endings: &[&str] = match format {
        SourceFormat::Csv { .. } => &[".csv", ".csv.gz"],
        SourceFormat::Jsonl => &[".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"],
        SourceFormat::Parquet => &[".parquet"],
        SourceFormat::Segment | SourceFormat::Kafka => &[],
    };
    endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_name_order_and_refuses_two_of_a_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv.gz", "c.txt", "D.CSV"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(folder.path().join("sub.csv")).unwrap();
        let csv = SourceFormat::Csv { delimiter: b',', escape: None };
        let names = |paths: &[PathBuf], glob| {
            list(paths, glob, csv).unwrap().into_iter().map(|f| f.name).collect::<Vec<_>>()
        };
        let here = [folder.path().to_owned()];
        assert_eq!(names(&here, None), ["D.CSV", "a.csv.gz", "b.csv"]);
        assert_eq!(names(&here, Some("*.txt")), ["c.txt"]);
        assert_eq!(
            names(&[folder.path().join("c.txt"), folder.path().join("c.txt")], None),
            ["c.txt"]
        );
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("b.csv"), "y").unwrap();
        let twice = list(&[here[0].clone(), other.path().to_owned()], None, csv).unwrap_err();
        assert!(twice.to_string().contains("have one name"), "{twice}");
        let gone = list(&[folder.path().join("gone")], None, csv).unwrap_err();
        assert_eq!(gone.kind(), taghouse_model::ErrorKind::NotFound);
    }
}
