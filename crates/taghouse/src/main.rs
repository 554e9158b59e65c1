//! The `taghouse` binary: command line, wiring, serving.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod about;
mod args;
mod client;
mod command;
mod configuration;
mod demo;
mod limits;
mod listen;
mod location;
mod lock;
#[cfg(test)]
mod manual;
mod mirror;
mod progress;
mod runtimes;
mod serve;
mod standing;
mod system;
mod table;
mod wiring;

use anyhow::{Result, anyhow, bail};
use args::{Cli, Command, IdentityAction, KeyAction, SinkAction, SuppressAction, VersionAction};
use client::Client;
use command::Context;
use lock::{Acquired, FolderLock, Holder, Unwritable};
use mirror::Mirror;
use runtimes::Runtimes;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use taghouse_api::{Limits, Server, WebOrigins};
use taghouse_feed::Retention;
use taghouse_lake::SqlLimits;
use taghouse_model::AppId;
use tokio::runtime::Handle;
use wiring::WebhookOptions;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match begin() {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output left, as `head` does: nothing is wrong.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn begin() -> Result<()> {
    let configuration = configuration::read()?;
    if about::answered(&configuration)? {
        return Ok(());
    }
    let cli = configuration.cli;
    let filter = tracing_subscriber::EnvFilter::try_new(&cli.global.log)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtimes = Runtimes::new()?;
    // The folder is ours as long as a thread of ours may write to it.
    let mut lock = None;
    let ended = runtimes.block_on(run(&cli, runtimes.background(), &mut lock));
    runtimes.shut_down();
    drop(lock);
    ended
}

#[allow(clippy::print_stderr, reason = "what a command tells its user")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    // A server that hung up is another matter.
    let of_network = error.chain().any(|cause| cause.is::<ureq::Error>());
    let broken = |kind: Option<std::io::ErrorKind>| kind == Some(std::io::ErrorKind::BrokenPipe);
    !of_network
        && error.chain().any(|cause| {
            broken(cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind))
                || broken(
                    cause
                        .downcast_ref::<serde_json::Error>()
                        .and_then(serde_json::Error::io_error_kind),
                )
        })
}

async fn run(cli: &Cli, background: &Handle, slot: &mut Option<FolderLock>) -> Result<()> {
    if let Some(app) = &cli.global.app {
        AppId::new(app).map_err(|error| anyhow!("--app: {error}"))?;
    }
    match &cli.command {
        Command::Schema => {
            serve::print(&serde_json::to_string_pretty(&taghouse_rules::json_schema())?);
            Ok(())
        }
        Command::Restore { backup } => {
            command::backup::restore(backup, &cli.global.data, cli.global.json)
        }
        Command::Inspect { file, name } => {
            serve::print(taghouse_ingest::inspect(file, name.as_deref())?.trim_end());
            Ok(())
        }
        Command::Serve(arguments) => {
            let (opened, context) = alone(cli, "serve", background, slot).await?;
            drop(context);
            let Opened { server, lock, local_key } = opened;
            serve::serve(server, lock, &local_key, arguments, async |_, address| {
                serve::print(&format!("serving on http://{address}"));
                Ok(())
            })
            .await
        }
        Command::Demo(arguments) => {
            let (opened, context) = alone(cli, "demo", background, slot).await?;
            command::demo::demo(opened, &context, arguments, &cli.global.data).await
        }
        _ => ask(cli, background, slot).await,
    }
}

/// A data folder that this process holds.
pub(crate) struct Opened<'a> {
    pub(crate) server: Arc<Server>,
    pub(crate) lock: &'a mut FolderLock,
    pub(crate) local_key: String,
}

/// Opens the folder for a server, which cannot go through another one.
async fn alone<'a>(
    cli: &Cli,
    command: &str,
    background: &Handle,
    slot: &'a mut Option<FolderLock>,
) -> Result<(Opened<'a>, Context)> {
    match lock::acquire(&cli.global.data, command)? {
        Acquired::Ours(lock) => {
            let opened = open(cli, slot.insert(lock), background).await?;
            let client = Client::in_process(
                taghouse_api::router(opened.server.clone(), &WebOrigins::default()),
                opened.local_key.clone(),
            );
            Ok((opened, Context::new(client, cli.global.app.clone(), cli.global.json, true)))
        }
        Acquired::Theirs(holder) => bail!("{}", held(cli, &holder)),
        Acquired::Unwritable(unwritable) => bail!("{}", unwritable.message()),
    }
}

