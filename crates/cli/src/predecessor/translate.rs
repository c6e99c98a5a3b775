//! The predecessor's command line in our own terms.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use super::Small;
use super::ask::Ask;
use super::heritage::Heritage;
use super::spoken::{Instructions, Provider, Role, Run, Spoken, Verb};
use crate::args::{self, Cli, Command, Global, Model};

/// The variable that said for how long a call waits for its turn.
const WAIT: &str = "PORKI_LLM_CONCURRENCY_WAIT_SECONDS";

/// Reads the words of a command line.
///
/// # Errors
///
/// They are not what the predecessor understood either, or lack what it needed.
pub(super) fn translate(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = grammar();
    let spoken = Spoken::from_arg_matches(&command.try_get_matches_from_mut(words)?)?;
    let Spoken { mut global, command: verb } = spoken;
    let mut heritage = Heritage::default();
    level(&mut global, &mut heritage);
    if global.cache.as_deref().is_some_and(|url| url.starts_with("fakeredis:")) {
        global.cache = Some("sled".to_owned());
        heritage.notes.push(
            "`fakeredis://`: the state is kept in the embedded store, `.downbeat/store` beside the instructions"
                .to_owned(),
        );
    }
    let command = match verb {
        Verb::Instructions(Instructions::Create(create)) => Command::Predecessor(Small::Create(create)),
        Verb::Instructions(Instructions::Validate(validate)) => {
            Command::Predecessor(Small::Validate(validate))
        }
        Verb::Run(run) => self::run(*run, &mut heritage).map_err(|(kind, fault)| {
            match command.find_subcommand_mut("run") {
                Some(run) => run.error(kind, fault),
                None => command.error(kind, fault),
            }
        })?,
    };
    Ok(Cli { global, command, heritage: Some(heritage) })
}

/// Our own options beside the predecessor's, where those of one name take what both did.
fn grammar() -> clap::Command {
    Spoken::command()
        .mut_arg("log_level", |arg| arg.value_parser(ValueParser::string()))
        .mut_arg("color", |arg| arg.num_args(0..=1).require_equals(true).default_missing_value("always"))
}

/// A level of Python's logging, in any case.
fn level(global: &mut Global, heritage: &mut Heritage) {
    let Some(said) = &global.log_level else { return };
    let level = match said.to_ascii_lowercase().as_str() {
        "critical" | "fatal" | "error" => "error",
        "warning" | "warn" => "warn",
        "info" => "info",
        "debug" => "debug",
        "notset" | "trace" => "trace",
        "off" => "off",
        _ => {
            let shown = crate::output::text::cut(&crate::output::text::clean(said), 40);
            heritage.warnings.push(format!(
                "`{shown}` is no level of logging: it is `info`; the others are debug, warning, error and critical"
            ));
            "info"
        }
    };
    global.log_level = Some(level.to_owned());
}

type Fault = (ErrorKind, String);

fn run(run: Run, heritage: &mut Heritage) -> Result<Command, Fault> {
    let missing = |what: &str| (ErrorKind::MissingRequiredArgument, what.to_owned());
    without_meaning(&run, heritage);
    let llm = model(&run, heritage)?;
    if let Some(prompt) = run.prompt.as_deref().map(str::trim).filter(|prompt| !prompt.is_empty()) {
        if run.role.is_some() || run.instructions.is_some() {
            let fault = "`--prompt` goes neither with `--role` nor with `--instructions`".to_owned();
            return Err((ErrorKind::ArgumentConflict, fault));
        }
        return Ok(Command::Predecessor(Small::Ask(Ask { prompt: prompt.to_owned(), llm })));
    }
    let (Some(role), Some(instructions)) = (run.role, run.instructions) else {
        return Err(missing("`--role` and `--instructions` are needed, or else `--prompt`"));
    };
    if let Some(seconds) = &run.lease_ttl {
        heritage.settings.push(("lease_ttl", span(seconds)));
    }
    let instructions = args::Instructions { positional: None, flag: Some(instructions) };
    let model = Model { llm };
    match role {
        Role::Orchestrator => {
            let of_agents = [
                ("--agent-name", run.agent_name.is_some()),
                ("--agent-role", run.agent_role.is_some()),
                ("--goal-id", run.goal_id.is_some()),
                ("--heartbeat", run.heartbeat.is_some()),
            ];
            for (flag, _) in of_agents.into_iter().filter(|(_, given)| *given) {
                heritage
                    .notes
                    .push(format!("`{flag}` is for `--role agent`: an orchestrator reads that in its file"));
            }
            Ok(Command::Orchestrator(args::Orchestrator {
                instructions,
                model,
                max_attempts: None,
                leader_ttl: None,
                max_parallel_calls: None,
                keep_running: true,
                spawning: run.spawning,
                listen: run.listen,
            }))
        }
        Role::Agent => {
            let (Some(name), Some(goal)) = (run.agent_name, run.goal_id) else {
                return Err(missing("`--role agent` needs `--agent-name` and `--goal-id`"));
            };
            Ok(Command::Agent(args::Agent {
                instructions,
                role: run.agent_role.or_else(|| Some(name.clone())),
                name,
                declared: None,
                goal: Some(goal),
                heartbeat: run.heartbeat,
                child: args::Child::default(),
                model,
                lease_ttl: None,
                timeout: None,
                selection: None,
                max_parallel_calls: None,
                keep_running: true,
            }))
        }
    }
}

