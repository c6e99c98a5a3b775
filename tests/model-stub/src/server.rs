//! The server: on loopback, in a thread of its own, for as long as it is held.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::decide::decide;
use crate::fault::{self, Body};
use crate::ledger::{Asked, Ledger, Reported};
use crate::question::Question;
use crate::rule::Rule;
use crate::script::Script;
use crate::wire;

/// A scripted model. It serves until it is dropped.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    ledger: Ledger,
}

/// Why a stub cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StubError {
    /// A rule's `when` is no regular expression.
    #[error("`{pattern}` is no regular expression")]
    Pattern {
        /// The rule's text.
        pattern: String,
        /// What is wrong with it.
        source: regex::Error,
    },
    /// Rules are no rules.
    #[error("the rules cannot be read")]
    Rules(#[from] serde_json::Error),
    /// It cannot listen.
    #[error("it cannot listen on loopback")]
    Listen(#[from] io::Error),
}

impl Stub {
    /// Starts a stub that answers by these rules, on a port that is free.
    ///
    /// # Errors
    ///
    /// A rule's pattern cannot be read, or there is no port.
    pub fn start(rules: Vec<Rule>) -> Result<Self, StubError> {
        Self::start_on(0, rules)
    }

    /// The same with rules in JSON: a list of objects whose fields are those of [`Rule`].
    ///
    /// # Errors
    ///
    /// They are no rules, a pattern cannot be read, or there is no port.
    pub fn from_json(rules: &Value) -> Result<Self, StubError> {
        Self::start(serde_json::from_value(rules.clone())?)
    }

    /// The same on this port of loopback.
    ///
    /// # Errors
    ///
    /// A rule's pattern cannot be read, or the port is taken.
    pub fn start_on(port: u16, rules: Vec<Rule>) -> Result<Self, StubError> {
        let shared = Arc::new(Shared { script: Script::new(rules)?, ledger: Ledger::default() });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("model-stub".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let Ok(listener) = TcpListener::from_std(listener) {
                    tokio::select! {
                        () = accept(listener, served) => {}
                        _ = stopped => {}
                    }
                }
            });
            // Connections that hang are let go with the runtime.
            runtime.shutdown_background();
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, oldest first.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.ledger.asked()
    }

    /// The sum of the usage that was reported so far.
    #[must_use]
    pub fn reported(&self) -> Reported {
        self.shared.ledger.reported()
    }

    /// Serves until the process ends.
    pub fn serve(mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread ends when it is told to, which nobody does, or by a panic, which it printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Why it ended does not matter to the test that is over.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { answer(&shared, request).await }
            });
            // Clients may leave, and the script may cut them off.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// An error closes the connection with no answer.
async fn answer(shared: &Shared, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body: Value = serde_json::from_slice(&body.collect().await.map_err(io::Error::other)?.to_bytes())
        .unwrap_or(Value::Null);
    let mut asked = Asked {
        path,
        vendor: None,
        headers,
        body,
        text: String::new(),
        tools: Vec::new(),
        schema: None,
        tool_results: 0,
        rule: None,
    };
    let question =
        (head.method == Method::POST).then(|| Question::read(&asked.path, asked.body.clone())).flatten();
    let Some(question) = question else {
        let (status, value) = beside(&head.method, &asked.path);
        shared.ledger.ask(asked);
        return fault::plain(status, value.to_string()).map_err(io::Error::other);
    };
    let (number, rule) = match shared.script.pick(&question) {
        Some((number, rule)) => (number, rule.clone()),
        None => (usize::MAX, Rule::default()),
    };
    asked.vendor = Some(question.vendor());
    asked.text.clone_from(&question.text);
    asked.tools.clone_from(&question.tools);
    asked.schema.clone_from(&question.schema);
    asked.tool_results = question.tool_results;
    asked.rule = rule.name.clone().or_else(|| rule.when.clone());
    shared.ledger.ask(asked);

    tokio::time::sleep(Duration::from_millis(rule.delay_ms)).await;
    if rule.drop {
        return Err(io::Error::other("the script drops the connection"));
    }
    if rule.hang && rule.cut.is_none() {
        std::future::pending::<()>().await;
    }
    if let Some(status) = rule.status {
        return fault::status(&rule, status).map_err(io::Error::other);
    }
    let said = decide(&rule, number, &question);
    let mut wire = wire::render(&question, &said, rule.usage);
    let whole = fault::spoil(&rule, &mut wire);
    if whole && rule.cut.is_none() {
        shared.ledger.report(question.vendor(), rule.usage);
    }
    fault::response(&rule, wire).map_err(io::Error::other)
}

/// What is no question to a model: lists of models, counts of tokens, a sign of life.
fn beside(method: &Method, path: &str) -> (StatusCode, Value) {
    if method != Method::POST {
        return (StatusCode::OK, json!({ "object": "list", "data": [], "models": [], "version": "0.0.0" }));
    }
    if path.ends_with("count_tokens") || path.ends_with(":countTokens") {
        return (StatusCode::OK, json!({ "input_tokens": 100, "totalTokens": 100 }));
    }
    let message = format!("the stub does not serve {path}");
    (StatusCode::NOT_FOUND, json!({ "error": { "message": message } }))
}