async fn open<'a>(cli: &Cli, lock: &'a mut FolderLock, background: &Handle) -> Result<Opened<'a>> {
    let local_key = taghouse_api::new_secret(&system::OsEntropy);
    let limits = match &cli.command {
        Command::Serve(arguments) => arguments.limits.for_callers()?,
        Command::Demo(arguments) => arguments.serve.limits.for_callers()?,
        _ => Limits::default(),
    };
    let feed = match &cli.command {
        Command::Serve(arguments) => arguments.limits.feed(),
        Command::Demo(arguments) => arguments.serve.limits.feed(),
        _ => Retention::default(),
    };
    let backups = match &cli.command {
        Command::Serve(arguments) => arguments.backup_dir.clone(),
        Command::Demo(arguments) => arguments.serve.backup_dir.clone(),
        _ => None,
    };
    let webhooks = WebhookOptions {
        networks: cli.global.webhook_networks.clone().unwrap_or_default(),
        certificates: cli.global.webhook_ca.clone(),
    };
    let options = wiring::Options {
        local_key: &local_key,
        limits,
        feed,
        backups,
        webhooks,
        activation_files: cli.global.activation_dir.clone(),
        background,
    };
    let server = wiring::open(&cli.global.data, options).await?;
    server.engine.lake.limit_queries(SqlLimits {
        deadline: Duration::from_secs_f64(cli.global.query_seconds),
        ..SqlLimits::default()
    });
    Ok(Opened { server, lock, local_key })
}

fn held(cli: &Cli, holder: &Holder) -> String {
    let folder = cli.global.data.display();
    match holder.address {
        Some(address) => format!(
            "the data folder {folder} is held by `taghouse {}` (process {}), which serves on http://{address}; stop it first, or use it",
            holder.command, holder.pid
        ),
        None => {
            format!(
                "the data folder {folder} is held by `taghouse {}` (process {}); wait until it has ended",
                holder.command, holder.pid
            )
        }
    }
}

/// Runs a command through the server named, the server that holds the folder, or the folder itself.
async fn ask(cli: &Cli, background: &Handle, slot: &mut Option<FolderLock>) -> Result<()> {
    let global = &cli.global;
    let context =
        |client, same_machine| Context::new(client, global.app.clone(), global.json, same_machine);
    if let Some(server) = &global.server {
        let key = global
            .key
            .clone()
            .ok_or_else(|| anyhow!("a server needs a key: give it with --key, or TAGHOUSE_KEY"))?;
        return dispatch(&context(Client::http(server, key), false), &cli.command).await;
    }
    if !global.data.is_dir() && !may_create(&cli.command) {
        bail!(
            "no data folder at {}: name another with --data, or make it with `taghouse apply -f DIR`",
            global.data.display()
        );
    }
    match lock::acquire(&global.data, command_name(&cli.command))? {
        Acquired::Ours(lock) => {
            let opened = open(cli, slot.insert(lock), background).await?;
            let client = Client::in_process(
                taghouse_api::router(opened.server.clone(), &WebOrigins::default()),
                opened.local_key.clone(),
            );
            let done = dispatch(&context(client, true), &cli.command).await;
            if done.is_ok() && deletes(&cli.command) {
                // A server does it in the background; here it is done now.
                opened.server.engine.users.tidy().await?;
            }
            opened.server.engine.scheduler.shut_down().await;
            if matches!(cli.command, Command::Produce(_)) {
                opened.server.engine.land_memberships().await?;
            }
            opened.server.engine.feeds.leave().await;
            opened.server.settle_audit().await;
            opened.server.engine.users.leave().await?;
            done
        }
        Acquired::Theirs(Holder { address: Some(address), .. }) => {
            let key = lock::local_key(&global.data)?;
            dispatch(&context(Client::http(&format!("http://{address}"), key), true), &cli.command)
                .await
        }
        Acquired::Theirs(holder) => bail!("{}", held(cli, &holder)),
        Acquired::Unwritable(unwritable) if reads(&cli.command) => {
            read(cli, unwritable, background).await
        }
        Acquired::Unwritable(unwritable) => bail!("{}", unwritable.message()),
    }
}

