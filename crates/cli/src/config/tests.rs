use super::*;

fn sources(flags: &[(&'static str, &str)], environment: &[(&str, &str)], file: Option<&str>) -> Sources {
    Sources {
        flags: flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        environment: environment
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        file: file.map(|text| (PathBuf::from("downbeat.toml"), text.to_owned())),
    }
}

fn origin(config: &Config, key: &str) -> String {
    config.shown.iter().find(|shown| shown.key == key).unwrap().origin.to_string()
}

#[test]
fn without_a_word_the_defaults_hold() {
    let config = sources(&[], &[], None).config().unwrap();
    assert_eq!(config.settings, Settings::default());
    assert_eq!(config.llm, None);
    assert!(config.shown.iter().all(|shown| shown.origin == Origin::Default));
    assert!(config.warnings.is_empty());
}

#[test]
fn the_default_that_is_shown_is_the_one_that_holds() {
    let silent = sources(&[], &[], None).config().unwrap();
    let words = ["", "none", "by the plan", "the project"];
    for shown in silent.shown.iter().filter(|shown| !words.contains(&shown.value.as_str())) {
        let said = [(shown.key, shown.value.as_str())];
        let config = sources(&said, &[], None).config().unwrap();
        assert_eq!(config.settings, silent.settings, "{} = {}", shown.key, shown.value);
    }
}

#[test]
fn the_nearest_place_wins_and_is_remembered() {
    let file = "lease_ttl = \"20s\"\nmax_agents = 3\nllm = \"offline\"\n";
    let config = sources(&[], &[], Some(file)).config().unwrap();
    assert_eq!(
        (config.settings.max_agents, origin(&config, "max_agents")),
        (3, "downbeat.toml:2".to_owned())
    );
    assert_eq!(config.settings.lease_ttl, Duration::from_secs(20));

    let environment = [("DOWNBEAT_MAX_AGENTS", "4"), ("MAX_AGENTS", "9")];
    let config = sources(&[], &environment, Some(file)).config().unwrap();
    assert_eq!(
        (config.settings.max_agents, origin(&config, "max_agents")),
        (4, "$DOWNBEAT_MAX_AGENTS".to_owned())
    );

    let config = sources(&[("max_agents", "5")], &environment, Some(file)).config().unwrap();
    assert_eq!((config.settings.max_agents, origin(&config, "max_agents")), (5, "--max-agents".to_owned()));
    assert_eq!(config.llm.as_deref(), Some("offline"));
}

#[test]
fn names_that_are_known_from_elsewhere_mean_what_they_meant_there() {
    let environment = [("MAX_AGENTS", "7"), ("AGENT_TIMEOUT_SECONDS", "120"), ("MAX_RETRIES", "4")];
    let config = sources(&[], &environment, None).config().unwrap();
    assert_eq!(config.settings.max_agents, 7);
    assert_eq!(config.settings.task_timeout, Duration::from_secs(120));
    assert_eq!(config.settings.max_attempts, 5);
    let environment = [("MAX_RETRIES", "0"), ("DOWNBEAT_MAX_ATTEMPTS", "2")];
    assert_eq!(sources(&[], &environment, None).config().unwrap().settings.max_attempts, 2);
}

#[test]
fn calls_at_once_are_limited_by_either_name_and_by_nothing_below_one() {
    let limit = |flags: &[(&'static str, &str)], environment: &[(&str, &str)]| {
        sources(flags, environment, None).config().map(|config| config.settings.max_parallel_calls)
    };
    assert_eq!(limit(&[], &[("PORKI_LLM_MAX_CONCURRENCY", "6")]).unwrap(), Some(6));
    let both = [("PORKI_LLM_MAX_CONCURRENCY", "6"), ("DOWNBEAT_MAX_PARALLEL_CALLS", "2")];
    assert_eq!(limit(&[], &both).unwrap(), Some(2));
    assert_eq!(limit(&[("max_parallel_calls", "1")], &both).unwrap(), Some(1));
    for none in ["0", "-1"] {
        assert_eq!(limit(&[], &[("PORKI_LLM_MAX_CONCURRENCY", none)]).unwrap(), None);
    }
    let fault = limit(&[], &[("PORKI_LLM_MAX_CONCURRENCY", "many")]).unwrap_err();
    assert!(fault.message.contains("$PORKI_LLM_MAX_CONCURRENCY must be a whole number"), "{}", fault.message);
}

#[test]
fn what_the_api_takes_is_known() {
    let environment = [("DOWNBEAT_API_TOKEN", "s3cret"), ("DOWNBEAT_CACHE", "http://h:1")];
    let config = sources(&[("api_token_file", "t")], &environment, None).config().unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(origin(&config, "cache"), "$DOWNBEAT_CACHE");
    assert_eq!(origin(&config, "api_token_file"), "--token-file");
    assert_eq!(config.api_token_file, Some("t".into()));
}

#[test]
fn a_run_inside_a_task_does_not_inherit_the_task_s_attempts() {
    let environment = [("DOWNBEAT_MAX_ATTEMPTS", "9"), ("DOWNBEAT_TOKEN", "1"), ("DOWNBEAT_TASK", "x")];
    let config = sources(&[], &environment, None).config().unwrap();
    assert_eq!(config.settings.max_attempts, Settings::default().max_attempts);
    assert!(config.warnings.is_empty());
}

#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let file = "max_agent = 3\nlease_ttl = \"soon\"\nselection = [\"model\"]\ncolor = \"red\"\n";
    let environment = [("MAX_RETRIES", "-1"), ("DOWNBEAT_KEEP_RUNNING", "maybe")];
    let error = sources(&[("max_agents", "0")], &environment, Some(file)).config().unwrap_err();
    let elsewhere: Vec<&str> = error.message.lines().collect();
    assert_eq!(elsewhere.len(), 4, "{}", error.message);
    assert_eq!(elsewhere[0], "3 settings are wrong:");
    assert!(
        elsewhere[1].starts_with("  --max-agents must be a whole number from 1 to 10000"),
        "{elsewhere:?}"
    );
    assert!(
        error.message.contains("$MAX_RETRIES must") && error.message.contains("$DOWNBEAT_KEEP_RUNNING must")
    );
    let text = error.reports[0].to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("downbeat.toml:1:1: error: `max_agent` is not a setting"), "{text}");
    assert!(lines[0].contains("is it `max_agents`?"), "{text}");
    assert!(
        lines[1].starts_with("downbeat.toml:2:13: error: `lease_ttl` must be a time span such as"),
        "{text}"
    );
    assert_eq!(error.kind.exit(), 2);
}

#[test]
fn a_file_that_is_no_toml_is_shown_where_it_breaks() {
    let error = sources(&[], &[], Some("llm = \"offline\"\nmax_agents = = 3\n")).config().unwrap_err();
    assert!(error.reports[0].to_string().starts_with("downbeat.toml:2:"), "{}", error.reports[0]);
}

#[test]
fn values_may_be_written_as_toml_or_as_text() {
    let file = "max_agents = \"3\"\ntask_timeout = 90\npass_env = [\"A\", \"B\"]\nkeep_running = true\nmax_output = \"2MiB\"\n";
    let settings = sources(&[], &[], Some(file)).config().unwrap().settings;
    assert_eq!(settings.max_agents, 3);
    assert_eq!(settings.task_timeout, Duration::from_secs(90));
    assert_eq!(settings.pass_env, ["A", "B"]);
    assert!(settings.keep_running);
    assert_eq!(settings.max_output, 2 << 20);
    let settings = sources(&[], &[("DOWNBEAT_PASS_ENV", "A, B,")], None).config().unwrap().settings;
    assert_eq!(settings.pass_env, ["A", "B"]);
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_pointed_out() {
    let config =
        sources(&[], &[("DOWNBEAT_LEASE_TTLS", "1s"), ("DOWNBEAT_TASK", "x")], None).config().unwrap();
    assert_eq!(config.warnings, ["$DOWNBEAT_LEASE_TTLS is not a setting; is it $DOWNBEAT_LEASE_TTL?"]);
}

#[test]
fn the_waits_between_attempts_must_fit_each_other() {
    let error =
        sources(&[("max_agents", "1")], &[], Some("backoff_base = \"20m\"\nbackoff_ceiling = \"1m\"\n"));
    let error = error.config().unwrap_err();
    assert!(error.reports[0].to_string().contains("downbeat.toml:1:16: error: `backoff_base` is longer"));
}

#[test]
fn what_a_url_says_of_the_layout_is_shown() {
    let shown = |cache: &str| {
        let config = sources(&[("cache", cache)], &[], None).config().unwrap();
        config.shown.iter().find(|shown| shown.key == "key_layout").unwrap().value.clone()
    };
    assert_eq!((shown("redis://h"), shown("redis+cluster://h")), ("plain".to_owned(), "cluster".to_owned()));
}

#[test]
fn streams_are_as_long_as_they_are_set() {
    let config = sources(&[], &[], Some("events_kept = 5000\nstream_kept = 200\n")).config().unwrap();
    assert_eq!(config.limits, StreamLimits { events: 5_000, others: 200 });
    assert!(sources(&[], &[], Some("events_kept = 10\n")).config().is_err());
}
