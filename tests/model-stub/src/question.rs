//! What was asked, read from any vendor's format.

use serde::Deserialize;
use serde_json::Value;

/// Whose format a request is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Responses and Chat Completions.
    Openai,
    /// Gemini.
    Gemini,
    /// Ollama's own.
    Ollama,
}

/// Which format an answer is due in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Anthropic,
    Responses,
    Chat,
    Gemini,
    Ollama,
}

/// A request, whichever vendor's client sent it.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) format: Format,
    /// All text of it, a line for each piece.
    pub(crate) text: String,
    /// Names of the tools that it offers.
    pub(crate) tools: Vec<String>,
    /// The schema that the answer must have.
    pub(crate) schema: Option<Value>,
    /// The tool that an answer by that schema is given with, if it is not given as text.
    pub(crate) answer_tool: Option<String>,
    /// How many results of tools it brings back.
    pub(crate) tool_results: usize,
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) body: Value,
}

/// Tools that clients offer for giving a structured answer.
const ANSWER_TOOLS: [&str; 2] = ["StructuredOutput", "finish"];

impl Question {
    /// Reads the request to `path`; none if nothing is served there.
    pub(crate) fn read(path: &str, body: Value) -> Option<Self> {
        if path.ends_with("/v1/messages") {
            Some(anthropic(body))
        } else if path.ends_with("/responses") {
            Some(openai(body, Format::Responses))
        } else if path.ends_with("/chat/completions") {
            Some(openai(body, Format::Chat))
        } else if path.ends_with("/api/chat") {
            Some(ollama(body))
        } else {
            let (_, call) = path.rsplit_once("/models/")?;
            let (model, verb) = call.split_once(':')?;
            matches!(verb, "generateContent" | "streamGenerateContent")
                .then(|| gemini(body, model, verb == "streamGenerateContent"))
        }
    }

    pub(crate) const fn vendor(&self) -> Vendor {
        match self.format {
            Format::Anthropic => Vendor::Anthropic,
            Format::Responses | Format::Chat => Vendor::Openai,
            Format::Gemini => Vendor::Gemini,
            Format::Ollama => Vendor::Ollama,
        }
    }
}

