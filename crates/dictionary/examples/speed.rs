//! Times the dictionary: `cargo run --release -p taghouse-dictionary --example speed [users]`.

#![allow(clippy::print_stdout)]

use std::time::Instant;
use taghouse_dictionary::Dictionary;
use taghouse_model::AppId;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let users: u32 = std::env::args().nth(1).map_or(Ok(200_000), |a| a.parse())?;
    let folder = tempfile::tempdir()?;
    let app = AppId::new("shop")?;
    // Spread like hashed ids, so that neighbours in time are not neighbours in the store.
    let ids: Vec<String> = (0..users).map(|n| format!("user-{:08x}-{n}", n.wrapping_mul(2_654_435_761))).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();

    let dictionary = Dictionary::open(folder.path())?;
    timed("assign, all new", || dictionary.assign(&app, &ids))?;
    timed("assign, all known", || dictionary.assign(&app, &ids))?;
    timed("lookup", || dictionary.lookup(&app, &ids))?;
    timed("resolve in order", || dictionary.resolve_sorted(&app, 0..users).collect::<Result<Vec<_>, _>>())?;
    timed("resolve every 20th", || dictionary.resolve_sorted(&app, (0..users).step_by(20)).collect::<Result<Vec<_>, _>>())?;
    timed("one new id", || dictionary.assign(&app, &["newcomer"]))?;
    drop(dictionary);
    let dictionary = timed("open", || Dictionary::open(folder.path()))?;
    timed("lookup after open", || dictionary.lookup(&app, &ids))?;
    timed("lookup again", || dictionary.lookup(&app, &ids))?;
    timed("resolve after open", || dictionary.resolve_sorted(&app, 0..users).collect::<Result<Vec<_>, _>>())?;
    Ok(())
}

fn timed<T, E>(what: &str, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    let done = call();
    println!("{what:<20} {:>9.3} ms", start.elapsed().as_secs_f64() * 1e3);
    done
}
