//! What goes wrong between the model and the client.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Response, StatusCode};
use serde_json::Value;

use crate::rule::Rule;
use crate::wire::Wire;

pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// Replaces what is sent, if the rule says so; whether it still is what the model said.
pub(crate) fn spoil(rule: &Rule, wire: &mut Wire) -> bool {
    let Some((bytes, content_type)) = rule
        .garbage
        .map(|length| (text_garbage(length), "application/json"))
        .or_else(|| rule.binary.map(|length| (binary_garbage(length), "application/octet-stream")))
    else {
        return true;
    };
    *wire = Wire { content_type, pieces: vec![bytes], sized: true };
    false
}

fn text_garbage(length: usize) -> Vec<u8> {
    b"<< this is no JSON, whatever the header says >> ".iter().copied().cycle().take(length).collect()
}

fn binary_garbage(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(length).collect()
}

/// The response with this body, cut off or held up as the rule says.
pub(crate) fn response(rule: &Rule, wire: Wire) -> hyper::http::Result<Response<Body>> {
    let whole: usize = wire.pieces.iter().map(Vec::len).sum();
    let mut builder = Response::builder().status(StatusCode::OK).header(CONTENT_TYPE, wire.content_type);
    if wire.sized {
        builder = builder.header(CONTENT_LENGTH, whole);
    }
    let Some(cut) = rule.cut.map(|cut| cut.min(whole)) else {
        return builder
            .body(BodyExt::boxed(StreamBody::new(stream::iter(wire.pieces.into_iter().map(data)))));
    };
    let kept: Vec<u8> = wire.pieces.concat().into_iter().take(cut).collect();
    let kept = stream::once(async { data(kept) });
    if rule.hang {
        return builder.body(BodyExt::boxed(StreamBody::new(kept.chain(stream::pending()))));
    }
    let end = stream::once(async {
        // What is kept is sent while this waits; an error at once would take it along.
        tokio::task::yield_now().await;
        Err(io::Error::other("the script cuts the answer off"))
    });
    builder.body(BodyExt::boxed(StreamBody::new(kept.chain(end))))
}

fn data(piece: Vec<u8>) -> io::Result<Frame<Bytes>> {
    Ok(Frame::data(Bytes::from(piece)))
}

/// An answer of HTTP's own.
pub(crate) fn status(rule: &Rule, status: u16) -> hyper::http::Result<Response<Body>> {
    let mut builder = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    for (name, value) in &rule.headers {
        builder = builder.header(name, value);
    }
    let body = match &rule.body {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => r#"{"error":{"type":"scripted","message":"scripted failure"}}"#.to_owned(),
    };
    builder.body(full(body))
}

/// An answer of HTTP's own that no rule asked for.
pub(crate) fn plain(status: StatusCode, body: String) -> hyper::http::Result<Response<Body>> {
    Response::builder().status(status).header(CONTENT_TYPE, "application/json").body(full(body))
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(never).boxed()
}

fn never(error: Infallible) -> io::Error {
    match error {}
}