/// Which model is asked, if one is named. A program or arguments of the user's own become a setting.
fn model(run: &Run, heritage: &mut Heritage) -> Result<Option<String>, Fault> {
    let provider = run.llm_provider.unwrap_or(Provider::Claude);
    let is_claude = provider == Provider::Claude;
    let program = run.llm_cli.as_ref().or(run.claude_cli.as_ref().filter(|_| is_claude));
    let arguments = match run.llm_extra_arg.as_slice() {
        [] if is_claude => &run.claude_extra_arg,
        _ => &run.llm_extra_arg,
    };
    if program.is_some() || !arguments.is_empty() {
        let program = program.map_or(provider.name(), String::as_str);
        let words = std::iter::once(program).chain(arguments.iter().map(String::as_str));
        let line = shlex::try_join(words).ok().filter(|line| !line.contains('\n'));
        let Some(line) = line else {
            let fault = "`--llm-cli` and `--llm-extra-arg` take text without line breaks".to_owned();
            return Err((ErrorKind::InvalidValue, fault));
        };
        heritage.settings.push(("tools", format!("{}={line}", provider.name())));
    }
    // Not said, it may stand in the environment or in downbeat.toml.
    Ok(run.model.llm.clone().or_else(|| run.llm_provider.map(|provider| provider.name().to_owned())))
}

/// Seconds as Python reads them, or a span as we do.
fn span(text: &str) -> String {
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    let span = seconds.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
    span.map_or_else(|| text.to_owned(), |span| format!("{}ms", span.as_millis()))
}

