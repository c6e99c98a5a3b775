//! What every command begins with: where it is, how it is set, and where it writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::ColorChoice;
use downbeat_core::cache::Cache;
use downbeat_core::ids::{AgentName, GoalId, TaskId};
use downbeat_core::suggest::nearest;
use downbeat_core::time::{Clock, Timestamp};
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::load;
use downbeat_server::About;

use crate::api;
use crate::args::{Cli, Global};
use crate::config::cache::{self, Chosen};
use crate::config::{Config, Origin, Sources};
use crate::error::{CliError, Kind};
use crate::output::Out;
use crate::output::text;
use crate::place::{Place, quoted, tidy};
use crate::predecessor;
use crate::store::{self, Lies};

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Context {
    /// The project.
    pub(crate) place: Place,
    /// All settings.
    pub(crate) config: Config,
    /// Where to write.
    pub(crate) out: Out,
    /// Where the state lies.
    pub(crate) store: Lies,
    /// The host's clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// What was said on the command line: keys of settings, and their texts.
    pub(crate) said: BTreeMap<&'static str, String>,
    /// The state is used through the process that holds it.
    joined: Arc<AtomicBool>,
}

/// What a command sets by its own options: key and text.
pub(crate) type Flags = Vec<(&'static str, Option<String>)>;

impl Context {
    /// Finds the project (which `positional` may name) and reads all settings.
    ///
    /// # Errors
    ///
    /// No project is found, or any setting is at fault.
    pub(crate) fn new(global: &Global, positional: Option<&Path>, flags: Flags) -> Result<Self, CliError> {
        let here =
            std::env::current_dir().map_err(|error| CliError::internal("no current directory", &error))?;
        let mut sources = Sources {
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            ..Sources::default()
        };
        let named =
            |key: &str| sources.environment.get(key).filter(|text| !text.is_empty()).map(PathBuf::from);
        let said = positional.map(Path::to_path_buf).or_else(|| global.project.clone());
        if let (Some(positional), Some(project)) = (positional, &global.project)
            && positional != project
        {
            return Err(CliError::bad_input("the project is named twice, by --project and by its file"));
        }
        let said = said.or_else(|| named("DOWNBEAT_PROJECT"));
        let place = Place::find(said.as_deref(), &here)?;
        let file = global.config.clone().or_else(|| named("DOWNBEAT_CONFIG"));
        sources.read_file(&file.clone().unwrap_or_else(|| place.config()), file.is_some())?;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let own: Flags = vec![
            ("store", path(&global.store)),
            ("cache", global.cache.clone()),
            ("redis_prefix", global.redis_prefix.clone()),
            ("key_layout", global.key_layout.clone()),
            ("redis_wait", global.redis_wait.clone()),
            ("redis_password_file", path(&global.redis_password_file)),
            ("api_token_file", path(&global.token_file)),
            ("allow_eviction", global.allow_eviction.then(|| "true".to_owned())),
            ("color", global.color.clone()),
            ("log_level", global.log_level.clone()),
            ("log_format", global.log_format.clone()),
        ];
        sources.flags.extend(own.into_iter().chain(flags).filter_map(|(key, text)| Some((key, text?))));
        let config = sources.config()?;
        let mut said = sources.flags.clone();
        said.extend(path(&global.config).map(|file| ("config", file)));
        let out = Out::new(global.json, global.quiet, colour(Some(&config.color)));
        for warning in &config.warnings {
            out.warning(warning);
        }
        let store = state_of(&config, &place);
        if let (Lies::Shared(redis), Origin::Flag(flag)) = (&store, &config.cache_origin)
            && cache::has_secret(&redis.url)
        {
            out.warning(format!(
                "every user of this machine can read the password in {flag} from the list of processes; \
                 $DOWNBEAT_CACHE, downbeat.toml and --redis-password-file keep it to yourself"
            ));
        }
        let joined = Arc::default();
        Ok(Self { place, config, out, store, clock: Arc::new(SystemClock), said, joined })
    }

    /// The same for a whole command line, which may be the predecessor's.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn of(cli: &Cli, positional: Option<&Path>, mut flags: Flags) -> Result<Self, CliError> {
        let Some(heritage) = &cli.heritage else { return Self::new(&cli.global, positional, flags) };
        flags.extend(heritage.flags());
        let mut context = Self::new(&cli.global, positional, flags)?;
        predecessor::settle(&mut context);
        heritage.notes.iter().for_each(|note| context.out.note(format!("note: {note}")));
        heritage.warnings.iter().for_each(|warning| context.out.warning(warning));
        Ok(context)
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A command to type for this project and store.
    pub(crate) fn command(&self, words: &str) -> String {
        let command = self.place.command(words);
        let Origin::Flag(_) = self.config.cache_origin else { return command };
        match &self.store {
            Lies::Here(path) => format!("{command} --store {}", quoted(path)),
            Lies::Remote(remote) => format!("{command} --cache {}", remote.url()),
            Lies::Shared(redis) => {
                let command = format!("{command} --cache '{}'", cache::redacted(&redis.url));
                match redis.prefix.as_str() {
                    "" => command,
                    prefix => format!("{command} --redis-prefix {prefix}"),
                }
            }
        }
    }

    /// Whether other processes may be at work on the state at the same time.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self.store, Lies::Here(_)) || self.has_joined()
    }

    /// Whether the state is used through the process that holds it.
    pub(crate) fn has_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// The same, for what may find out that it is so no more.
    pub(crate) fn joined(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.joined)
    }

    /// The embedded store through the process that holds it, if one does and can be asked.
    ///
    /// # Errors
    ///
    /// Somebody answers who cannot be worked with.
    pub(crate) async fn join(&self) -> Result<Option<(Arc<dyn Cache>, About)>, CliError> {
        let joined = api::join(self).await?;
        self.joined.store(joined.is_some(), Ordering::Relaxed);
        Ok(joined)
    }

    /// The store of earlier runs, or of one that runs now.
    ///
    /// # Errors
    ///
    /// There is none yet, or another process holds it.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Cache>, CliError> {
        if let Lies::Here(path) = &self.store
            && !path.exists()
        {
            let error = CliError::new(Kind::NoStore, format!("no store at {}", path.display()));
            return Err(error.hint(format!("run `{}` first", self.command("run"))));
        }
        if !matches!(self.store, Lies::Here(_)) {
            return store::open(&self.how("downbeat")).await;
        }
        let mut tries = 1;
        loop {
            let foreign = match self.join().await {
                Ok(Some((holder, _))) => return Ok(api::outliving(holder, self)),
                Ok(None) => None,
                Err(error) => Some(error),
            };
            match store::open_now(&self.how("downbeat")).await {
                // Whoever holds it may be about to end, or to listen.
                Err(error) if error.kind == Kind::Busy && tries < store::TRIES => {
                    tries += 1;
                    tokio::time::sleep(store::BETWEEN).await;
                }
                Err(error) if error.kind == Kind::Busy => return Err(foreign.unwrap_or(error)),
                opened => return opened,
            }
        }
    }

    /// The file with the token of the API, if one is named.
    pub(crate) fn token_file(&self) -> Option<PathBuf> {
        let path = self.config.api_token_file.as_ref()?;
        Some(named(&self.config, &self.place, "api_token_file", path))
    }

    /// How to open the store; `holder` is what this process is.
    pub(crate) fn how<'a>(&'a self, holder: &'a str) -> store::How<'a> {
        let (durability, limits) = (self.config.durability, self.config.limits);
        store::How { lies: &self.store, durability, limits, clock: &self.clock, holder }
    }

    /// The task called `text`, if there is one.
    ///
    /// # Errors
    ///
    /// There is none; the error names the one that was probably meant.
    pub(crate) async fn task(&self, cache: &dyn Cache, text: &str) -> Result<TaskId, CliError> {
        if let Ok(id) = TaskId::new(text)
            && cache.task(&id).await?.is_some()
        {
            return Ok(id);
        }
        let mut known: Vec<String> = Vec::new();
        for goal in cache.goals().await? {
            if let Some(dag) = cache.dag(&goal.id).await? {
                known.extend(dag.nodes().map(|node| node.id.to_string()));
            }
        }
        Err(self.unknown("task", text, &known, "task list"))
    }

    /// The goal called `text`, if there is one.
    ///
    /// # Errors
    ///
    /// There is none; the error names the one that was probably meant.
    pub(crate) async fn goal(&self, cache: &dyn Cache, text: &str) -> Result<GoalId, CliError> {
        let goals = cache.goals().await?;
        if let Some(goal) = goals.iter().find(|goal| goal.id.as_str() == text) {
            return Ok(goal.id.clone());
        }
        let known: Vec<String> = goals.iter().map(|goal| goal.id.to_string()).collect();
        Err(self.unknown("goal", text, &known, "status"))
    }

    /// The agent called `text`, if one ever registered or is declared.
    ///
    /// # Errors
    ///
    /// There is none; the error names the one that was probably meant.
    pub(crate) async fn agent(&self, cache: &dyn Cache, text: &str) -> Result<AgentName, CliError> {
        let agents = cache.agents().await?;
        if let Some(agent) = agents.iter().find(|agent| agent.registration.name.as_str() == text) {
            return Ok(agent.registration.name.clone());
        }
        let mut known: Vec<String> = agents.iter().map(|agent| agent.registration.name.to_string()).collect();
        // An agent may be paused before it first runs.
        if let Ok(project) = load::load(&self.place.instructions) {
            let declared = project.agents.into_iter().flat_map(|agent| agent.spec.copies());
            for name in declared {
                if name.as_str() == text {
                    return Ok(name);
                }
                known.push(name.to_string());
            }
        }
        Err(self.unknown("agent", text, &known, "status"))
    }

    pub(crate) fn unknown(&self, kind: &str, text: &str, known: &[String], list: &str) -> CliError {
        let shown = text::cut(&text::clean(text), 80);
        let error = CliError::new(Kind::NotFound, format!("no {kind} is called `{shown}`"));
        match nearest(text, known.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("is it `{near}`?")),
            None => error.hint(format!("`{}` lists them", self.command(list))),
        }
    }
}

