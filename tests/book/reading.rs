//! Does what a page says, as a reader would: one shell, one folder, block after block.

use super::elision::fits;
use super::page::{Example, Page, Span};
use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The address in the book; each page's server has a port of its own.
const SHOWN_ADDRESS: &str = "127.0.0.1:7700";

/// Stands between a condition and the users for whom it holds.
const BEHIND: &str = "  # ";

/// How long a page may take; far more than any does.
const LONGEST: Duration = Duration::from_secs(300);

/// What every page's shell begins with. A command that fails leaves a mark.
const PRELUDE: &str = r#"
set -E -o pipefail
trap 'touch "$SAID.failed"' ERR
users() {
  local said
  said=$(taghouse list "$1" 2>&1)
  if [ -z "$said" ]; then echo nobody; else echo "$said" | paste -sd, | sed 's/,/, /g'; fi
}
served() {
  local tries=0
  until grep -q 'serving on' "$SAID" || [ $((tries += 1)) -gt 1200 ]; do sleep 0.05; done
  cp "$SAID" "$SAID.then"
}
"#;

/// Something that a page shows otherwise than it is.
pub struct Difference {
    /// The lines of the page, and what should stand there.
    pub span: Option<Span>,
    pub right: String,
    pub message: String,
}

/// Follows a page from top to bottom; gives what does not come out as shown.
pub fn follow(page: &Page, docs: &Path, binary: &Path) -> Result<Vec<Difference>, String> {
    let examples = page.examples()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = Place::new(folder.path(), docs, binary)?;
    place
        .run(&script(page, &examples, &place))
        .map_err(|error| format!("docs/src/{}: {error}", page.name))?;
    let mut differences = Vec::new();
    for (number, example) in examples.iter().enumerate() {
        differences.extend(place.judge(page, number, example));
    }
    Ok(differences)
}

/// A reader's folder.
struct Place {
    folder: PathBuf,
    address: String,
}

