//! `taghouse-soak --cases 1000000 --seed 1`: random histories of the index, every answer compared
//! with a naive reference model.
#![allow(clippy::print_stdout, reason = "the counts go to standard output")]

use clap::Parser;
use std::path::PathBuf;
use taghouse_soak::Soak;

#[derive(Parser)]
#[command(
    about = "Random histories of publications, live changes and questions, every answer compared with a naive reference model."
)]
struct Arguments {
    /// Number of questions to ask; the last history is completed.
    #[arg(long, default_value_t = 10_000)]
    cases: u64,
    /// Seed of the first history; each further one adds 1. The same seed gives the same history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the files, by default the system's temporary folder. A file system in memory is
    /// faster.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Print the progress after each this many histories.
    #[arg(long, default_value_t = 500)]
    report_every: u64,
}

fn main() -> anyhow::Result<()> {
    let Arguments { cases, seed, folder, report_every } = Arguments::parse();
    let mut soak = Soak::new(seed, folder)?;
    let mut histories = 0;
    while soak.counts().questions() < cases {
        soak.run_one()?;
        histories += 1;
        if histories % report_every.max(1) == 0 {
            println!("{histories} histories, {} questions", soak.counts().questions());
        }
    }
    println!("{histories} histories from seed {seed} on, all answers correct\n{}", soak.counts());
    Ok(())
}