/// All plain text in a message's content, whichever shape the vendor gave it.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        Value::Object(part) => ["text", "content", "parts"]
            .iter()
            .find_map(|key| part.get(*key).filter(|inner| !is_empty(inner)))
            .map(text_of)
            .unwrap_or_default(),
        _ => String::new(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn items<'a>(body: &'a Value, key: &str) -> &'a [Value] {
    body.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn word(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn given(value: Option<&Value>) -> Option<Value> {
    value.filter(|schema| !schema.is_null()).cloned()
}

fn anthropic(body: Value) -> Question {
    let offered = items(&body, "tools");
    let tools: Vec<String> = offered.iter().filter_map(|tool| word(tool, "name")).collect();
    let forced = body.pointer("/tool_choice/name").and_then(Value::as_str).map(str::to_owned);
    let answer_tool = forced.or_else(|| answer_tool(&tools));
    let schema = offered
        .iter()
        .find(|tool| answer_tool.is_some() && word(tool, "name") == answer_tool)
        .and_then(|tool| given(tool.get("input_schema")))
        .or_else(|| given(body.pointer("/output_format/schema")))
        .or_else(|| given(body.pointer("/output_config/format/schema")));
    let messages = items(&body, "messages");
    let tool_results = messages
        .iter()
        .flat_map(|message| items(message, "content"))
        .filter(|part| part.get("type").and_then(Value::as_str) == Some("tool_result"))
        .count();
    let mut text = vec![body.get("system").map(text_of).unwrap_or_default()];
    text.extend(messages.iter().map(|message| message.get("content").map(text_of).unwrap_or_default()));
    question(Format::Anthropic, &text, tools, schema, answer_tool, tool_results, body)
}

fn openai(body: Value, format: Format) -> Question {
    let offered = items(&body, "tools");
    let name = |tool: &Value| {
        word(tool, "name").or_else(|| word(tool.get("function")?, "name")).or_else(|| word(tool, "type"))
    };
    let tools: Vec<String> = offered.iter().filter_map(name).collect();
    let answer_tool = answer_tool(&tools);
    let wanted = body.get("response_format").or_else(|| body.pointer("/text/format"));
    let schema = offered
        .iter()
        .find(|tool| answer_tool.is_some() && name(tool) == answer_tool)
        .and_then(|tool| given(tool.get("parameters").or_else(|| tool.pointer("/function/parameters"))))
        .or_else(|| given(wanted?.get("schema").or_else(|| wanted?.pointer("/json_schema/schema"))));
    let key = if format == Format::Chat { "messages" } else { "input" };
    let said = items(&body, key);
    let tool_results = said
        .iter()
        .filter(|item| {
            item.get("role").and_then(Value::as_str) == Some("tool")
                || item.get("type").and_then(Value::as_str).is_some_and(|kind| {
                    matches!(
                        kind,
                        "function_call_output" | "local_shell_call_output" | "custom_tool_call_output"
                    )
                })
        })
        .count();
    let mut text = vec![body.get("instructions").map(text_of).unwrap_or_default()];
    text.extend(word(&body, key));
    text.extend(said.iter().map(|item| {
        ["content", "output"]
            .iter()
            .find_map(|key| item.get(*key).filter(|inner| !is_empty(inner)))
            .map(text_of)
            .unwrap_or_default()
    }));
    question(format, &text, tools, schema, answer_tool, tool_results, body)
}

fn gemini(body: Value, model: &str, stream: bool) -> Question {
    let offered: Vec<&Value> =
        items(&body, "tools").iter().flat_map(|tool| items(tool, "functionDeclarations")).collect();
    let tools: Vec<String> = offered.iter().filter_map(|tool| word(tool, "name")).collect();
    let answer_tool = answer_tool(&tools);
    let schema = offered
        .iter()
        .find(|tool| answer_tool.is_some() && word(tool, "name") == answer_tool)
        .and_then(|tool| given(tool.get("parameters").or_else(|| tool.get("parametersJsonSchema"))))
        .or_else(|| given(body.pointer("/generationConfig/responseSchema")))
        .or_else(|| given(body.pointer("/generationConfig/responseJsonSchema")));
    let contents = items(&body, "contents");
    let tool_results = contents
        .iter()
        .flat_map(|content| items(content, "parts"))
        .filter(|part| part.get("functionResponse").is_some())
        .count();
    let mut text = vec![body.get("systemInstruction").map(text_of).unwrap_or_default()];
    text.extend(contents.iter().map(text_of));
    let mut question = question(Format::Gemini, &text, tools, schema, answer_tool, tool_results, body);
    model.clone_into(&mut question.model);
    question.stream = stream;
    question
}

fn ollama(body: Value) -> Question {
    let offered = items(&body, "tools");
    let name = |tool: &Value| word(tool.get("function")?, "name");
    let tools: Vec<String> = offered.iter().filter_map(name).collect();
    let answer_tool = answer_tool(&tools);
    let schema = offered
        .iter()
        .find(|tool| answer_tool.is_some() && name(tool) == answer_tool)
        .and_then(|tool| given(tool.pointer("/function/parameters")))
        .or_else(|| body.get("format").filter(|format| format.is_object()).cloned());
    let messages = items(&body, "messages");
    let tool_results =
        messages.iter().filter(|message| message.get("role").and_then(Value::as_str) == Some("tool")).count();
    let text: Vec<String> =
        messages.iter().map(|message| message.get("content").map(text_of).unwrap_or_default()).collect();
    // Ollama streams unless it is told not to.
    let stream = body.get("stream").and_then(Value::as_bool).unwrap_or(true);
    let mut question = question(Format::Ollama, &text, tools, schema, answer_tool, tool_results, body);
    question.stream = stream;
    question
}

fn answer_tool(tools: &[String]) -> Option<String> {
    ANSWER_TOOLS.iter().find(|tool| tools.iter().any(|offered| offered == *tool)).map(|&tool| tool.to_owned())
}

fn question(
    format: Format,
    text: &[String],
    tools: Vec<String>,
    schema: Option<Value>,
    answer_tool: Option<String>,
    tool_results: usize,
    body: Value,
) -> Question {
    Question {
        format,
        text: text.join("\n"),
        tools,
        schema,
        answer_tool,
        tool_results,
        model: word(&body, "model").unwrap_or_else(|| "stub".to_owned()),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        body,
    }
}
