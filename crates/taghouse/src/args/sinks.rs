//! The flags of the command on webhooks.

use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum SinkAction {
    /// Send a test event to a webhook, and show what came back
    Test {
        /// The sink
        sink: String,
    },
    /// List the last deliveries of a webhook, newest first
    Deliveries {
        /// The sink
        sink: String,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// List the dead letters of a webhook: events that could not be delivered, oldest first
    DeadLetters {
        /// The sink
        sink: String,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Send the dead letters of a webhook again: all of them, or until the receiver does not work
    Retry {
        /// The sink
        sink: String,
        /// Only so many of the oldest
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
    },
}
