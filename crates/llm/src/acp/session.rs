//! One question to an agent, as a session of the protocol.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema::{
    ClientCapabilities, ContentBlock, FileSystemCapabilities, Implementation, InitializeRequest,
    NewSessionRequest, PromptRequest, ReadTextFileRequest, ReadTextFileResponse, RequestPermissionRequest,
    RequestPermissionResponse, SessionNotification, SessionUpdate, StopReason, TextContent,
    WriteTextFileRequest, WriteTextFileResponse,
};
use agent_client_protocol::{Agent, ByteStreams, Client, Error, on_receive_notification, on_receive_request};
use downbeat_core::goal::Usage;
use downbeat_core::llm::{LlmError, Observer};
use downbeat_core::text::clip;
use downbeat_process::Running;
use tokio::io::AsyncReadExt;
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use super::files::Files;
use super::policy;
use crate::tool::{Place, Tool, bounded, fault, permission_name, prompt};
use crate::transport::{Answer, Ask, MAX_ANSWER, Permissions};

/// More output than this is not read from an agent, in bytes.
const MAX_OUTPUT: u64 = 256 * 1024 * 1024;

/// How much of an agent's complaints is kept, in bytes.
const COMPLAINTS: usize = 8 * 1024;

/// Why there is no answer, and whether a model was asked.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: LlmError,
    pub(super) asked: bool,
}

impl From<LlmError> for Failed {
    fn from(error: LlmError) -> Self {
        Self { error, asked: false }
    }
}

/// What a session is about, for those who answer the agent.
struct Session {
    permissions: Option<Permissions>,
    workspace: PathBuf,
    files: Files,
    observer: Arc<dyn Observer>,
    redactor: crate::tool::Redactor,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// What the agent said since its last use of a tool.
    text: String,
    denied: Vec<String>,
    asked: bool,
    agent: String,
}

impl Session {
    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self, line: &str) {
        let plain = downbeat_process::plain_text(self.redactor.clean(line).as_bytes());
        self.observer.progress(&clip(&plain.split_whitespace().collect::<Vec<_>>().join(" "), 200));
    }

    fn update(&self, update: SessionUpdate) {
        match update {
            SessionUpdate::AgentMessageChunk(chunk) => {
                if let ContentBlock::Text(text) = chunk.content {
                    let text = self.redactor.clean(&text.text);
                    self.observer.output(text.as_bytes());
                    let mut heard = self.heard();
                    if heard.text.len() < 2 * MAX_ANSWER {
                        heard.text.push_str(&text);
                    }
                }
            }
            SessionUpdate::ToolCall(call) => {
                let said = std::mem::take(&mut self.heard().text);
                for line in [said.as_str(), &call.title] {
                    if !line.trim().is_empty() {
                        self.progress(line);
                    }
                }
                self.observer.output(format!("\n[{}]\n", self.redactor.clean(&call.title)).as_bytes());
            }
            _ => {}
        }
    }

    fn decide(&self, request: &RequestPermissionRequest) -> RequestPermissionResponse {
        let call = &request.tool_call.fields;
        let allowed = policy::allows(self.permissions, call, &self.workspace);
        let title = call.title.as_deref().unwrap_or("a tool without a name");
        if !allowed {
            self.progress(&format!("was not allowed: {title}"));
            self.heard().denied.push(clip(&self.redactor.clean(title), 100));
        }
        RequestPermissionResponse::new(policy::outcome(request, allowed))
    }
}

/// Asks the agent, and answers what it asks meanwhile.
pub(super) async fn talk(
    tool: &Tool,
    ask: &Ask,
    place: &Place,
    running: &mut Running,
) -> Result<Answer, Failed> {
    let unusable = |what: &str| LlmError::Unusable { reason: format!("`{}`: {what}", tool.name) };
    let streams = (running.input.take(), running.output.take(), running.errors.take());
    let (Some(input), Some(output), Some(errors)) = streams else {
        return Err(unusable("its streams are missing").into());
    };
    let files = Files::of(&place.directory)
        .map_err(|error| unusable(&format!("{} cannot be opened: {error}", place.directory.display())))?;
    let session = Arc::new(Session {
        permissions: place.permissions,
        workspace: place.directory.clone(),
        files,
        observer: Arc::clone(&ask.observer),
        redactor: tool.redactor.clone(),
        heard: Mutex::default(),
    });
    let complaints = Mutex::new(String::new());
    let streams = ByteStreams::new(input.compat_write(), output.take(MAX_OUTPUT).compat());
    let stopped = tokio::select! {
        stopped = converse(Arc::clone(&session), streams, prompt(ask)) => stopped,
        () = complain(errors, &session, &complaints) => Err(Error::internal_error()),
    };
    let heard = std::mem::take(&mut *session.heard());
    let failed = |error| Failed { error, asked: heard.asked };
    let stopped = stopped.map_err(|error| {
        let complaints = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        failed(fault_of(tool, &error, &complaints))
    })?;
    match stopped {
        StopReason::EndTurn if heard.text.trim().is_empty() && !heard.denied.is_empty() => {
            let reason = format!(
                "it asked for permission for {}, which `{}` does not give",
                heard.denied.join(", "),
                permission_name(place.permissions)
            );
            Err(failed(LlmError::Refused { reason }))
        }
        StopReason::EndTurn => {
            // The protocol's stable part reports neither tokens nor cost.
            let usage = Usage { calls: 1, ..Usage::default() };
            Ok(Answer { structured: None, text: bounded(heard.text), usage, model: heard.agent })
        }
        StopReason::Refusal => Err(failed(LlmError::Refused { reason: tool.quote(&heard.text) })),
        other => {
            let reason = format!("`{}` stopped before the end: {other:?}", tool.name);
            Err(failed(LlmError::Unavailable { reason, retry_after: None }))
        }
    }
}

