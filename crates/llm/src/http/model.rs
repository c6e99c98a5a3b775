//! A question over HTTP, and its answer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;
use reqwest::Client;
use serde_json::Value;

use super::address::Address;
use super::client::{self, Lost, Sent};
use super::conversation::{Entry, Request, ToolSpec};
use super::dialect::{Ending, Reading};
use super::fault::{self, Whom};
use super::key::Key;
use super::price::{self, PRICES, Price};
use super::vendor::Vendor;
use crate::opening::Opening;
use crate::transport::{Answer, Ask, AskError, MAX_ANSWER, Probe, Speaker, Transport};

/// How much of a bad answer an error shows, in bytes.
const EXCERPT: usize = 400;

/// A model behind a vendor's HTTP API.
#[derive(Debug)]
pub(crate) struct HttpModel {
    name: String,
    vendor: &'static Vendor,
    address: Address,
    model: String,
    key: Option<Key>,
    price: Option<Price>,
    client: Client,
    /// The server said that it cannot enforce a schema: it is told in words from then on.
    told_in_words: AtomicBool,
    /// Guards what commands start; see [`Toolbox`](super::tools::Toolbox).
    pub(super) guard: Option<PathBuf>,
    /// What commands may read beside the system and the workspace.
    pub(super) readable: Vec<PathBuf>,
}

/// The variable with the directories that a model's commands may read, separated by `:`.
const READABLE: &str = "DOWNBEAT_READABLE";

impl HttpModel {
    /// The model that `opening` means. Its key may be missing: [`probe`](Transport::probe) says so,
    /// and no question is sent without it.
    ///
    /// # Errors
    ///
    /// [`LlmError::Unusable`]: the address, the key or the prices cannot be used.
    pub(crate) fn open(opening: &Opening<'_>, vendor: &'static Vendor) -> Result<Self, LlmError> {
        let (address, model) = Address::of(opening, vendor)?;
        let key = Key::find(vendor, opening.environment)?;
        let price = match opening.environment.get(PRICES) {
            Some(text) => Price::of(opening.name, text)?,
            None => None,
        };
        let client = client::client(&address)?;
        let name = opening.name.to_owned();
        let told_in_words = AtomicBool::new(false);
        let guard = opening.environment.guard().map(Path::to_owned);
        let readable =
            opening.environment.get_os(READABLE).map(|paths| std::env::split_paths(paths).collect());
        let readable = readable.unwrap_or_default();
        Ok(Self { name, vendor, address, model, key, price, client, told_in_words, guard, readable })
    }

    /// What has to be set before it can be asked, if anything.
    fn missing(&self) -> Option<String> {
        let variable = self.vendor.key_variables.first()?;
        (self.vendor.needs_key && self.key.is_none()).then(|| {
            format!(
                "there is no key for {}: set {variable}, or {variable}_FILE to a file that holds it; {}",
                self.vendor.label, self.vendor.remedy
            )
        })
    }

