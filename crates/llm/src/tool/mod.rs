//! What the command-line agents have in common: they are found, given an environment, run below a
//! guard, heard line by line, and their faults are put into our words.
//!
//! In reading order: [`Tool`] is an installed program; `session` runs it once; `environment` says what
//! it is given, `redact` what never leaves it; `fault` reads what it complains of.

mod environment;
pub(crate) mod fault;
mod named;
mod redact;
mod session;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;
use downbeat_process::{End, Input, Program, Report};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::opening::Opening;
use crate::transport::{Ask, MAX_ANSWER, Permissions, Probe, Speaker};

pub(crate) use redact::Redactor;
pub(crate) use session::{Heard, converse};

/// What is known of a tool before it is looked for.
#[derive(Debug)]
pub(crate) struct Manual {
    /// What it is called, as a program; unless [`Tool::called`] says otherwise.
    pub(crate) program: &'static str,
    /// How to get it.
    pub(crate) install: &'static str,
    /// How to sign in.
    pub(crate) sign_in: &'static str,
    /// What it is given of the environment, beside the standard variables: names, and beginnings of
    /// names that end with `*`.
    pub(crate) variables: &'static [&'static str],
}

/// A command-line agent, as it is opened.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) model: Option<String>,
    pub(crate) manual: &'static Manual,
    program: String,
    /// Behind all other arguments.
    arguments: Vec<String>,
    env: Vec<(OsString, OsString)>,
    guard: Option<PathBuf>,
    pub(crate) redactor: Redactor,
}

impl Tool {
    /// For a tool whose argument is a model.
    ///
    /// # Errors
    ///
    /// [`LlmError::Unusable`]: that is no name of a model.
    pub(crate) fn open(opening: &Opening<'_>, manual: &'static Manual) -> Result<Self, LlmError> {
        let model = opening.argument.map(str::to_owned);
        // It becomes an argument of a program.
        if let Some(model) = &model
            && (model.starts_with('-') || model.chars().any(|c| c.is_control() || c.is_whitespace()))
        {
            let reason = format!("`{}` names no model", clip(opening.name, 80));
            return Err(LlmError::Unusable { reason });
        }
        let mut tool = Self::with(opening, manual, model);
        if let Some((program, arguments)) = named::command(opening.environment, manual.program)? {
            tool.program = program;
            tool.arguments = arguments;
        }
        Ok(tool)
    }

    pub(crate) fn with(opening: &Opening<'_>, manual: &'static Manual, model: Option<String>) -> Self {
        let env = environment::given(opening.environment, manual.variables);
        let redactor = Redactor::new(opening.environment);
        let guard = opening.environment.guard().map(Path::to_owned);
        Self {
            name: opening.name.to_owned(),
            model,
            manual,
            program: manual.program.to_owned(),
            arguments: Vec::new(),
            env,
            guard,
            redactor,
        }
    }

    /// The same for another program.
    pub(crate) fn called(self, program: String) -> Self {
        Self { program, ..self }
    }

    /// A further variable, for this tool.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        if !self.env.iter().any(|(known, _)| known == name) {
            self.env.push((name.into(), value.into()));
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    /// Where its program is.
    ///
    /// # Errors
    ///
    /// [`LlmError::Unusable`]: it is not installed, and how to change that.
    pub(crate) fn find(&self) -> Result<PathBuf, LlmError> {
        environment::find(&self.program, self.get("PATH")).ok_or_else(|| LlmError::Unusable {
            reason: format!(
                "`{}` is not installed: there is no program `{}` on the PATH; to install it: {}",
                self.name, self.program, self.manual.install
            ),
        })
    }

    /// What the user wants behind all other arguments of a question.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// A call of it; `program` from [`find`](Self::find).
    pub(crate) fn program(&self, program: &Path, directory: &Path) -> Program {
        let mut call = Program::new(program, directory);
        call.standard_env = false;
        call.env.clone_from(&self.env);
        call.guard.clone_from(&self.guard);
        call
    }

    /// That it is not signed in.
    pub(crate) fn signed_out(&self, said: &str) -> LlmError {
        let reason = format!("`{}` is not signed in: {said}; {}", self.name, self.manual.sign_in);
        LlmError::Unusable { reason }
    }

    /// Text of the tool for people: short, plain, without secrets.
    pub(crate) fn quote(&self, text: &str) -> String {
        let plain = downbeat_process::plain_text(self.redactor.clean(text).as_bytes());
        clip(&plain.split_whitespace().collect::<Vec<_>>().join(" "), 400)
    }

