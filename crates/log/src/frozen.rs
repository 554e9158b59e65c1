//! A copy of the log as it was at one moment.

use crate::carry::live_records;
use crate::contents::Contents;
use crate::error::unavailable;
use crate::frame::Kind;
use crate::group::Group;
use crate::options::Options;
use crate::read::RunReader;
use crate::runs::Run;
use crate::segment::{self, HEAD};
use crate::{Error, FrozenLog, Result};
use std::path::Path;
use taghouse_journal::AppendFile;
use taghouse_model::AppId;

/// What the records of one group weigh: as a rule no more than those of the groups that they were
/// appended in, so that the copy has no more groups than the log.
const GROUP_BYTES: u64 = 32 << 20;

/// What the log held when this was made. Its segments can be read after they are removed.
pub(crate) struct Frozen {
    contents: Contents,
    options: Options,
}

/// A run of an app.
struct AppRun<'a> {
    app: &'a AppId,
    trimmed: u64,
    run: &'a Run,
}

impl Frozen {
    pub(crate) fn new(contents: Contents, options: Options) -> Self {
        Self { contents, options }
    }

    /// What is copied, by group. There is one at least where anything was ever appended: the marks
    /// say so.
    fn groups(&self) -> Vec<Vec<AppRun<'_>>> {
        if self.contents.groups == 0 {
            return Vec::new();
        }
        let (mut groups, mut last, mut weight) = (Vec::new(), Vec::new(), 0);
        for (app, trimmed, runs) in self.contents.live() {
            for run in runs {
                if weight >= GROUP_BYTES {
                    groups.push(std::mem::take(&mut last));
                    weight = 0;
                }
                weight += run.weight();
                last.push(AppRun { app, trimmed, run });
            }
        }
        groups.push(last);
        groups
    }

    fn copy(&self, folder: &Path) -> Result<()> {
        let groups = self.groups();
        // The last group has the number that it has in the log: a mark that stands beside the copy
        // can be compared with it.
        let first = (self.contents.groups + 1).saturating_sub(groups.len() as u64).max(1);
        let begin = |group| segment::create(folder, group).map_err(unavailable(folder));
        let mut file = begin(first)?;
        for (number, runs) in (first..).zip(&groups) {
            if file.durable() >= self.options.segment_bytes.max(HEAD as u64 + 1) {
                file = begin(number)?;
            }
            self.write_group(&mut file, number, runs)?;
        }
        Ok(())
    }

    fn write_group(&self, file: &mut AppendFile, number: u64, runs: &[AppRun<'_>]) -> Result<()> {
        let mut group = Group::new(number, self.options.frame_bytes, Vec::new());
        if file.durable() == HEAD as u64 {
            self.contents.marks().for_each(|(app, mark)| group.mark(app, mark));
        }
        let mut reader = RunReader::default();
        for AppRun { app, trimmed, run } in runs {
            for (position, record) in live_records(&mut reader, run, app, *trimmed)? {
                group.record(Kind::Carried, app, position, &record);
            }
        }
        file.write(&group.finish().bytes)
            .and_then(|()| file.sync())
            .map_err(unavailable(file.path()))
    }
}

impl FrozenLog for Frozen {
    fn write(self: Box<Self>, folder: &Path) -> Result<()> {
        if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::Internal(format!("{} is not empty", folder.display())));
        }
        taghouse_disk::make_filled(folder, |new| self.copy(new).map_err(Copying::Log)).map_err(
            |error| match error {
                Copying::Log(error) => error,
                Copying::Disk(error) => unavailable(folder)(error),
            },
        )
    }
}

/// What can fail in making the folder, and in filling it.
enum Copying {
    Log(Error),
    Disk(std::io::Error),
}

impl From<std::io::Error> for Copying {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}