/// Runs a command that reads on a folder that cannot be written.
async fn read(cli: &Cli, unwritable: Unwritable, background: &Handle) -> Result<()> {
    let global = &cli.global;
    let mirror = Mirror::of(&global.data, unwritable)?;
    let local_key = taghouse_api::new_secret(&system::OsEntropy);
    let server = wiring::open_mirror(&global.data, mirror.paths(), &local_key, background).await?;
    let client =
        Client::in_process(taghouse_api::router(server.clone(), &WebOrigins::default()), local_key);
    let done =
        dispatch(&Context::new(client, global.app.clone(), global.json, true), &cli.command).await;
    server.settle_audit().await;
    done
}

/// Whether the command deletes users.
fn deletes(command: &Command) -> bool {
    matches!(
        command,
        Command::Delete { .. }
            | Command::Suppress { action: SuppressAction::Add { delete: true, .. } }
    )
}

/// Whether the command changes nothing.
fn reads(command: &Command) -> bool {
    match command {
        Command::Apply(arguments) => arguments.dry_run,
        Command::Keys { action } => matches!(action, None | Some(KeyAction::List)),
        Command::Identities { action } => matches!(action, IdentityAction::Show { .. }),
        Command::Suppress { action } => {
            matches!(action, SuppressAction::List { .. } | SuppressAction::Check { .. })
        }
        Command::Sinks { action } => {
            matches!(action, SinkAction::Deliveries { .. } | SinkAction::DeadLetters { .. })
        }
        Command::Activations { .. } => true,
        Command::Versions { action } => {
            matches!(
                action,
                VersionAction::Diff { .. }
                    | VersionAction::Rows { .. }
                    | VersionAction::Trend { .. }
            )
        }
        Command::Tags { .. }
        | Command::Crowds { .. }
        | Command::Count { .. }
        | Command::List { .. }
        | Command::Top { .. }
        | Command::Group(_)
        | Command::Histogram(_)
        | Command::Overlap(_)
        | Command::Compare(_)
        | Command::Effect(_)
        | Command::Lookalike(_)
        | Command::Sample { .. }
        | Command::Export(_)
        | Command::Judge { .. }
        | Command::Why { .. }
        | Command::Users { action: args::UserAction::Crowds { .. } }
        | Command::Profile { .. }
        | Command::Tail(_)
        | Command::Runs
        | Command::Status
        | Command::Limits
        | Command::Receipts { .. }
        | Command::Audit(_)
        | Command::Sources
        | Command::Files(_)
        | Command::Rejected(_)
        | Command::Inspect { .. }
        | Command::Schema
        | Command::Config { .. }
        | Command::Completions { .. }
        | Command::Man { .. } => true,
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Ingest(_)
        | Command::Produce(_)
        | Command::Refresh { .. }
        | Command::Import(_)
        | Command::Activate(_)
        | Command::Parity(_)
        | Command::Users { .. }
        | Command::Change(_)
        | Command::Delete { .. }
        | Command::Compact { .. }
        | Command::Backup { .. }
        | Command::Restore { .. } => false,
    }
}

/// Whether the command makes sense on a data folder that is not there yet. A mistyped --data should
/// not leave a folder behind.
fn may_create(command: &Command) -> bool {
    match command {
        Command::Apply(arguments) => !arguments.dry_run,
        Command::Keys { action } => matches!(action, Some(KeyAction::Create { .. })),
        Command::Serve(_) | Command::Demo(_) => true,
        _ => false,
    }
}

fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) => "serve",
        Command::Demo(_) => "demo",
        Command::Apply(_) => "apply",
        Command::Schema => "schema",
        Command::Config { .. } => "config",
        Command::Completions { .. } => "completions",
        Command::Man { .. } => "man",
        Command::Inspect { .. } => "inspect",
        Command::Ingest(_) => "ingest",
        Command::Sources => "sources",
        Command::Files(_) => "files",
        Command::Rejected(_) => "rejected",
        Command::Produce(_) => "produce",
        Command::Parity(_) => "parity",
        Command::Tags { .. } => "tags",
        Command::Crowds { .. } => "crowds",
        Command::Count { .. } => "count",
        Command::List { .. } => "list",
        Command::Top { .. } => "top",
        Command::Group(_) => "group",
        Command::Histogram(_) => "histogram",
        Command::Overlap(_) => "overlap",
        Command::Compare(_) => "compare",
        Command::Lookalike(_) => "lookalike",
        Command::Effect(_) => "effect",
        Command::Sample { .. } => "sample",
        Command::Export(_) => "export",
        Command::Judge { .. } => "judge",
        Command::Why { .. } => "why",
        Command::Profile { .. } => "profile",
        Command::Tail(_) => "tail",
        Command::Change(_) => "change",
        Command::Identities { .. } => "identities",
        Command::Users { .. } => "users",
        Command::Sinks { .. } => "sinks",
        Command::Activate(_) => "activate",
        Command::Activations { .. } => "activations",
        Command::Refresh { .. } => "refresh",
        Command::Import(_) => "import",
        Command::Versions { .. } => "versions",
        Command::Delete { .. } => "delete",
        Command::Suppress { .. } => "suppress",
        Command::Receipts { .. } => "receipts",
        Command::Compact { .. } => "compact",
        Command::Backup { .. } => "backup",
        Command::Restore { .. } => "restore",
        Command::Keys { .. } => "keys",
        Command::Runs => "runs",
        Command::Status => "status",
        Command::Limits => "limits",
        Command::Audit(_) => "audit",
    }
}

