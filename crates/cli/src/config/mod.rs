//! Settings from four places: the command line, the environment, `downbeat.toml`, and a default.
//!
//! The nearest one wins. All faults of all places are reported at once, and every value remembers
//! where it came from, for `downbeat doctor`.

pub(crate) mod cache;
mod file;
mod layers;
mod parse;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use downbeat_core::backoff::Backoff;
use downbeat_core::cache::StreamLimits;
use downbeat_core::instructions::Restart;
use downbeat_core::llm::Permissions;
use downbeat_runtime::settings::{Selection, Settings};
use downbeat_runtime::spawn::Orphans;
use downbeat_runtime::spending::Ceiling;
use downbeat_runtime::supervise::Policy;

use crate::error::CliError;
use crate::models;
use crate::predecessor;
use cache::Chosen;
use layers::Layers;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// `downbeat.toml`, or another file: its name and the line.
    File(String, usize),
    /// A variable of the environment.
    Environment(String),
    /// An option of the command line.
    Flag(String),
}

impl Origin {
    /// The nearest place has the greatest number.
    const fn nearness(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(..) => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name, line) => write!(f, "{name}:{line}"),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A setting as `doctor` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Its key.
    pub(crate) key: &'static str,
    /// Its value, as it would be written.
    pub(crate) value: String,
    /// Where it came from.
    pub(crate) origin: Origin,
}

/// When an acknowledged write is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When the power fails.
    Power,
    /// When this process ends.
    Process,
}

/// As what agents are brought to life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spawn {
    /// As tasks of this process.
    InProcess,
    /// As processes of their own.
    Process,
    /// As processes of their own under systemg.
    Sysg,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the places say, before it is known whether it is sound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// From the command line: key and text.
    pub(crate) flags: BTreeMap<&'static str, String>,
    /// The environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// The file of settings: its path, and its text if it exists.
    pub(crate) file: Option<(PathBuf, String)>,
}

/// All settings, each sound.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The model, if one was chosen.
    pub(crate) llm: Option<String>,
    /// What models' tokens cost, each as `NAME=IN/OUT[/CACHED]`.
    pub(crate) prices: Vec<String>,
    /// Which programs the command-line agents are, each as `NAME=PROGRAM [ARGUMENT …]`.
    pub(crate) tools: Vec<String>,
    /// Where the tasks of goals work that name no workspace, if not in the project.
    pub(crate) work_in: Option<PathBuf>,
    /// Which cache.
    pub(crate) cache: Chosen,
    /// Where the word about the cache came from.
    pub(crate) cache_origin: Origin,
    /// A file that holds the token of the API: of one that is asked, and of one that is served.
    pub(crate) api_token_file: Option<PathBuf>,
    /// When an acknowledged write is safe.
    pub(crate) durability: Durability,
    /// How many entries streams keep.
    pub(crate) limits: StreamLimits,
    /// As what agents are brought to life, if that was chosen.
    pub(crate) spawn: Option<Spawn>,
    /// What becomes of agents that are processes when their orchestrator dies.
    pub(crate) orphans: Orphans,
    /// The least level that is logged, if one was chosen.
    pub(crate) log_level: Option<String>,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// `auto`, `always` or `never`.
    pub(crate) color: String,
    /// The limits and periods of a run.
    pub(crate) settings: Settings,
    /// Every setting with its origin.
    pub(crate) shown: Vec<Shown>,
    /// What is probably not intended.
    pub(crate) warnings: Vec<String>,
}

