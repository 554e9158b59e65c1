//! Work that is done again and again beside requests.

use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;

/// Makes the work of one round.
pub(crate) type Round = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Does the work after every pause until `stopped`, the last round to its end. A panic ends its round alone: nobody would notice that calls
/// land no more.
pub(crate) async fn again(name: &'static str, every: Duration, mut stopped: watch::Receiver<bool>, mut round: Round) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stopped.changed() => return,
        }
        if let Err(error) = tokio::spawn(round()).await {
            tracing::error!(%error, "{name} broke off; it is tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_round_alone() {
        let (stop, stopped) = watch::channel(false);
        let (done, mut rounds) = tokio::sync::mpsc::unbounded_channel();
        let mut number = 0;
        let round: Round = Box::new(move || {
            number += 1;
            let (number, done) = (number, done.clone());
            Box::pin(async move {
                assert!(number != 1, "the first round is to break off");
                done.send(number).unwrap();
            })
        });
        let working = tokio::spawn(again("work", Duration::from_millis(1), stopped, round));
        let patience = Duration::from_secs(20);
        assert_eq!(tokio::time::timeout(patience, rounds.recv()).await.unwrap(), Some(2));
        stop.send(true).unwrap();
        tokio::time::timeout(patience, working).await.unwrap().unwrap();
    }
}
