//! Which threads go first when the cores do not suffice.

use std::cell::Cell;

/// How far back threads stand whose work can wait: they get a tenth of what a thread gets that
/// answers questions.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

thread_local! {
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Makes the calling thread one whose work can wait a little: where all cores are taken, questions
/// go first. For good.
pub fn give_way() {
    GIVES_WAY.set(true);
    // Without the right to change it (no system is known that asks for one) the work is done all
    // the same, only less politely.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

/// Whether the calling thread has given way. What it hands to other threads should go to such
/// threads, too.
pub fn gives_way() -> bool {
    GIVES_WAY.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_matter_of_the_thread_that_asks() {
        let niced = || {
            cfg!(target_os = "linux").then(|| {
                rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap()
            })
        };
        let (before, other) = (
            niced(),
            std::thread::spawn(move || (give_way(), gives_way(), niced())).join().unwrap(),
        );
        assert!(other.1 && !gives_way());
        assert_eq!(niced(), before);
        assert!(
            other.2 > before || before.is_none_or(|nice| nice >= NICE),
            "{before:?} {:?}",
            other.2
        );
    }
}
