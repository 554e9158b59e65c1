//! Judgments over gRPC as a client sees them: some connections, each with some calls under way, each
//! asking again at once.

use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use taghouse_proto::v1::judgment_client::JudgmentClient;
use taghouse_proto::v1::{JudgeManyRequest, JudgeRequest};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

const CONNECTIONS: usize = 2;
/// Calls under way on each connection.
const CALLS: usize = 8;
const SECONDS: u64 = 5;

/// What each call asks.
#[derive(Clone, Copy)]
enum Asked {
    /// One user.
    One,
    /// So many users.
    Many(usize),
}

struct Load {
    app: String,
    users: Vec<String>,
    crowds: Vec<String>,
    key: MetadataValue<Ascii>,
    asked: Asked,
    until: Instant,
}

/// `{requests, judgments, seconds, p50_ms, p99_ms}` of the server at `url`. `users` is a file of user
/// ids, one a line; `crowds` are names with commas in between; `at_once` users are asked by one call,
/// by `JudgeMany` where they are more than one.
pub(crate) async fn run(
    url: &str,
    key: &str,
    app: &str,
    users: &str,
    crowds: &str,
    at_once: usize,
) -> anyhow::Result<Json> {
    let users = std::fs::read_to_string(users).with_context(|| format!("the users of {users}"))?;
    let users: Vec<String> = users.lines().map(str::to_owned).collect();
    ensure!(users.len() >= at_once && at_once > 0, "{} users, {at_once} at once", users.len());
    let began = Instant::now();
    let load = Arc::new(Load {
        app: app.to_owned(),
        users,
        crowds: crowds.split(',').map(str::to_owned).collect(),
        key: format!("Bearer {key}").parse()?,
        asked: if at_once == 1 { Asked::One } else { Asked::Many(at_once) },
        until: began + Duration::from_secs(SECONDS),
    });
    let mut callers = Vec::new();
    for connection in 0..CONNECTIONS {
        let channel = Channel::from_shared(url.to_owned())?.connect().await?;
        for call in 0..CALLS {
            let client = JudgmentClient::new(channel.clone());
            callers.push(tokio::spawn(ask(load.clone(), client, connection * CALLS + call)));
        }
    }
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let of = |share: f64| {
        let place = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(place).map_or(0.0, |time: &Duration| time.as_secs_f64() * 1000.0)
    };
    Ok(json!({
        "requests": times.len(),
        "judgments": times.len() * at_once * load.crowds.len(),
        "seconds": seconds,
        "p50_ms": of(0.5),
        "p99_ms": of(0.99),
    }))
}

/// Asks until the time is over; the time that each answer took.
async fn ask(
    load: Arc<Load>,
    mut client: JudgmentClient<Channel>,
    mut place: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    while Instant::now() < load.until {
        let sent = Instant::now();
        place += 1;
        match load.asked {
            Asked::One => {
                let user = load.users[place % load.users.len()].clone();
                let crowds = load.crowds.clone();
                let request = JudgeRequest { app: load.app.clone(), user, crowds, at_least: None };
                let answer = client.judge(with(&load.key, request)).await?.into_inner();
                ensure!(answer.judgments.len() == load.crowds.len(), "not all crowds answer");
            }
            Asked::Many(at_once) => {
                let first = place * at_once % (load.users.len() - at_once + 1);
                let users = load.users[first..first + at_once].to_vec();
                let crowds = load.crowds.clone();
                let request =
                    JudgeManyRequest { app: load.app.clone(), users, crowds, at_least: None };
                let answer = client.judge_many(with(&load.key, request)).await?.into_inner();
                let bytes = (at_once * load.crowds.len()).div_ceil(8);
                ensure!(answer.in_crowd.len() == bytes, "not all users are answered for");
            }
        }
        times.push(sent.elapsed());
    }
    Ok(times)
}

fn with<T>(key: &MetadataValue<Ascii>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", key.clone());
    request
}