/// Notes what was given and changes nothing.
fn without_meaning(run: &Run, heritage: &mut Heritage) {
    let woken = "whoever waits is woken by what happens, and nothing polls";
    let read = "the file is read as soon as it changes";
    let idle = "who waits logs nothing; `downbeat status` shows where all stand";
    let guard = "a model's program always runs below a guard that ends it and hears its answer";
    let lines = "log lines have one form, and `--log-format json` is for programs";
    let event = run.log_style.as_deref() == Some("event");
    let given = [
        ("--loop-interval", run.loop_interval.is_some(), woken),
        ("--poll-interval", run.poll_interval.is_some(), woken),
        ("--heartbeat-interval", run.heartbeat_interval.is_some(), read),
        ("--instruction-interval", run.instruction_interval.is_some(), read),
        ("--idle-log-interval", run.idle_log_interval.is_some(), idle),
        ("--llm-use-sysg", run.llm_use_sysg, guard),
        ("--claude-use-sysg", run.claude_use_sysg, guard),
        ("--log-style event", event, lines),
    ];
    for (flag, _, why) in given.into_iter().filter(|(_, given, _)| *given) {
        heritage.notes.push(format!("`{flag}` changes nothing: {why}"));
    }
    if std::env::var_os(WAIT).is_some_and(|text| !text.is_empty()) {
        heritage.notes.push(format!(
            "${WAIT} changes nothing: a call waits for its turn, and its task's time counts from then on"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Cli, clap::Error> {
        translate(line.split(' ').map(OsString::from).collect())
    }

    fn heritage(line: &str) -> Heritage {
        of(line).unwrap().heritage.unwrap()
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
        let run = grammar();
        let run = run.find_subcommand("run").unwrap();
        // Help is folded there, and half a command is another one.
        let examples = run.get_after_help().unwrap().to_string();
        assert!(examples.lines().all(|line| line.chars().count() <= 100), "{examples}");
    }

    #[test]
    fn an_orchestrator_is_a_service_with_its_agents() {
        let cli = of("downbeat run --role orchestrator --instructions i/INSTRUCTIONS.md --redis-url \
                      redis://127.0.0.1:6379 --log-level WARNING --color --lease-ttl 12.5 --poll-interval 5 \
                      --heartbeat-interval 300 --llm-provider codex --llm-cli /opt/co.dex --llm-extra-arg --fast \
                      --llm-extra-arg=--model")
        .unwrap();
        let Command::Orchestrator(args) = cli.command else { panic!("{:?}", cli.command) };
        assert!(args.keep_running);
        assert_eq!(args.model.llm.as_deref(), Some("codex"));
        assert_eq!(cli.global.cache.as_deref(), Some("redis://127.0.0.1:6379"));
        assert_eq!(cli.global.log_level.as_deref(), Some("warn"));
        assert_eq!(cli.global.color.as_deref(), Some("always"));
        let heritage = cli.heritage.unwrap();
        let settings =
            [("tools", "codex=/opt/co.dex --fast --model".to_owned()), ("lease_ttl", "12500ms".to_owned())];
        assert_eq!(heritage.settings, settings);
        assert_eq!(heritage.notes.len(), 2, "{:?}", heritage.notes);
        assert!(heritage.warnings.is_empty());
    }

    #[test]
    fn an_agent_stays_and_takes_its_name_for_its_role() {
        let cli = of("downbeat run --role=agent --instructions UI.md --agent-name ui-dev --goal-id ui \
                      --heartbeat heartbeat/UI.md --redis-url fakeredis:// --claude-cli /c")
        .unwrap();
        let Command::Agent(args) = cli.command else { panic!("{:?}", cli.command) };
        assert_eq!(
            (args.name.as_str(), args.role.as_deref(), args.goal.as_deref()),
            ("ui-dev", Some("ui-dev"), Some("ui"))
        );
        assert!(args.keep_running && args.heartbeat.is_some());
        assert_eq!(args.model.llm, None);
        assert_eq!(cli.global.cache.as_deref(), Some("sled"));
        let heritage = cli.heritage.unwrap();
        assert_eq!(heritage.settings, [("tools", "claude=/c".to_owned())]);
        assert!(heritage.notes[0].contains("embedded store"));
    }

    #[test]
    fn what_is_missing_or_contradicts_itself_is_refused() {
        for (line, said) in [
            ("downbeat run --role agent --instructions x", "--agent-name"),
            ("downbeat run --role orchestrator", "--instructions"),
            ("downbeat run --role manager --instructions x", "orchestrator"),
            ("downbeat run -p hello --role agent --instructions x", "--prompt"),
            ("downbeat run --instructions x --prompt", "--role"),
            ("downbeat run --role orchestrator --instructions x --redis-ur y", "--redis-url"),
            ("downbeat run --role orchestrator --instructions x --llm-extra-arg a\nb", "line breaks"),
        ] {
            let error = of(line).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.render().to_string().contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn an_unknown_level_is_told_and_a_known_one_is_read_in_any_case() {
        let warned = heritage("downbeat run --role orchestrator --instructions x --log-level VERBOSE");
        assert!(warned.warnings[0].contains("`VERBOSE` is no level"));
        assert!(
            heritage("downbeat run --role orchestrator --instructions x --log-level Debug")
                .warnings
                .is_empty()
        );
    }

    #[test]
    fn a_question_is_asked_alone() {
        let mut words: Vec<OsString> =
            "downbeat run --llm-provider claude -p".split(' ').map(OsString::from).collect();
        words.push("How are you?".into());
        let Command::Predecessor(Small::Ask(ask)) = translate(words).unwrap().command else {
            panic!("no question")
        };
        assert_eq!((ask.prompt.as_str(), ask.llm.as_deref()), ("How are you?", Some("claude")));
    }
}