    fn whom(&self) -> Whom<'_> {
        Whom { vendor: self.vendor, address: &self.address, model: &self.model, key: self.key.as_ref() }
    }

    /// One turn: sends the conversation, and reads what the model says to it. What it cost is added to
    /// `spent`, whatever comes of it.
    pub(super) async fn turn(&self, turn: Turn<'_>, spent: &Mutex<Usage>) -> Result<Reading, LlmError> {
        let mut request = Request {
            model: &self.model,
            system: turn.system,
            entries: turn.entries,
            answer: turn.answer,
            native: !self.told_in_words.load(Ordering::Relaxed),
            tools: turn.tools,
        };
        let mut sent = self.send(&request).await?;
        if request.native && request.answer.is_some() && fault::is_about_format(&sent) {
            // Nothing was spent: a request that is refused is not worked on.
            self.told_in_words.store(true, Ordering::Relaxed);
            request.native = false;
            sent = self.send(&request).await?;
        }
        if !sent.status.is_success() {
            return Err(fault::of_status(self.whom(), &sent));
        }
        let broken = |what: &str| {
            let excerpt = fault::excerpt(&String::from_utf8_lossy(&sent.body));
            LlmError::Unavailable {
                reason: format!(
                    "{} sent what is no answer ({what}): {}",
                    self.address.shown(),
                    clip(&excerpt, 200)
                ),
                retry_after: None,
            }
        };
        let body: Value = serde_json::from_slice(&sent.body).map_err(|error| broken(&error.to_string()))?;
        let reading = self.vendor.dialect.read(&request, &body).map_err(|lack| broken(&lack))?;
        let usage = price::usage(reading.tokens, self.price);
        let mut sum = spent.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = sum.plus(usage);
        drop(sum);
        judge(reading)
    }

    async fn send(&self, request: &Request<'_>) -> Result<Sent, LlmError> {
        let dialect = self.vendor.dialect;
        let url = self.address.join(&dialect.path(&self.model));
        let headers = dialect.headers(self.key.as_ref());
        let mut sent = client::post(&self.client, url, headers, &dialect.body(request)).await.map_err(
            |lost| match lost {
                Lost::Connection(why) => LlmError::Unavailable {
                    reason: self.scrub(format!(
                        "{} cannot be reached, or broke off: {why}{}",
                        self.address.shown(),
                        self.hint()
                    )),
                    retry_after: None,
                },
                Lost::TooLong(limit) => LlmError::Malformed {
                    reason: format!("it is longer than {limit} bytes"),
                    excerpt: String::new(),
                },
            },
        )?;
        if let Some(key) = &self.key {
            sent.body = match String::from_utf8(sent.body) {
                Ok(text) => key.scrub(text).into_bytes(),
                Err(binary) => {
                    key.scrub(String::from_utf8_lossy(binary.as_bytes()).into_owned()).into_bytes()
                }
            };
        }
        Ok(sent)
    }

    fn hint(&self) -> String {
        if self.vendor.needs_key || !self.address.is_local {
            String::new()
        } else {
            format!("; {}", self.vendor.remedy)
        }
    }

    pub(super) fn scrub(&self, text: String) -> String {
        match &self.key {
            Some(key) => key.scrub(text),
            None => text,
        }
    }

    async fn answer(&self, ask: &Ask, spent: &Mutex<Usage>) -> Result<Answer, LlmError> {
        if let Some(reason) = self.missing() {
            return Err(LlmError::Unusable { reason });
        }
        let mut entries = vec![Entry::User(ask.prompt.clone())];
        entries.extend(ask.exchange.iter().map(|turn| match turn.speaker {
            Speaker::User => Entry::User(turn.text.clone()),
            Speaker::Model => Entry::Model(turn.text.clone()),
        }));
        let reading = match &ask.work {
            Some(work) => super::work::work(self, ask, work, entries, spent).await?,
            None => {
                let answer = Some((ask.step.as_str(), &*ask.schema));
                let turn = Turn { system: &ask.system, entries: &entries, answer, tools: &[] };
                self.turn(turn, spent).await?
            }
        };
        let model = if reading.model.is_empty() { self.model.clone() } else { clip(&reading.model, 200) };
        Ok(Answer { structured: reading.structured, text: reading.text, usage: Usage::default(), model })
    }
}

/// What one turn brings to a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) system: &'a str,
    pub(super) entries: &'a [Entry],
    pub(super) answer: Option<(&'a str, &'a Value)>,
    pub(super) tools: &'a [ToolSpec],
}

/// Is it an answer at all?
fn judge(reading: Reading) -> Result<Reading, LlmError> {
    let malformed = |reason: String| LlmError::Malformed {
        reason,
        excerpt: fault::excerpt(&clip(&reading.text, EXCERPT)),
    };
    match &reading.ending {
        Ending::Refused(why) => {
            let why = fault::excerpt(why);
            let reason = if why.is_empty() { "it gave no reason".to_owned() } else { why };
            return Err(LlmError::Refused { reason });
        }
        Ending::Length => {
            return Err(malformed(format!(
                "it was cut off at the limit of {} tokens",
                reading.tokens.output
            )));
        }
        Ending::Well => {}
    }
    if reading.text.len() > MAX_ANSWER {
        return Err(malformed(format!("it is longer than {MAX_ANSWER} bytes")));
    }
    if reading.structured.is_none() && reading.calls.is_empty() && reading.text.trim().is_empty() {
        return Err(malformed("it is empty".to_owned()));
    }
    Ok(reading)
}

#[async_trait]
impl Transport for HttpModel {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn probe(&self) -> Probe {
        let key = match &self.key {
            Some(key) => format!("key from {}", key.origin()),
            None if self.vendor.needs_key => "no key".to_owned(),
            None => "no key needed".to_owned(),
        };
        let cost = if self.price.is_some() { "" } else { ", no price set: cost counts as 0" };
        Probe {
            usable: self.missing().is_none(),
            found: format!("{}, {key}{cost}", self.address.shown()),
            remedies: self.missing().into_iter().collect(),
        }
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        // Outside of what a timeout drops: what was spent until then counts.
        let spent = Mutex::new(Usage::default());
        let answer = tokio::time::timeout(ask.timeout, self.answer(ask, &spent)).await;
        let usage = spent.into_inner().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(Ok(answer)) => Ok(Answer { usage, ..answer }),
            Ok(Err(error)) => Err(AskError { error, usage }),
            Err(_) => Err(AskError { error: LlmError::TimedOut { limit: ask.timeout }, usage }),
        }
    }
}