async fn dispatch(context: &Context, command: &Command) -> Result<()> {
    match command {
        Command::Apply(arguments) => command::apply::apply(context, arguments).await,
        Command::Ingest(arguments) => command::ingest::ingest(context, arguments).await,
        Command::Sources => command::input::sources(context).await,
        Command::Files(arguments) => command::input::files(context, arguments).await,
        Command::Rejected(arguments) => command::input::rejected(context, arguments).await,
        Command::Produce(arguments) => command::produce::produce(context, arguments).await,
        Command::Parity(arguments) => command::parity::parity(context, arguments).await,
        Command::Tags { tag } => command::list::tags(context, tag.as_deref()).await,
        Command::Crowds { crowd } => command::list::crowds(context, crowd.as_deref()).await,
        Command::Change(arguments) => command::users::change(context, arguments).await,
        Command::Identities { action } => command::identities::identities(context, action).await,
        Command::Users { action: args::UserAction::Crowds { id } } => {
            command::users::crowds(context, id).await
        }
        Command::Users { action: args::UserAction::Export { id, output } } => {
            command::export::user(context, id, output.as_deref()).await
        }
        Command::Sinks { action } => command::sinks::sinks(context, action).await,
        Command::Activate(arguments) => command::activations::activate(context, arguments).await,
        Command::Activations { action } => {
            command::activations::activations(context, action.as_ref()).await
        }
        Command::Refresh { crowds, dependents } => {
            command::refresh::refresh(context, crowds, *dependents).await
        }
        Command::Import(arguments) => command::import::import(context, arguments).await,
        Command::Versions { action } => command::versions::versions(context, action).await,
        Command::Delete { users } => command::users::delete(context, users).await,
        Command::Suppress { action } => command::privacy::suppress(context, action).await,
        Command::Receipts { id, limit } => {
            command::privacy::receipts(context, id.as_deref(), *limit as usize).await
        }
        Command::Compact { expire } => command::users::compact(context, expire.as_deref()).await,
        question @ (Command::Count { .. }
        | Command::List { .. }
        | Command::Top { .. }
        | Command::Group(_)
        | Command::Histogram(_)
        | Command::Overlap(_)
        | Command::Compare(_)
        | Command::Effect(_)
        | Command::Lookalike(_)
        | Command::Sample { .. }) => command::question::ask(context, question).await,
        Command::Export(arguments) => command::export::export(context, arguments).await,
        Command::Judge { user, crowd, at_least } => {
            command::ask::judge(context, user, crowd, *at_least).await
        }
        Command::Why { user, crowd, at_least } => {
            command::why::why(context, user, crowd, *at_least).await
        }
        Command::Profile { user, tags } => {
            command::ask::profile(context, user, tags.as_deref()).await
        }
        Command::Tail(arguments) => command::tail::tail(context, arguments).await,
        Command::Keys { action } => command::keys::keys(context, action.as_ref()).await,
        Command::Runs => command::list::runs(context).await,
        Command::Status => command::status::status(context).await,
        Command::Limits => command::limits::limits(context).await,
        Command::Audit(arguments) => command::audit::audit(context, arguments).await,
        Command::Backup { folder } => command::backup::backup(context, folder).await,
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Schema
        | Command::Inspect { .. }
        | Command::Restore { .. } => Ok(()),
        Command::Config { .. } | Command::Completions { .. } | Command::Man { .. } => Ok(()),
    }
}
