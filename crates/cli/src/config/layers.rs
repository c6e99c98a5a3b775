//! One value after the other, each from the nearest place that says something.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use downbeat_core::diagnostic::{Diagnostic, Report, Source};
use downbeat_core::span::HumanDuration;
use downbeat_core::suggest::nearest;

use super::cache::{self, Chosen};
use super::file::{self, Entry, Raw};
use super::{Origin, Shown, Sources, parse};
use crate::error::{CliError, Kind};

/// Variables that Downbeat gives to commands, and those that are read elsewhere: no settings.
const OTHERS: [&str; 16] = [
    "DOWNBEAT_GOAL",
    "DOWNBEAT_TASK",
    "DOWNBEAT_AGENT",
    "DOWNBEAT_ATTEMPT",
    "DOWNBEAT_MAX_ATTEMPTS",
    "DOWNBEAT_TOKEN",
    "DOWNBEAT_WORKSPACE",
    "DOWNBEAT_LAST_ERROR",
    "DOWNBEAT_PROJECT",
    "DOWNBEAT_CONFIG",
    "DOWNBEAT_LOG",
    crate::store::PASSWORD,
    crate::store::SENTINEL_PASSWORD,
    crate::api::TOKEN,
    "DOWNBEAT_ALLOW_HTTP",
    "DOWNBEAT_READABLE",
];