async fn converse(
    session: Arc<Session>,
    streams: impl agent_client_protocol::ConnectTo<Client> + 'static,
    question: String,
) -> Result<StopReason, Error> {
    let [updates, permissions, reads, writes] = std::array::from_fn(|_| Arc::clone(&session));
    let refuse =
        |error: std::io::Error| Error::invalid_params().data(serde_json::Value::from(error.to_string()));
    Client
        .v1()
        .on_receive_notification(
            async move |notification: SessionNotification, _| {
                updates.update(notification.update);
                Ok(())
            },
            on_receive_notification!(),
        )
        .on_receive_request(
            async move |request: RequestPermissionRequest, responder, _| {
                responder.respond(permissions.decide(&request))
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: ReadTextFileRequest, responder, _| match reads.files.read(
                &request.path,
                request.line,
                request.limit,
            ) {
                Ok(text) => responder.respond(ReadTextFileResponse::new(text)),
                Err(error) => responder.respond_with_error(refuse(error)),
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: WriteTextFileRequest, responder, _| {
                if !matches!(writes.permissions, Some(Permissions::Edit | Permissions::Full)) {
                    writes.heard().denied.push(clip(&format!("writing {}", request.path.display()), 100));
                    return responder.respond_with_error(refuse(std::io::ErrorKind::PermissionDenied.into()));
                }
                writes.progress(&format!("writes {}", request.path.display()));
                match writes.files.write(&request.path, &request.content) {
                    Ok(()) => responder.respond(WriteTextFileResponse::new()),
                    Err(error) => responder.respond_with_error(refuse(error)),
                }
            },
            on_receive_request!(),
        )
        .connect_with(streams, async move |agent: ConnectionTo<Agent>| {
            // Terminals are not offered: commands are the agent's own affair, and asked for.
            // Nor is reading, though it is served: Gemini CLI cannot make a new file where it is offered.
            let files = FileSystemCapabilities::new().read_text_file(false).write_text_file(true);
            let hello = InitializeRequest::new(ProtocolVersion::V1)
                .client_capabilities(ClientCapabilities::new().fs(files).terminal(false))
                .client_info(Implementation::new("downbeat", env!("CARGO_PKG_VERSION")));
            let hello = agent.send_request(hello).block_task().await?;
            let name = hello
                .agent_info
                .map_or_else(|| "acp".to_owned(), |info| format!("{} {}", info.name, info.version));
            session.heard().agent = clip(&name, 100);
            let opened =
                agent.send_request(NewSessionRequest::new(session.workspace.clone())).block_task().await?;
            session.heard().asked = true;
            let content = vec![ContentBlock::Text(TextContent::new(question))];
            let ended =
                agent.send_request(PromptRequest::new(opened.session_id, content)).block_task().await?;
            Ok(ended.stop_reason)
        })
        .await
}

/// Keeps the end of what the agent complains of; never ends before the agent closes it and is not
/// heard of for long after.
async fn complain(mut errors: tokio::net::unix::pipe::Receiver, session: &Session, kept: &Mutex<String>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = errors.read(&mut buffer).await {
        let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
        let text = session.redactor.clean(&text);
        session.observer.output(text.as_bytes());
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_str(&downbeat_process::plain_text(text.as_bytes()));
        *kept = downbeat_core::text::clip_start(&kept, COMPLAINTS);
    }
    // An agent may close its complaints and go on.
    std::future::pending::<()>().await;
}

fn fault_of(tool: &Tool, error: &Error, complaints: &str) -> LlmError {
    let data = error.data.as_ref().map(ToString::to_string).unwrap_or_default();
    let said = format!("{} {data}", error.message);
    if i32::from(error.code) == i32::from(Error::auth_required().code) {
        return tool.signed_out(&tool.quote(&said));
    }
    fault::read(tool, None, &said).or_else(|| fault::read(tool, None, complaints)).unwrap_or_else(|| {
        let reason = format!("`{}`: {}; {}", tool.name, tool.quote(&said), tool.quote(complaints));
        LlmError::Unavailable { reason, retry_after: None }
    })
}
