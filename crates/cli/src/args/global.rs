//! What can be typed with every command.

use std::path::PathBuf;

use clap::Args;

/// The heading of the options that every command has.
const GLOBAL: &str = "Global options";

/// The heading of the options that say where the state lies.
const STATE: &str = "Where the state lies";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The project: a directory, or its file of instructions [default: this directory or the nearest
    /// above it that is one]
    #[arg(long, global = true, value_name = "PATH", help_heading = GLOBAL)]
    pub(crate) project: Option<PathBuf>,
    /// The directory of the embedded store [default: .downbeat/store in the project]
    #[arg(long, global = true, value_name = "DIR", help_heading = STATE)]
    pub(crate) store: Option<PathBuf>,
    /// The cache: `sled:DIR`, or what many machines share: `redis://HOST:PORT`, `rediss://…`,
    /// `redis+unix:///SOCKET`, `redis+sentinel://…`, `redis+cluster://…`; or `http://HOST:PORT`, where
    /// another process serves its state with `--listen` [default: the embedded store]
    #[arg(long, visible_alias = "redis-url", global = true, value_name = "URL", help_heading = STATE)]
    pub(crate) cache: Option<String>,
    /// Begins every key in Redis: deployments with different ones share a server and nothing else
    #[arg(long, global = true, value_name = "TEXT", help_heading = STATE)]
    pub(crate) redis_prefix: Option<String>,
    /// How keys in Redis are named: `cluster` puts them under one hash tag, and is what
    /// `redis+cluster://` always does [default: plain]
    #[arg(long, global = true, value_name = "LAYOUT", value_parser = ["plain", "cluster"], help_heading = STATE)]
    pub(crate) key_layout: Option<String>,
    /// How many replicas have to acknowledge a plan and a settle [default: 0]
    #[arg(long, global = true, value_name = "N", help_heading = STATE)]
    pub(crate) redis_wait: Option<String>,
    /// A file with the password of Redis; on the command line `ps` would show it
    #[arg(long, global = true, value_name = "FILE", help_heading = STATE)]
    pub(crate) redis_password_file: Option<PathBuf>,
    /// A file with the token of the API, which only you can read: what `--listen` asks for and
    /// `--cache http://…` sends; or `$DOWNBEAT_API_TOKEN`
    #[arg(long, alias = "api-token-file", global = true, value_name = "FILE", help_heading = STATE)]
    pub(crate) token_file: Option<PathBuf>,
    /// Accept a Redis server that evicts keys when its memory is full: what it evicts is lost
    #[arg(long, global = true, help_heading = STATE)]
    pub(crate) allow_eviction: bool,
    /// The file of settings [default: downbeat.toml in the project]
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON and nothing else on the standard output; errors are JSON on the standard error
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) quiet: bool,
    /// When to use colours; without it `NO_COLOR` is heeded
    #[arg(long, global = true, value_name = "WHEN", value_parser = ["auto", "always", "never"], help_heading = GLOBAL)]
    pub(crate) color: Option<String>,
    /// The least level that is logged on the standard error
    #[arg(long, global = true, value_name = "LEVEL",
        value_parser = ["trace", "debug", "info", "warn", "error", "off"], help_heading = GLOBAL)]
    pub(crate) log_level: Option<String>,
    /// Log lines for people, or one JSON object a line
    #[arg(long, global = true, value_name = "FORMAT", value_parser = ["text", "json"], help_heading = GLOBAL)]
    pub(crate) log_format: Option<String>,
}