/// Where the state lies, by all that was said about it.
fn state_of(config: &Config, place: &Place) -> Lies {
    // A file says paths from where it stands; a person, from where they stand.
    let in_file = matches!(config.cache_origin, Origin::File(..));
    let from_here = |path: &Path| if in_file { tidy(&place.root.join(path)) } else { path.to_path_buf() };
    let file = |key: &str, path: &Option<PathBuf>| path.as_ref().map(|path| named(config, place, key, path));
    match &config.cache {
        Chosen::Sled(None) => Lies::Here(place.own().join("store")),
        Chosen::Sled(Some(path)) => Lies::Here(from_here(path)),
        Chosen::Http(http) => {
            let token_file = file("api_token_file", &config.api_token_file);
            Lies::Remote(cache::Http { token_file, ..http.clone() })
        }
        Chosen::Redis(redis) => {
            let password_file = file("redis_password_file", &redis.password_file);
            let ca_file = file("redis_ca_file", &redis.ca_file);
            let certificate = file("redis_certificate", &redis.certificate);
            let key = file("redis_key", &redis.key);
            Lies::Shared(cache::Redis { password_file, ca_file, certificate, key, ..redis.clone() })
        }
    }
}

/// The file that a setting names, as it is found from here.
fn named(config: &Config, place: &Place, key: &str, path: &Path) -> PathBuf {
    let shown = config.shown.iter().find(|shown| shown.key == key);
    let in_file = shown.is_some_and(|shown| matches!(shown.origin, Origin::File(..)));
    if in_file { tidy(&place.root.join(path)) } else { path.to_path_buf() }
}

/// What is asked for, before the settings are read: `auto` for anything that they would refuse.
pub(crate) fn colour(text: Option<&str>) -> ColorChoice {
    match text {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}