/// The places, while they are read.
pub(super) struct Layers<'a> {
    sources: &'a Sources,
    file: Option<Source>,
    entries: BTreeMap<String, Entry>,
    /// The environment that settings are read from.
    environment: BTreeMap<&'a str, &'a str>,
    known: BTreeSet<&'static str>,
    shown: Vec<Shown>,
    /// Faults of the file, with their places.
    in_file: Vec<Diagnostic>,
    /// Faults of other places, each in a line.
    elsewhere: Vec<String>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        let file =
            sources.file.as_ref().map(|(path, text)| Source::new(path.display().to_string(), text.as_str()));
        let (entries, in_file) = file.as_ref().map(file::parse).unwrap_or_default();
        // Inside a task these say what the task may do, not what a run that it starts shall do.
        let in_task = sources.environment.contains_key("DOWNBEAT_TOKEN");
        let environment = sources
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, value)| !(value.is_empty() || in_task && *name == "DOWNBEAT_MAX_ATTEMPTS"))
            .collect();
        Self {
            sources,
            file,
            entries,
            environment,
            known: BTreeSet::new(),
            shown: Vec::new(),
            in_file,
            elsewhere: Vec::new(),
        }
    }

    /// A value from the nearest place that says something, read by `read`; `None` when none does, or
    /// when what it says is a fault.
    fn nearest<T>(
        &mut self,
        key: &'static str,
        aliases: &[&str],
        read: impl Fn(&Raw) -> Result<T, String>,
    ) -> Option<(T, Origin)> {
        self.known.insert(key);
        if let Some(text) = self.sources.flags.get(key) {
            let flag = match key {
                "task_timeout" => "--timeout".to_owned(),
                "api_token_file" => "--token-file".to_owned(),
                key => format!("--{}", key.replace('_', "-")),
            };
            return self.take(read(&Raw::One(text.clone())), Origin::Flag(flag));
        }
        let own = format!("DOWNBEAT_{}", key.to_ascii_uppercase());
        for name in std::iter::once(own.as_str()).chain(aliases.iter().copied()) {
            if let Some(text) = self.environment.get(name) {
                let raw = Raw::One((*text).to_owned());
                return self.take(read(&raw), Origin::Environment(name.to_owned()));
            }
        }
        let entry = self.entries.get(key)?;
        let source = self.file.as_ref()?;
        let line = source.position(entry.span.start).line;
        match read(&entry.value) {
            Ok(value) => Some((value, Origin::File(source.name.clone(), line))),
            Err(reason) => {
                self.in_file.push(Diagnostic::error(entry.span.clone(), format!("`{key}` {reason}")));
                None
            }
        }
    }

    fn take<T>(&mut self, read: Result<T, String>, origin: Origin) -> Option<(T, Origin)> {
        match read {
            Ok(value) => Some((value, origin)),
            Err(reason) => {
                self.elsewhere.push(format!("{origin} {reason}"));
                None
            }
        }
    }

    fn show(&mut self, key: &'static str, value: impl Display, origin: Origin) {
        self.shown.push(Shown { key, value: value.to_string(), origin });
    }

    pub(super) fn text(&mut self, key: &'static str, aliases: &[&str], default: &str) -> Option<String> {
        let found = self.nearest(key, aliases, |raw| match one(raw)?.trim() {
            "" => Err("must not be empty".to_owned()),
            text => Ok(text.to_owned()),
        });
        match found {
            Some((text, origin)) => {
                self.show(key, &text, origin);
                Some(text)
            }
            None => {
                self.show(key, default, Origin::Default);
                None
            }
        }
    }

    /// The cache, from the nearest place that says `store` or `cache`.
    pub(super) fn cache(&mut self) -> (Chosen, Origin) {
        let directory = self.text("store", &[], ".downbeat/store");
        let of = |shown: &[Shown]| shown.last().map_or(Origin::Default, |shown| shown.origin.clone());
        let store_origin = of(&self.shown);
        let found = self.nearest("cache", &[], |raw| cache::parse(one(raw)?));
        let (chosen, origin) = found.unwrap_or((Chosen::Sled(None), Origin::Default));
        let shown = match &chosen {
            Chosen::Sled(None) => "sled".to_owned(),
            Chosen::Sled(Some(path)) => format!("sled:{}", path.display()),
            Chosen::Redis(redis) => cache::redacted(&redis.url),
            Chosen::Http(http) => http.url(),
        };
        self.show("cache", shown, origin.clone());
        let prefix = self.prefix();
        // What `redis+cluster://` says by itself comes first: it is shown when nobody chose.
        let by_url = matches!(&chosen, Chosen::Redis(redis) if redis.is_cluster());
        let mut layout = [("plain", false), ("cluster", true)];
        layout.rotate_left(usize::from(by_url));
        let cluster_layout = self.choice("key_layout", by_url, &layout);
        let wait = self.count("redis_wait", &[], 0..=100, 0_u32);
        let password_file = self.text("redis_password_file", &[], "none").map(PathBuf::from);
        let mut file = |key| self.text(key, &[], "none").map(PathBuf::from);
        let (ca_file, certificate, key) =
            (file("redis_ca_file"), file("redis_certificate"), file("redis_key"));
        let allow_eviction = self.switch("allow_eviction");
        if directory.is_some() && chosen != Chosen::Sled(None) {
            match store_origin.nearness().cmp(&origin.nearness()) {
                Ordering::Equal => self.fault("store", "and `cache` both say where the state lies"),
                Ordering::Greater => return (Chosen::Sled(directory.map(PathBuf::from)), store_origin),
                Ordering::Less => {}
            }
        }
        match chosen {
            Chosen::Sled(None) => (Chosen::Sled(directory.map(PathBuf::from)), store_origin),
            Chosen::Sled(path) => (Chosen::Sled(path), origin),
            Chosen::Http(http) => (Chosen::Http(http), origin),
            Chosen::Redis(redis) => {
                let all = cache::Redis {
                    url: redis.url,
                    prefix,
                    cluster_layout,
                    wait,
                    password_file,
                    ca_file,
                    certificate,
                    key,
                    allow_eviction,
                };
                (Chosen::Redis(all), origin)
            }
        }
    }

    /// What begins every key in Redis.
    fn prefix(&mut self) -> String {
        const LONGEST: usize = 64;
        let found = self.nearest("redis_prefix", &[], |raw| {
            let text = one(raw)?;
            let sound = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
            // A brace would make it a hash tag, which puts all keys on one node of a cluster.
            if sound && !text.contains(['{', '}', '*', '?', '[', ']', '\\']) {
                Ok(text.to_owned())
            } else {
                Err(format!("must be at most {LONGEST} letters, digits and signs such as `:`"))
            }
        });
        let (prefix, origin) = found.unwrap_or((String::new(), Origin::Default));
        self.show("redis_prefix", if prefix.is_empty() { "none" } else { &prefix }, origin);
        prefix
    }

    pub(super) fn count<N>(
        &mut self,
        key: &'static str,
        aliases: &[&str],
        bounds: RangeInclusive<u64>,
        default: N,
    ) -> N
    where
        N: TryFrom<u64> + Display + Copy,
    {
        let found = self.nearest(key, aliases, |raw| parse::count(one(raw)?, &bounds));
        let (number, origin) =
            found.map_or((None, Origin::Default), |(number, origin)| (Some(number), origin));
        // The bounds fit the type.
        let number = number.and_then(|number| N::try_from(number).ok()).unwrap_or(default);
        self.show(key, number, origin);
        number
    }

    /// A number, or none when nobody says one.
    pub(super) fn at_most(
        &mut self,
        key: &'static str,
        aliases: &[&str],
        read: impl Fn(&str) -> Result<u64, String>,
    ) -> Option<u64> {
        let found =
            self.nearest(key, aliases, |raw| one(raw).and_then(|text| Ok((read(text)?, text.to_owned()))));
        match found {
            Some(((number, text), origin)) => {
                self.show(key, text.trim(), origin);
                Some(number)
            }
            None => {
                self.show(key, "none", Origin::Default);
                None
            }
        }
    }

    /// A number of attempts; the alias says how many there are beside the first.
    pub(super) fn attempts(&mut self, key: &'static str, retries: &str, default: u32) -> u32 {
        let own = format!("DOWNBEAT_{}", key.to_ascii_uppercase());
        let nearer = self.sources.flags.contains_key(key) || self.environment.contains_key(own.as_str());
        match self.environment.get(retries).copied().filter(|_| !nearer) {
            Some(text) => {
                self.known.insert(key);
                let read =
                    parse::count(text, &(0..=999)).map(|number| u32::try_from(number + 1).unwrap_or(default));
                let found = self.take(read, Origin::Environment(retries.to_owned()));
                let (number, origin) = found.unwrap_or((default, Origin::Default));
                self.show(key, number, origin);
                number
            }
            None => self.count(key, &[], 1..=1_000, default),
        }
    }

    pub(super) fn span(
        &mut self,
        key: &'static str,
        aliases: &[&str],
        bounds: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let found = self.nearest(key, aliases, |raw| parse::span(one(raw)?, &bounds));
        let (span, origin) = found.unwrap_or((default, Origin::Default));
        let text = HumanDuration::new(span).map_or_else(|| "0s".to_owned(), |span| span.to_string());
        self.show(key, text, origin);
        span
    }

    pub(super) fn bytes(&mut self, key: &'static str, bounds: RangeInclusive<u64>, default: u64) -> u64 {
        let found = self.nearest(key, &[], |raw| parse::bytes(one(raw)?, &bounds));
        let (size, origin) = found.unwrap_or((default, Origin::Default));
        let mebibyte = 1 << 20;
        let text = if size % mebibyte == 0 { format!("{}MiB", size / mebibyte) } else { size.to_string() };
        self.show(key, text, origin);
        size
    }

    pub(super) fn switch(&mut self, key: &'static str) -> bool {
        let found = self.nearest(key, &[], |raw| parse::switch(one(raw)?));
        let (on, origin) = found.unwrap_or((false, Origin::Default));
        self.show(key, on, origin);
        on
    }

    pub(super) fn list(&mut self, key: &'static str) -> Vec<String> {
        self.divided(key, ',')
    }

    /// A list, whose entries `mark` divides where they are one text.
    pub(super) fn divided(&mut self, key: &'static str, mark: char) -> Vec<String> {
        let found = self.nearest(key, &[], |raw| {
            let parts = match raw {
                Raw::One(text) => text.split(mark).map(str::to_owned).collect(),
                Raw::Many(texts) => texts.clone(),
            };
            let parts = parts.into_iter().map(|part: String| part.trim().to_owned());
            Ok(parts.filter(|part| !part.is_empty()).collect::<Vec<_>>())
        });
        let (parts, origin) = found.unwrap_or((Vec::new(), Origin::Default));
        self.show(key, parts.join(&mark.to_string()), origin);
        parts
    }

    /// One of `choices`; `default` when nobody says anything.
    pub(super) fn choice<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        default: T,
        choices: &[(&'static str, T)],
    ) -> T {
        let name = choices.iter().find(|(_, value)| *value == default).map_or("", |(name, _)| *name);
        self.one_of(key, name, choices).unwrap_or(default)
    }

    /// One of `choices`, if somebody chose; the first is shown when nobody did.
    pub(super) fn chosen<T: Copy>(&mut self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let first = choices.first().map_or("", |(name, _)| *name);
        self.one_of(key, first, choices)
    }

    /// One of `choices`, if somebody chose; `unsaid` is shown when nobody did.
    fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        unsaid: &str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let found = self.nearest(key, &[], |raw| {
            let text = one(raw)?.trim().to_ascii_lowercase();
            choices.iter().find(|(name, _)| *name == text).copied().ok_or_else(|| {
                let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
                let near = nearest(&text, choices.iter().map(|(name, _)| *name));
                let near = near.map(|name| format!("; is it `{name}`?")).unwrap_or_default();
                let names = match names.split_last() {
                    Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
                    _ => names.join(""),
                };
                format!("must be {names}, and is `{text}`{near}")
            })
        });
        match found {
            Some(((name, value), origin)) => {
                self.show(key, name, origin);
                Some(value)
            }
            None => {
                self.show(key, unsaid, Origin::Default);
                None
            }
        }
    }

    /// A fault of the value that `key` has, wherever that came from.
    pub(super) fn fault(&mut self, key: &'static str, reason: &str) {
        let origin = self.shown.iter().find(|shown| shown.key == key).map(|shown| shown.origin.clone());
        match (origin, self.entries.get(key)) {
            (Some(Origin::File(..)), Some(entry)) => {
                self.in_file.push(Diagnostic::error(entry.span.clone(), format!("`{key}` {reason}")));
            }
            (Some(Origin::Default) | None, _) => self.elsewhere.push(format!("`{key}` {reason}")),
            (Some(origin), _) => self.elsewhere.push(format!("{origin} {reason}")),
        }
    }

    /// What was read and what is probably not intended, or all faults.
    pub(super) fn finish(mut self) -> Result<(Vec<Shown>, Vec<String>), CliError> {
        for (key, entry) in &self.entries {
            if self.known.contains(key.as_str()) {
                continue;
            }
            let mut fault = Diagnostic::error(entry.key.clone(), format!("`{key}` is not a setting"));
            fault = match nearest(key, self.known.iter().copied()) {
                Some(near) => fault.help(format!("is it `{near}`?")),
                None => fault.help("`downbeat doctor` lists the settings"),
            };
            self.in_file.push(fault);
        }
        self.in_file.sort_by_key(|fault| fault.span.start);
        let warnings = self.misspelled();
        if self.in_file.is_empty() && self.elsewhere.is_empty() {
            return Ok((self.shown, warnings));
        }
        let reports = match self.file {
            Some(source) if !self.in_file.is_empty() => vec![Report { source, diagnostics: self.in_file }],
            _ => Vec::new(),
        };
        let mut error = match self.elsewhere.as_slice() {
            [] => CliError::faults(reports),
            [fault] => CliError { reports, ..CliError::new(Kind::BadInput, fault) },
            faults => {
                let message = format!("{} settings are wrong:\n  {}", faults.len(), faults.join("\n  "));
                CliError { reports, ..CliError::new(Kind::BadInput, message) }
            }
        };
        // A variable that nobody reads may be the reason for all of it.
        error.hints.extend(warnings);
        if !self.elsewhere.is_empty() {
            error = error.hint("`downbeat doctor` shows every setting and where it comes from");
        }
        Err(error)
    }

    /// Variables that look like settings and are none.
    fn misspelled(&self) -> Vec<String> {
        let names: Vec<String> =
            self.known.iter().map(|key| format!("DOWNBEAT_{}", key.to_ascii_uppercase())).collect();
        let strange = self.environment.keys().filter(|name| {
            name.starts_with("DOWNBEAT_")
                && !OTHERS.contains(name)
                && !names.iter().any(|known| known == *name)
        });
        strange
            .map(|name| match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("${name} is not a setting; is it ${near}?"),
                None => format!("${name} is not a setting"),
            })
            .collect()
    }
}

fn one(raw: &Raw) -> Result<&str, String> {
    match raw {
        Raw::One(text) => Ok(text),
        Raw::Many(_) => Err("must be one value, not a list".to_owned()),
    }
}
