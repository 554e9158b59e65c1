//! `taghouse-soak --cases 1000000 --seed 1`: random histories of the index, every answer held to a
//! naive reference model.
#![allow(clippy::print_stdout, reason = "the counts go to standard output")]

use clap::Parser;
use std::path::PathBuf;
use taghouse_soak::Soak;

#[derive(Parser)]
#[command(
    about = "Random histories of publications, live changes and questions, every answer compared with a naive reference model."
)]
struct Arguments {
    /// Questions to ask; the history that is being lived when they are reached is lived to its
    /// end.
    #[arg(long, default_value_t = 10_000)]
    cases: u64,
    /// Of the first history; the next has the next number. The same seed is the same history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the histories' files go; by default the system's folder for temporary files. One in
    /// memory is quicker.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Say how far it is after so many histories.
    #[arg(long, default_value_t = 500)]
    report_every: u64,
}

fn main() -> anyhow::Result<()> {
    let Arguments { cases, seed, folder, report_every } = Arguments::parse();
    let mut soak = Soak::new(seed, folder)?;
    let mut histories = 0;
    while soak.counts().questions() < cases {
        soak.live_one()?;
        histories += 1;
        if histories % report_every.max(1) == 0 {
            println!("{histories} histories, {} questions", soak.counts().questions());
        }
    }
    println!("{histories} histories from seed {seed} on, all answers right\n{}", soak.counts());
    Ok(())
}
