//! Log lines: `2026-03-18 10:15:24 INFO runtime: [research_agent] Acquired lease for task task-001`.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use downbeat_core::instructions::LogLevel;
use downbeat_core::time::{Clock, Timestamp};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use crate::config::LogFormat;
use crate::output::style::{BAD, CARE, FAINT, GOOD, PLAIN, paint};
use crate::output::text::clean;
use crate::output::{Out, time};

/// What is logged, and how.
#[derive(Debug)]
pub(crate) struct Logs {
    /// Where to.
    pub(crate) out: Out,
    /// How lines look.
    pub(crate) format: LogFormat,
    /// The least level, for what no agent says.
    pub(crate) level: LevelFilter,
    /// The least level of an agent that has one of its own.
    pub(crate) agents: HashMap<String, LevelFilter>,
    /// A live view shows what tasks do, so that their own lines would say it twice.
    pub(crate) beside_view: bool,
}

impl Logs {
    /// From now on, until the process ends.
    pub(crate) fn start(self) {
        // A second start would be a mistake of ours, and losing its lines is the lesser evil.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(self));
    }

    fn wants(&self, level: Level, line: &Line) -> bool {
        let own = line.agent.as_ref().and_then(|agent| self.agents.get(agent));
        let told_by_view = self.beside_view && own.is_none() && line.message.starts_with("Task ");
        level <= *own.unwrap_or(&self.level) && !told_by_view
    }

    fn render(&self, at: Timestamp, level: Level, target: &str, line: &Line) -> String {
        match self.format {
            LogFormat::Text => {
                let colour = match level {
                    Level::ERROR => BAD,
                    Level::WARN => CARE,
                    Level::INFO => GOOD,
                    _ => FAINT,
                };
                let agent = line.agent.as_ref().map(|agent| format!("[{agent}] ")).unwrap_or_default();
                let mut text = format!(
                    "{} {} {}: {agent}{}",
                    paint(FAINT, time::moment(at)),
                    paint(colour, level),
                    paint(PLAIN, target),
                    clean(&line.message)
                );
                for (name, value) in &line.rest {
                    let value = value.as_str().map_or_else(|| value.to_string(), clean);
                    // Writing to a string cannot fail.
                    let _ = write!(text, " {name}={value}");
                }
                text.push('\n');
                text
            }
            LogFormat::Json => {
                let mut object = Map::new();
                object.insert("at".to_owned(), at.to_string().into());
                object.insert("level".to_owned(), level.as_str().into());
                object.insert("target".to_owned(), target.into());
                if let Some(agent) = &line.agent {
                    object.insert("agent".to_owned(), agent.as_str().into());
                }
                object.insert("message".to_owned(), line.message.as_str().into());
                object.extend(line.rest.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
                format!("{}\n", Value::Object(object))
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Logs {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.agents.values().copied().chain([self.level]).max()
    }

    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        // What libraries say is for their authors, unless something is wrong.
        is_ours(metadata.target()) || *metadata.level() <= Level::WARN
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = *event.metadata().level();
        if self.wants(level, &line) {
            let now = downbeat_runtime::clock::SystemClock.now();
            self.out.log(&self.render(now, level, short(event.metadata().target()), &line));
        }
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Line {
    message: String,
    agent: Option<String>,
    rest: Vec<(&'static str, Value)>,
}

impl Line {
    fn take(&mut self, field: &Field, value: Value) {
        let text = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match field.name() {
            "message" => self.message = text(),
            "agent" => self.agent = Some(clean(&text())),
            name => self.rest.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::String(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }
}

fn is_ours(target: &str) -> bool {
    matches!(target, "runtime" | "orchestrator" | "server") || target.starts_with("downbeat")
}

/// `runtime` of `downbeat_runtime::agent`.
fn short(target: &str) -> &str {
    let first = target.split("::").next().unwrap_or(target);
    first.strip_prefix("downbeat_").unwrap_or(first)
}

/// A level by its name; `info` for anything else.
pub(crate) fn level(name: &str) -> LevelFilter {
    name.parse().unwrap_or(LevelFilter::INFO)
}

/// The level that an agent declares.
pub(crate) const fn level_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Off => LevelFilter::OFF,
    }
}

#[cfg(test)]
mod tests {
    use anstream::ColorChoice;

    use super::*;

    fn logs(format: LogFormat) -> Logs {
        Logs {
            out: Out::new(false, false, ColorChoice::Never),
            format,
            level: LevelFilter::INFO,
            agents: HashMap::from([
                ("loud".to_owned(), LevelFilter::DEBUG),
                ("still".to_owned(), LevelFilter::ERROR),
            ]),
            beside_view: false,
        }
    }

    fn line(agent: Option<&str>, message: &str) -> Line {
        Line { message: message.to_owned(), agent: agent.map(str::to_owned), rest: vec![("tries", 2.into())] }
    }

    #[test]
    fn a_line_names_when_how_bad_who_and_what() {
        let at = Timestamp::from_millis(1_773_828_924_003);
        let said = line(Some("research_agent"), "Acquired lease for task \u{1b}[31mtask-001");
        let text = logs(LogFormat::Text).render(at, Level::INFO, short("runtime"), &said);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(
            text.ends_with(":24 INFO runtime: [research_agent] Acquired lease for task task-001 tries=2\n"),
            "{text}"
        );
        assert!(text.starts_with("2026-03-1"), "{text}");
        let json =
            logs(LogFormat::Json).render(at, Level::WARN, short("downbeat_llm::open"), &line(None, "x"));
        assert_eq!(
            json,
            "{\"at\":\"2026-03-18T10:15:24.003Z\",\"level\":\"WARN\",\"target\":\"llm\",\"message\":\"x\",\"tries\":2}\n"
        );
    }

    #[test]
    fn an_agent_s_own_level_wins() {
        let logs = logs(LogFormat::Text);
        assert!(logs.wants(Level::INFO, &line(None, "x")));
        assert!(!logs.wants(Level::DEBUG, &line(None, "x")));
        assert!(logs.wants(Level::DEBUG, &line(Some("loud"), "x")));
        assert!(!logs.wants(Level::WARN, &line(Some("still"), "x")));
        assert!(logs.wants(Level::INFO, &line(Some("other"), "x")));
    }
}