    /// Runs it with `args` to see what it prints; for probes: within half a
    /// minute, in an empty directory.
    async fn look(&self, program: &Path, args: &[&str]) -> Option<(Report, String)> {
        let scratch = TempDir::new().ok()?;
        let mut call = self.program(program, scratch.path()).args(args);
        call.timeout = Duration::from_secs(30);
        call.merge_outputs = true;
        call.input = Input::Nothing;
        let mut text = Vec::new();
        let mut sink = |_: downbeat_process::Stream, bytes: &[u8]| {
            if text.len() < 64 * 1024 {
                text.extend_from_slice(bytes);
            }
            std::ops::ControlFlow::Continue(())
        };
        let report = downbeat_process::run(&call, &CancellationToken::new(), &mut sink).await.ok()?;
        let text = self.redactor.clean(&downbeat_process::plain_text(&text)).into_owned();
        Some((report, text))
    }

    /// Whether it is there, which version, and whether it is signed in, as `check` finds out: none when
    /// that cannot be known.
    pub(crate) async fn probe(
        &self,
        check: &[&str],
        signed_in: impl Fn(&Report, &str) -> Option<bool>,
    ) -> Probe {
        let program = match self.find() {
            Ok(program) => program,
            Err(_) => {
                return Probe {
                    usable: false,
                    found: format!("no program `{}` on the PATH", self.program),
                    remedies: vec![self.manual.install.to_owned()],
                };
            }
        };
        let version = match self.look(&program, &["--version"]).await {
            Some((report, text)) if report.end == End::Exited(0) => {
                clip(text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no version"), 80)
            }
            // A busy machine is no broken tool.
            Some((Report { end: End::TimedOut(_), .. }, _)) | None => "no version".to_owned(),
            Some((report, text)) => {
                let failure = report.failure().unwrap_or_default();
                return Probe {
                    usable: false,
                    found: format!("{}, which {failure}: {}", program.display(), self.quote(&text)),
                    remedies: vec![format!("install it anew: {}", self.manual.install)],
                };
            }
        };
        let found = format!("{version}, {}", program.display());
        let known = if check.is_empty() {
            signed_in(&Report { end: End::Exited(0), tail: String::new(), written: 0, confined: None }, "")
        } else {
            self.look(&program, check).await.and_then(|(report, text)| signed_in(&report, &text))
        };
        match known {
            Some(false) => Probe {
                usable: false,
                found: format!("{found}; not signed in"),
                remedies: vec![self.manual.sign_in.to_owned()],
            },
            Some(true) => Probe { usable: true, found: format!("{found}; signed in"), remedies: Vec::new() },
            None => Probe { usable: true, found, remedies: Vec::new() },
        }
    }
}

/// The question as one text: what many share first, then what is asked, then what was said since.
pub(crate) fn prompt(ask: &Ask) -> String {
    let mut text = String::with_capacity(ask.system.len() + ask.prompt.len() + 64);
    text.push_str(&ask.system);
    text.push_str("\n\n");
    text.push_str(&ask.prompt);
    for turn in &ask.exchange {
        text.push_str(match turn.speaker {
            Speaker::Model => "\n\nYour answer to this was:\n\n",
            Speaker::User => "\n\n",
        });
        text.push_str(&turn.text);
    }
    text
}

/// Where a question is asked: in the workspace, or in an empty directory that goes with it.
#[derive(Debug)]
pub(crate) struct Place {
    /// Files of ours that the tool reads; goes away with this.
    pub(crate) scratch: TempDir,
    pub(crate) directory: PathBuf,
    pub(crate) permissions: Option<Permissions>,
}

impl Place {
    pub(crate) fn of(ask: &Ask) -> Result<Self, LlmError> {
        let cannot = |error: std::io::Error| LlmError::Unavailable {
            reason: format!("an empty directory to work in cannot be made: {error}"),
            retry_after: None,
        };
        let scratch = tempfile::Builder::new().prefix("downbeat-").tempdir().map_err(cannot)?;
        let directory = match &ask.work {
            Some(work) => work.workspace.clone(),
            None => {
                let empty = scratch.path().join("empty");
                std::fs::create_dir(&empty).map_err(cannot)?;
                empty
            }
        };
        Ok(Self { scratch, directory, permissions: ask.work.as_ref().map(|work| work.permissions) })
    }

    /// Writes a file of ours.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, LlmError> {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, text).map_err(|error| LlmError::Unavailable {
            reason: format!("{} cannot be written: {error}", path.display()),
            retry_after: None,
        })?;
        Ok(path)
    }
}

/// A permission as users write it.
pub(crate) const fn permission_name(permissions: Option<Permissions>) -> &'static str {
    match permissions {
        None => "none",
        Some(Permissions::Plan) => "plan",
        Some(Permissions::Edit) => "edit",
        Some(Permissions::Full) => "full",
    }
}

/// A text of at most [`MAX_ANSWER`] bytes, cut in the middle if it was longer.
pub(crate) fn bounded(text: String) -> String {
    if text.len() <= MAX_ANSWER {
        return text;
    }
    let half = MAX_ANSWER / 2 - 64;
    let end = downbeat_core::text::clip_start(&text, half);
    format!("{}{end}", clip(&text, half))
}

/// A string in a value, by pointer; empty without one.
pub(crate) fn text_at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A whole number in a value, by pointer; 0 without one.
pub(crate) fn number_at(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}
