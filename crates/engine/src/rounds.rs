//! Periodic work beside requests.

use crate::Engine;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use taghouse_ingest::LandingTrigger;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often, at least, deleted users are erased from the files of the dictionary and of the
/// crowds' versions.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// How often small files of the lake are merged. A day of landings every ten seconds then has
/// dozens of files, not thousands.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// How often it is checked whether live calls are due to land.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The membership history is looked at no more often.
const LEAST_PAUSE: Duration = Duration::from_millis(500);

/// How often live tags are shown what has come.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// How often it is looked which topics are to be read.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked which crowds are to be computed again.
/// Crowds that are due share a run.
const REFRESH_EVERY: Duration = Duration::from_secs(15);

/// How often it is looked which activations are due.
const ACTIVATE_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked which rollouts go on.
const ROLL_OUT_EVERY: Duration = Duration::from_secs(1);

/// Starts the work of one round.
pub type Round = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The intervals of periodic work.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Live calls land when the oldest has waited this long.
    pub land_every: Duration,
    /// The interval of clean-ups; at least once a minute.
    pub tidy_every: Duration,
    /// The interval of comparisons of live tags with the batch; `None`: only when somebody asks.
    pub parity_every: Option<Duration>,
}

/// The periodic work of a server, until it is told to stop.
pub struct Rounds {
    working: JoinSet<()>,
    engine: Arc<Engine>,
    pace: Pace,
    stop: CancellationToken,
}

impl Rounds {
    /// Begins with what every server does: live calls are landed, small files joined, deleted users
    /// erased.
    pub fn begin(engine: &Arc<Engine>, pace: Pace, stop: &CancellationToken) -> Self {
        let pace = Pace { tidy_every: pace.tidy_every.min(TIDY_EVERY), ..pace };
        let mut rounds =
            Self { working: JoinSet::new(), engine: engine.clone(), pace, stop: stop.clone() };
        let trigger =
            LandingTrigger::after(i64::try_from(pace.land_every.as_millis()).unwrap_or(i64::MAX));
        let (of, ending) = (engine.clone(), stop.clone());
        let land: Round = Box::new(move || Box::pin(land(of.clone(), trigger, ending.clone())));
        rounds.spawn("landing", LOOK_EVERY.min(pace.land_every / 4), land);
        let (of, ending) = (engine.clone(), stop.clone());
        let follow: Round = Box::new(move || Box::pin(follow(of.clone(), ending.clone())));
        rounds.spawn("live tags", FOLLOW_EVERY, follow);
        let (of, ending) = (engine.clone(), stop.clone());
        let read: Round = Box::new(move || Box::pin(read_topics(of.clone(), ending.clone())));
        rounds.spawn("reading of topics", READ_EVERY, read);
        let of = engine.clone();
        let history: Round = Box::new(move || Box::pin(land_memberships(of.clone())));
        rounds.spawn("membership history", pace.land_every.max(LEAST_PAUSE), history);
        let of = engine.clone();
        let roll_out: Round = Box::new(move || Box::pin(go_on_with_rollouts(of.clone())));
        rounds.spawn("rollouts", ROLL_OUT_EVERY, roll_out);
        let of = engine.clone();
        let refresh: Round = Box::new(move || Box::pin(refresh_due(of.clone())));
        rounds.spawn("refreshes", REFRESH_EVERY, refresh);
        let of = engine.clone();
        let pull: Round = Box::new(move || Box::pin(pull_due(of.clone())));
        rounds.spawn("links", REFRESH_EVERY, pull);
        let of = engine.clone();
        let activate: Round = Box::new(move || Box::pin(activate_due(of.clone())));
        rounds.spawn("activations", ACTIVATE_EVERY, activate);
        if let Some(every) = pace.parity_every {
            let (of, ending) = (engine.clone(), stop.clone());
            let compare: Round = Box::new(move || Box::pin(compare(of.clone(), ending.clone())));
            rounds.spawn("comparison of live tags", every, compare);
        }
        let of = engine.clone();
        rounds.tidy("tidying", Box::new(move || Box::pin(tidy(of.clone()))));
        // An interrupted round has changed nothing, so it is not waited for.
        let of = engine.clone();
        let keep: Round = Box::new(move || Box::pin(keep_small(of.clone())));
        engine.background.spawn(again("upkeep", UPKEEP_EVERY, stop.clone(), keep));
        rounds
    }

