//! `downbeat doctor`: everything that a run needs, and what is wrong with it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use downbeat_core::time::Timestamp;
use downbeat_runtime::load;
use serde_json::{Value, json};

use crate::args::Global;
use crate::commands::providers;
use crate::config::cache::redacted;
use crate::context::{Context, Flags};
use crate::error::{CliError, Kind};
use crate::output::Out;
use crate::output::style::{self, BAD, CARE, FAINT, GOOD, PLAIN, STRONG, paint};
use crate::output::table::{Cell, Table};
use crate::output::text::{bytes, clean, counted};
use crate::output::time;
use crate::store::Lies;
use crate::{exit, models, store};

/// A clock before this is wrong: 2025-01-01.
const EARLIEST: Timestamp = Timestamp::from_millis(1_735_689_600_000);

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// Worth knowing.
    Note,
    Bad,
}

/// One thing that was looked at.
struct Check {
    name: &'static str,
    health: Health,
    detail: String,
    hint: Option<String>,
}

impl Check {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, health: Health::Good, detail: detail.into(), hint: None }
    }

    fn note(name: &'static str, detail: impl Into<String>) -> Self {
        Self { health: Health::Note, ..Self::good(name, detail) }
    }

    fn bad(name: &'static str, detail: impl Into<String>) -> Self {
        Self { health: Health::Bad, ..Self::good(name, detail) }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn failed(name: &'static str, error: &CliError) -> Self {
        Self { hint: error.hints.first().cloned(), ..Self::bad(name, error.message.clone()) }
    }
}

/// Looks at everything, and says what is wrong.
pub(crate) async fn doctor(global: &Global, out: &Out) -> Result<u8, CliError> {
    let mut checks = vec![Check::good("version", env!("CARGO_PKG_VERSION")), shell(), clock()];
    let context = Context::new(global, None, Flags::new());
    let asking = context.as_ref().map(|context| context.config.asking()).unwrap_or_default();
    checks.extend(providers::look(asking).await.into_iter().map(|(name, probe)| provider(name, &probe)));
    checks.push(match providers::confinement() {
        (true, detail) => Check::good("confinement", detail),
        (false, detail) => Check::note("confinement", detail),
    });
    let mut reports = Vec::new();
    let context = match context {
        Ok(context) => Some(context),
        Err(error) => {
            checks.push(Check::failed("settings", &error));
            reports.extend(error.reports);
            None
        }
    };
    if let Some(context) = &context {
        let (check, found) = instructions(context);
        checks.push(check);
        reports.extend(found);
        checks.extend(store_checks(context).await);
        checks.push(writable(context));
    }
    let healthy = checks.iter().all(|check| check.health != Health::Bad);
    let code = if healthy { exit::COMPLETE } else { exit::FAILED };
    if out.is_json() {
        out.value(&to_json(&checks, context.as_ref(), healthy))?;
        return Ok(code);
    }
    let out = context.as_ref().map_or(out, |context| &context.out);
    if !reports.is_empty() {
        out.reports(&reports);
    }
    print(out, &checks, context.as_ref())?;
    Ok(code)
}

fn shell() -> Check {
    match which("sh") {
        Some(path) => Check::good("shell", path.display().to_string()),
        None => Check::bad("shell", "there is no `sh` on PATH").hint("commands of tasks need one"),
    }
}

fn clock() -> Check {
    let now = downbeat_core::time::Clock::now(&downbeat_runtime::clock::SystemClock);
    if now < EARLIEST {
        return Check::bad("clock", format!("it is {}, says this machine", time::moment(now)))
            .hint("waits and leases end by this clock: set it");
    }
    Check::good("clock", time::moment(now))
}

fn provider(name: &'static str, probe: &downbeat_llm::transport::Probe) -> Check {
    let found = clean(&probe.found);
    if probe.usable {
        return Check::good(name, found);
    }
    // Nobody needs all of them.
    let check = Check::note(name, found);
    if probe.remedies.is_empty() { check } else { check.hint(probe.remedies.join("; ")) }
}

fn instructions(context: &Context) -> (Check, Vec<downbeat_core::diagnostic::Report>) {
    let path = &context.place.instructions;
    let name = "instructions";
    if !path.exists() {
        let check = Check::bad(name, format!("no such file: {}", path.display()));
        return (check.hint("`downbeat init` writes an example"), Vec::new());
    }
    match load::load(path) {
        Ok(project) => {
            let what = format!(
                "{}: {}, {}",
                path.display(),
                counted(project.agents.len(), "agent"),
                counted(project.goals.len(), "goal")
            );
            let unmanned = project.unmanned();
            let model = models::of(&project, context.config.chosen()).err();
            let check = match (unmanned.first(), model) {
                (_, Some(error)) => Check::failed(name, &error),
                (Some(line), None) => Check::note(name, format!("{what}; {line}")),
                (None, None) => Check::good(name, what),
            };
            (check, project.warnings)
        }
        Err(error) => {
            let error = CliError::faults(error.reports);
            (Check::bad(name, error.message), error.reports)
        }
    }
}