impl Place {
    fn new(folder: &Path, docs: &Path, binary: &Path) -> Result<Self, String> {
        let folder = folder.to_owned();
        for made in ["home/bin", "said", "temporary", "work"] {
            std::fs::create_dir_all(folder.join(made)).map_err(|error| error.to_string())?;
        }
        let link = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, folder.join(name)).map_err(|error| error.to_string())
        };
        link(binary, "home/bin/taghouse")?;
        link(docs, "work/docs")?;
        // Free a moment ago; a server that does not get it says so on its page.
        let listener =
            std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        Ok(Self { folder, address })
    }

    fn said(&self, number: usize) -> PathBuf {
        self.folder.join("said").join(number.to_string())
    }

    /// Runs the shell to its end, and ends what it left running.
    fn run(&self, script: &str) -> Result<(), String> {
        let file = self.folder.join("page.sh");
        std::fs::write(&file, script).map_err(|error| error.to_string())?;
        let path = format!(
            "{}:{}",
            self.folder.join("home/bin").display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let mut shell = Command::new("bash");
        for inherited in
            ["TAGHOUSE_CONFIG", "TAGHOUSE_DATA", "TAGHOUSE_APP", "TAGHOUSE_SERVER", "TAGHOUSE_KEY"]
        {
            shell.env_remove(inherited);
        }
        shell
            .arg(&file)
            .current_dir(self.folder.join("work"))
            .env("PATH", path)
            .env("HOME", self.folder.join("home"));
        shell
            .env("TMPDIR", self.folder.join("temporary"))
            .env("TAGHOUSE_LISTEN", &self.address)
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8");
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut process = shell.spawn().map_err(|error| format!("bash: {error}"))?;
        let began = Instant::now();
        let ended = loop {
            match process.try_wait().map_err(|error| error.to_string())? {
                Some(_) => break Ok(()),
                None if began.elapsed() > LONGEST => {
                    break Err(format!("did not end in {} s", LONGEST.as_secs()));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let group = format!("-{}", process.id());
        Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status()
            .map_err(|error| error.to_string())?;
        process.wait().map_err(|error| error.to_string())?;
        ended
    }

    /// What a block said, with what varies from reader to reader as the book has it.
    fn heard(&self, number: usize) -> String {
        // A server goes on talking; the page shows how it began.
        let then = std::fs::read(self.said(number).with_extension("then"));
        let bytes = then.or_else(|_| std::fs::read(self.said(number))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace(&self.address, SHOWN_ADDRESS)
    }

    fn judge(&self, page: &Page, number: usize, example: &Example) -> Option<Difference> {
        match example {
            Example::Run { script, said } => self.judge_run(page, number, *script, *said),
            Example::Users { lines } => self.judge_users(page, number, *lines),
            Example::Definitions { text } => {
                let file = taghouse_rules::DefinitionFile {
                    path: page.name.clone(),
                    text: page.text(*text),
                };
                let errors = taghouse_rules::parse_definitions(&[file]).err()?;
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let message = format!("{}: {}", page.place(text.start), errors.join("\n"));
                Some(Difference { span: None, right: String::new(), message })
            }
            Example::Save { .. } | Example::NotRun => None,
        }
    }

    fn judge_run(
        &self,
        page: &Page,
        number: usize,
        script: Span,
        said: Option<Span>,
    ) -> Option<Difference> {
        let heard = self.heard(number);
        let shown = said.map(|said| page.text(said));
        // An example of an error shows the error.
        let is_error = |text: &str| text.lines().any(|line| line.starts_with("error:"));
        let should_fail = shown.as_deref().is_some_and(is_error);
        let failed = self.said(number).with_extension("failed").exists();
        let commands = page.text(script);
        if failed != should_fail {
            let happened = if failed {
                "a command failed"
            } else {
                "no command failed, though an error is shown"
            };
            let message =
                format!("{}: {happened}:\n{commands}it said:\n{heard}", page.place(script.start));
            // Where the error itself is what the page should show, it is the right text all the
            // same.
            return Some(Difference { span: said.filter(|_| failed), right: heard, message });
        }
        let shown = shown.filter(|shown| !fits(shown, &heard))?;
        let message = format!(
            "{}:\n{commands}is shown to say:\n{shown}and said:\n{heard}",
            page.place(script.start)
        );
        Some(Difference { span: said, right: heard, message })
    }

    fn judge_users(&self, page: &Page, number: usize, lines: Span) -> Option<Difference> {
        let shown = page.text(lines);
        let heard = self.heard(number);
        let mut right = String::new();
        for (line, users) in
            shown.lines().zip(heard.lines().chain(std::iter::repeat("nothing was said")))
        {
            let (expression, _) = line.rsplit_once(BEHIND).unwrap_or((line, ""));
            _ = writeln!(right, "{expression}{BEHIND}{users}");
        }
        let message =
            format!("{}: is shown to hold:\n{shown}and holds:\n{right}", page.place(lines.start));
        (right != shown).then_some(Difference { span: Some(lines), right, message })
    }
}

/// The whole page as one script of the shell: a block's state is there for the next.
fn script(page: &Page, examples: &[Example], place: &Place) -> String {
    let mut script = PRELUDE.to_owned();
    for (number, example) in examples.iter().enumerate() {
        let said = place.said(number);
        let commands = match example {
            Example::Run { script, .. } => {
                page.text(*script).replace(SHOWN_ADDRESS, &place.address)
            }
            Example::Users { lines } => {
                let condition = |line: &str| {
                    line.rsplit_once(BEHIND)
                        .map_or(line, |(shown, _)| shown.trim_end())
                        .replace('\'', r"'\''")
                };
                page.text(*lines)
                    .lines()
                    .map(|line| format!("users '{}'\n", condition(line)))
                    .collect()
            }
            Example::Save { path, text } => {
                let lines = page.text(*text);
                format!(
                    "mkdir -p \"$(dirname '{path}')\"\ncat > '{path}' <<'END OF THE FILE'\n{lines}END OF THE FILE\n"
                )
            }
            Example::Definitions { .. } | Example::NotRun => continue,
        };
        let serves = commands.contains("taghouse serve") && commands.contains('&');
        let file = said.with_extension("sh");
        _ = std::fs::write(&file, commands);
        let (file, said) = (file.display(), said.display());
        _ = writeln!(script, "SAID={said}\n. {file} >{said} 2>&1");
        if serves {
            script.push_str("served\n");
        }
    }
    script
}