    /// Adds another clean-up, at the interval of clean-ups.
    pub fn tidy(&mut self, name: &'static str, round: Round) {
        self.spawn(name, self.pace.tidy_every, round);
    }

    fn spawn(&mut self, name: &'static str, every: Duration, round: Round) {
        self.working
            .spawn_on(again(name, every, self.stop.clone(), round), &self.engine.background);
    }

    /// Waits for the last rounds; they end once it was told to stop.
    pub async fn ended(&mut self) {
        while self.working.join_next().await.is_some() {}
        self.engine.followed().await;
        tokio::join!(self.engine.topics_ended(), self.engine.sinks_ended());
    }
}

/// Lands live calls of every app that have waited long enough, or are enough. What fails is tried
/// again; the log keeps it.
async fn land(engine: Arc<Engine>, trigger: LandingTrigger, stop: CancellationToken) {
    if let Err(error) = engine.land_due(&trigger, &stop).await {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose calls are to land are not known; it is tried again"
        );
    }
}

/// Shows live tags what has come. What fails is tried again.
async fn follow(engine: Arc<Engine>, stop: CancellationToken) {
    if let Err(error) = engine.follow(&stop).await {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose tags are live are not known; it is tried again"
        );
    }
}

/// Lets topics be read. What fails is tried again.
async fn read_topics(engine: Arc<Engine>, stop: CancellationToken) {
    let written = engine.write_sinks().await;
    if let Err(error) = engine.read_topics(&stop).await.and(written) {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose topics are to be read and written are not known; it is tried again"
        );
    }
}

/// Writes who entered and left crowds into the lake. What fails is tried again.
async fn land_memberships(engine: Arc<Engine>) {
    if let Err(error) = engine.land_memberships().await {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose crowds have a history are not known; it is tried again"
        );
    }
}

/// Computes the crowds whose time has come. What fails is tried again.
async fn refresh_due(engine: Arc<Engine>) {
    if let Err(error) = engine.refresh_due().await {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose crowds are to be computed are not known; it is tried again"
        );
    }
}

/// Fetches the files of crowds' links whose time has come. What fails is tried again.
async fn pull_due(engine: Arc<Engine>) {
    if let Err(error) = engine.pull_due().await {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose links are to be fetched are not known; it is tried again"
        );
    }
}

/// Sends the crowds whose time has come. What fails is tried again.
async fn activate_due(engine: Arc<Engine>) {
    if let Err(error) = engine.activate_due().await {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose crowds are to be sent are not known; it is tried again"
        );
    }
}

/// Goes on with rollouts of crowds. What fails is tried again.
async fn go_on_with_rollouts(engine: Arc<Engine>) {
    if let Err(error) = engine.go_on_with_rollouts().await {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose crowds are rolled out are not known; it is tried again"
        );
    }
}

/// Compares live tags with the batch. What fails is tried again.
async fn compare(engine: Arc<Engine>, stop: CancellationToken) {
    if let Err(error) = engine.compare_all(&stop).await {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose live tags are to be compared are not known; it is tried again"
        );
    }
}

async fn tidy(engine: Arc<Engine>) {
    engine.tidy().await;
}

/// Keeps the lake small: small files joined, files that nothing names removed.
async fn keep_small(engine: Arc<Engine>) {
    if let Err(error) = engine.keep_small().await {
        tracing::error!(
            detail = error.to_string(),
            "the apps whose tables are to be kept small are not known; it is tried again"
        );
    }
}

/// Does the work after every pause until it is told to stop; the last round is finished. A panic
/// ends only its round: otherwise calls would silently stop landing.
async fn again(name: &'static str, every: Duration, stop: CancellationToken, mut round: Round) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = tokio::spawn(round()).await {
            tracing::error!(%error, "{name} failed; retrying");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_round_alone() {
        let stop = CancellationToken::new();
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
        let working = tokio::spawn(again("work", Duration::from_millis(1), stop.clone(), round));
        let patience = Duration::from_secs(20);
        assert_eq!(tokio::time::timeout(patience, rounds.recv()).await.unwrap(), Some(2));
        stop.cancel();
        tokio::time::timeout(patience, working).await.unwrap().unwrap();
    }
}