impl Sources {
    /// Reads the file at `path`; `needed` when somebody named it.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn read_file(&mut self, path: &Path, needed: bool) -> Result<(), CliError> {
        match file::read(path) {
            Ok(Some(text)) => self.file = Some((path.to_path_buf(), text)),
            Ok(None) if needed => {
                return Err(CliError::bad_input(format!("no such file of settings: {}", path.display())));
            }
            Ok(None) => {}
            Err(reason) => return Err(CliError::bad_input(reason)),
        }
        Ok(())
    }

    /// All settings.
    ///
    /// # Errors
    ///
    /// All faults of all places.
    pub(crate) fn config(&self) -> Result<Config, CliError> {
        let defaults = Settings::default();
        let mut layers = Layers::new(self);
        let llm = layers.text("llm", &[], "by the plan");
        let prices = layers.list("prices");
        let tools = layers.divided("tools", '\n');
        let work_in = layers.text("work_in", &[], "the project").map(PathBuf::from);
        let (cache, cache_origin) = layers.cache();
        let api_token_file = layers.text("api_token_file", &[], "none").map(PathBuf::from);
        let max_agents = layers.count("max_agents", &["MAX_AGENTS"], 1..=10_000, defaults.max_agents);
        let max_workers = layers.at_most("max_workers", &[], |text| parse::count(text, &(1..=10_000)));
        let max_workers = max_workers.and_then(|workers| usize::try_from(workers).ok());
        let max_attempts = layers.attempts("max_attempts", "MAX_RETRIES", defaults.max_attempts);
        let second = Duration::from_secs(1);
        let tenth = Duration::from_millis(100);
        let day = Duration::from_secs(86_400);
        let lease_ttl = layers.span("lease_ttl", &[], tenth..=day, defaults.lease_ttl);
        let agent_ttl = layers.span("agent_ttl", &[], tenth..=day, defaults.agent_ttl);
        let task_timeout = layers.span(
            "task_timeout",
            &["AGENT_TIMEOUT_SECONDS"],
            Duration::from_millis(1)..=day * 365,
            defaults.task_timeout,
        );
        let base = layers.span("backoff_base", &[], Duration::from_millis(1)..=day, defaults.backoff.base);
        let ceiling =
            layers.span("backoff_ceiling", &[], Duration::from_millis(1)..=day, defaults.backoff.ceiling);
        if base > ceiling {
            layers.fault("backoff_base", "is longer than `backoff_ceiling`");
        }
        let interruption_limit =
            layers.count("interruption_limit", &[], 0..=1_000_000, defaults.interruption_limit);
        let restart = Policy {
            restart: layers.choice(
                "restart",
                Restart::OnFailure,
                &[("never", Restart::Never), ("on-failure", Restart::OnFailure), ("always", Restart::Always)],
            ),
            max_restarts: layers.count("max_restarts", &[], 0..=1_000_000, defaults.restart.max_restarts),
            window: layers.span("restart_window", &[], second..=day, defaults.restart.window),
            ..defaults.restart
        };
        let check_interval = layers.span("check_interval", &[], tenth..=day, defaults.check_interval);
        let selection = layers.choice(
            "selection",
            Selection::Priority,
            &[("priority", Selection::Priority), ("model", Selection::Model)],
        );
        let permissions = layers.choice(
            "permissions",
            Permissions::Edit,
            &[("edit", Permissions::Edit), ("plan", Permissions::Plan), ("full", Permissions::Full)],
        );
        let spending = Ceiling {
            tokens: layers.at_most("max_tokens", &[], |text| parse::count(text, &(1..=1 << 50))),
            cost_micros: layers.at_most("max_cost", &[], parse::dollars),
        };
        let calls = layers.at_most("max_parallel_calls", &[predecessor::CALLS], parse::calls);
        let max_parallel_calls =
            calls.filter(|calls| *calls > 0).and_then(|calls| usize::try_from(calls).ok());
        let max_output = layers.bytes("max_output", 1024..=1 << 40, defaults.max_output);
        let kill_grace = layers.span("kill_grace", &[], tenth..=60 * second, defaults.kill_grace);
        let pass_env = layers.list("pass_env");
        let keep_running = layers.switch("keep_running");
        let leader_ttl = layers.span("leader_ttl", &[], second..=day, defaults.leader_ttl);
        let store_patience =
            layers.span("store_patience", &[], Duration::from_secs(0)..=day * 7, defaults.store_patience);
        let drain_grace = layers.span("drain_grace", &[], Duration::ZERO..=day, defaults.drain_grace);
        let spawn = layers.chosen(
            "spawn",
            &[("in-process", Spawn::InProcess), ("process", Spawn::Process), ("sysg", Spawn::Sysg)],
        );
        let orphans =
            layers.choice("orphans", Orphans::End, &[("end", Orphans::End), ("keep", Orphans::Keep)]);
        let idle_for = layers.span("idle_for", &[], tenth..=day, defaults.idle_for);
        let spawn_limit = layers.count("spawn_limit", &[], 1..=10_000, defaults.spawn_limit);
        let durability = layers.choice(
            "durability",
            Durability::Power,
            &[("power", Durability::Power), ("process", Durability::Process)],
        );
        let StreamLimits { events, others } = StreamLimits::default();
        let limits = StreamLimits {
            events: layers.count("events_kept", &[], 1_000..=100_000_000, events),
            others: layers.count("stream_kept", &[], 100..=100_000_000, others),
        };
        let levels: [(&str, &str); 6] =
            ["info", "trace", "debug", "warn", "error", "off"].map(|level| (level, level));
        let log_level = layers.chosen("log_level", &levels).map(str::to_owned);
        let log_format = layers.choice(
            "log_format",
            LogFormat::Text,
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        );
        let color = layers
            .choice("color", "auto", &[("auto", "auto"), ("always", "always"), ("never", "never")])
            .to_owned();
        let (shown, warnings) = layers.finish()?;
        let settings = Settings {
            lease_ttl,
            agent_ttl,
            task_timeout,
            max_attempts,
            backoff: Backoff { base, ceiling },
            max_agents,
            max_workers,
            restart,
            check_interval,
            interruption_limit,
            selection,
            permissions,
            ceiling: spending,
            max_parallel_calls,
            max_output,
            kill_grace,
            pass_env,
            keep_running,
            leader_ttl,
            store_patience,
            drain_grace,
            spawn_limit,
            idle_for,
            ..defaults
        };
        Ok(Config {
            llm,
            prices,
            tools,
            work_in,
            cache,
            cache_origin,
            api_token_file,
            durability,
            limits,
            spawn,
            orphans,
            log_level,
            log_format,
            color,
            settings,
            shown,
            warnings,
        })
    }
}

impl Config {
    /// How models are asked.
    pub(crate) fn asking(&self) -> models::Asking<'_> {
        models::Asking { prices: &self.prices, tools: &self.tools }
    }

    /// What was chosen about models.
    pub(crate) fn chosen(&self) -> models::Chosen<'_> {
        models::Chosen { llm: self.llm.as_deref(), asking: self.asking() }
    }
}

#[cfg(test)]
mod tests;