async fn store_checks(context: &Context) -> Vec<Check> {
    let name = "store";
    let (place, size) = match &context.store {
        Lies::Here(path) if !path.exists() => {
            return vec![Check::note(name, format!("{}: nothing was run yet", path.display()))];
        }
        Lies::Here(path) => (path.display().to_string(), Some(bytes(size_of(path)))),
        Lies::Shared(redis) => (redacted(&redis.url), None),
        Lies::Remote(remote) => (remote.url(), None),
    };
    // A server tells more of itself than whoever serves its state.
    let joined = match &context.store {
        Lies::Here(_) => context.join().await,
        Lies::Shared(_) | Lies::Remote(_) => Ok(None),
    };
    match joined {
        Ok(Some((cache, about))) => {
            let said = match cache.goals().await {
                Ok(goals) => counted(goals.len(), "goal"),
                Err(error) => return vec![Check::failed(name, &error.into())],
            };
            return vec![Check::good(name, format!("{place}: {said}, {}", about.holder()))];
        }
        Ok(None) => {}
        Err(error) => return vec![Check::failed(name, &error)],
    }
    let health = match store::examine(&context.how("downbeat doctor")).await {
        Ok(health) => health,
        Err(error) if error.kind == Kind::Busy => {
            let size = size.map(|size| format!(" ({size})")).unwrap_or_default();
            return vec![Check::note(name, format!("{}{size}", error.message))];
        }
        Err(error) => return vec![Check::failed(name, &error)],
    };
    if let Some(first) = health.faults.first() {
        let faults = counted(health.faults.len(), "contradiction");
        let check = Check::bad(name, format!("{place}: {faults}, the first: {first}"));
        return vec![
            check.hint("`downbeat run --fresh` starts over and keeps this store beside the new one"),
        ];
    }
    let mut facts = vec![counted(health.goals, "goal")];
    facts.extend(size.map(|size| format!("{size}, sound")));
    facts.extend(health.openings.map(|openings| format!("opened {openings} times")));
    facts.extend(health.stands_on);
    let mut checks = vec![Check::good(name, format!("{place}: {}", facts.join(", ")))];
    checks.extend(health.risks.into_iter().map(|risk| Check::note("risk", risk)));
    checks
}

fn writable(context: &Context) -> Check {
    let own = context.place.own();
    let directory = if own.is_dir() { own } else { context.place.root.clone() };
    let name = "disk";
    let readonly =
        nix::unistd::access(&directory, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK);
    match readonly {
        Ok(()) => Check::good(name, format!("{} is writable", directory.display())),
        Err(error) => Check::bad(name, format!("{} is not writable: {}", directory.display(), error.desc())),
    }
}

/// All bytes below a directory.
fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.fold(0, |sum, entry| {
        let size = match entry.metadata() {
            Ok(file) if file.is_dir() => size_of(&entry.path()),
            Ok(file) => file.len(),
            Err(_) => 0,
        };
        size.saturating_add(sum)
    })
}

/// The program called `name`, as a shell would find it.
fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| {
        file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

fn print(out: &Out, checks: &[Check], context: Option<&Context>) -> Result<(), CliError> {
    let mut table = Table::new(&[]).shrink(&[2]);
    for check in checks {
        let (mark, colour) = match check.health {
            Health::Good => ("✓", GOOD),
            Health::Note => ("·", FAINT),
            Health::Bad => ("✗", BAD),
        };
        table.row(vec![
            Cell::new(colour, mark),
            Cell::new(STRONG, check.name),
            Cell::new(if check.health == Health::Bad { BAD } else { PLAIN }, clean(&check.detail)),
        ]);
        if let Some(hint) = check.hint.as_ref().map(|hint| clean(hint)) {
            table.row(vec![Cell::plain(""), Cell::plain(""), Cell::new(FAINT, hint)]);
        }
    }
    out.text(&table.render(0, out.width()))?;
    let Some(context) = context else { return Ok(()) };
    out.line("")?;
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]).shrink(&[1]);
    for shown in &context.config.shown {
        let set = shown.origin != crate::config::Origin::Default;
        table.row(vec![
            Cell::plain(shown.key),
            Cell::new(if set { CARE } else { style::PLAIN }, clean(&shown.value)),
            Cell::new(if set { CARE } else { FAINT }, clean(&shown.origin.to_string())),
        ]);
    }
    out.text(&table.render(0, out.width()))?;
    if checks.iter().any(|check| check.health == Health::Bad) {
        out.line("")?;
        out.line(paint(BAD, "Something is wrong: see the lines with ✗."))?;
    }
    Ok(())
}

fn to_json(checks: &[Check], context: Option<&Context>, healthy: bool) -> Value {
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| {
            let health = match check.health {
                Health::Good => "good",
                Health::Note => "note",
                Health::Bad => "bad",
            };
            json!({ "name": check.name, "health": health, "detail": check.detail, "hint": check.hint })
        })
        .collect();
    let settings: serde_json::Map<String, Value> = context
        .map(|context| context.config.shown.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|shown| {
            (shown.key.to_owned(), json!({ "value": shown.value, "origin": shown.origin.to_string() }))
        })
        .collect();
    json!({ "healthy": healthy, "checks": checks, "settings": settings })
}
