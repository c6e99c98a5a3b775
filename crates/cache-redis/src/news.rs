//! News: one connection of its own on which the server says that a stream grew or work appeared.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use downbeat_core::cache::{CacheError, Topic};
use futures::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::fault::Fault;
use crate::scripts;
use crate::server::{Server, jittered};

/// The waits between two attempts to connect.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Who waits for what. The task behind it ends with it.
#[derive(Debug)]
pub(crate) struct News {
    topics: Arc<Topics>,
    wishes: mpsc::UnboundedSender<Wish>,
    task: JoinHandle<()>,
}

/// The topics that were ever waited for, with the greatest number that is known of each.
#[derive(Debug, Default)]
struct Topics(Mutex<HashMap<Topic, watch::Sender<u64>>>);

/// Somebody wants news of a topic, and wants to know when they come.
#[derive(Debug)]
struct Wish {
    topic: Topic,
    granted: oneshot::Sender<()>,
}

impl Drop for News {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl News {
    /// Begins to listen.
    pub(crate) fn start(server: Arc<Server>) -> Self {
        let topics = Arc::<Topics>::default();
        let (wishes, wished) = mpsc::unbounded_channel();
        let task = tokio::spawn(listen(server, Arc::clone(&topics), wished));
        Self { topics, wishes, task }
    }

    /// The numbers of a topic from now on. When this returns, no later one is missed; when the server
    /// cannot be reached, it does not.
    pub(crate) async fn watch(&self, topic: &Topic) -> watch::Receiver<u64> {
        let (granted, answer) = oneshot::channel();
        let numbers = self.topics.watch(topic);
        if self.wishes.send(Wish { topic: topic.clone(), granted }).is_ok() {
            let _ = answer.await;
        }
        numbers
    }
}

impl Topics {
    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, watch::Sender<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, topic: &Topic) -> watch::Receiver<u64> {
        self.lock().entry(topic.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    fn all(&self) -> Vec<Topic> {
        self.lock().keys().cloned().collect()
    }

    fn tell(&self, topic: &Topic, number: u64) {
        if let Some(sender) = self.lock().get(topic) {
            sender.send_if_modified(|known| {
                let news = number > *known;
                *known = number.max(*known);
                news
            });
        }
    }
}

/// The channel on which a topic's numbers are said.
fn channel(server: &Server, topic: &Topic) -> String {
    match topic {
        Topic::Ready => server.keys.work_news(),
        Topic::Stream(stream) => server.keys.stream_news(stream),
    }
}

/// The number of a topic as it is now. The server says the next one on the topic's channel.
pub(crate) async fn number(server: &Server, topic: &Topic) -> Result<u64, CacheError> {
    let stream = match topic {
        Topic::Ready => "",
        Topic::Stream(stream) => stream.as_str(),
    };
    server.run(&scripts::WATCH, &[stream]).await?.number()
}

/// Listens until it is aborted. What was said while there was no connection is asked for.
async fn listen(server: Arc<Server>, topics: Arc<Topics>, mut wished: mpsc::UnboundedReceiver<Wish>) {
    let mut wait = FIRST_WAIT;
    loop {
        // A new connection for verbs may lead to another server.
        let mut renewed = server.renewed();
        match subscribe(&server, &topics).await {
            Ok((sink, stream, channels)) => {
                wait = FIRST_WAIT;
                for topic in topics.all() {
                    if let Ok(number) = number(&server, &topic).await {
                        topics.tell(&topic, number);
                    }
                }
                tokio::select! {
                    () = hear(&server, &topics, &mut wished, sink, stream, channels) => {}
                    _ = renewed.changed() => {}
                }
                tracing::debug!(place = server.place(), "the connection for news ended");
            }
            Err(error) => {
                tracing::debug!(place = server.place(), %error, "no connection for news");
                tokio::time::sleep(jittered(wait)).await;
                wait = wait.saturating_mul(2).min(LONGEST_WAIT);
            }
        }
    }
}

type Channels = HashMap<String, Topic>;

async fn subscribe(server: &Server, topics: &Topics) -> Result<(PubSubSink, PubSubStream, Channels), Fault> {
    let (mut sink, stream) = server.news().await?.split();
    let mut channels = Channels::new();
    for topic in topics.all() {
        let channel = channel(server, &topic);
        sink.subscribe(&channel).await.map_err(|error| Fault::new(server.place(), &error))?;
        channels.insert(channel, topic);
    }
    Ok((sink, stream, channels))
}

/// Hands on what is said, until the connection ends.
async fn hear(
    server: &Server,
    topics: &Topics,
    wished: &mut mpsc::UnboundedReceiver<Wish>,
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    mut channels: Channels,
) {
    loop {
        tokio::select! {
            message = stream.next() => {
                let Some(message) = message else {
                    return;
                };
                let number = std::str::from_utf8(message.get_payload_bytes()).ok().and_then(|text| text.parse().ok());
                if let (Some(topic), Some(number)) = (channels.get(message.get_channel_name()), number) {
                    topics.tell(topic, number);
                }
            }
            wish = wished.recv() => {
                let Some(Wish { topic, granted }) = wish else {
                    return std::future::pending().await;
                };
                let channel = channel(server, &topic);
                if let Entry::Vacant(entry) = channels.entry(channel) {
                    if sink.subscribe(entry.key()).await.is_err() {
                        return;
                    }
                    entry.insert(topic);
                }
                let _ = granted.send(());
            }
        }
    }
}
