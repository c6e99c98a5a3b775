//! Where in the cache it is written what models cost, and which are left alone.

use downbeat_core::cache::{Append, Cache, CacheError, StoreIf, events_stream};
use downbeat_core::event::EventDraft;
use downbeat_core::goal::Usage;
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_core::text::clip;
use downbeat_core::time::Timestamp;

use super::{Entry, Parked};
use crate::entropy;

/// The sum of a goal is at `spent-goal/<goal>`, that of a task at `spent-task/<task>`.
const GOALS: &str = "spent-goal/";
const TASKS: &str = "spent-task/";
/// Who is left alone: `parked/<model>`, and `parked/` for all.
const PARKED: &str = "parked/";

/// How often a write is tried that others come before.
const TRIES: u32 = 50;
/// How many goals a ceiling counts, and how many parked models are read.
const MANY: usize = 10_000;

/// What the calls for a goal cost, its planning and choices included.
///
/// # Errors
///
/// What the cache says.
pub async fn of_goal(cache: &dyn Cache, goal: &GoalId) -> Result<Usage, CacheError> {
    read(cache, &format!("{GOALS}{goal}")).await
}

/// What the calls for a task cost, in all its attempts.
///
/// # Errors
///
/// What the cache says.
pub async fn of_task(cache: &dyn Cache, task: &TaskId) -> Result<Usage, CacheError> {
    read(cache, &format!("{TASKS}{task}")).await
}

/// Who is not asked at `now`.
///
/// # Errors
///
/// What the cache says.
pub async fn parked(cache: &dyn Cache, now: Timestamp) -> Result<Vec<Parked>, CacheError> {
    let records = cache.list(PARKED, MANY).await?;
    let all = records.iter().filter_map(|record| serde_json::from_str::<Parked>(&record.value).ok());
    Ok(all.filter(|parked| parked.until.is_none_or(|until| until > now)).collect())
}

/// What all goals cost.
pub(super) async fn total(cache: &dyn Cache) -> Result<Usage, CacheError> {
    let records = cache.list(GOALS, MANY).await?;
    Ok(records.iter().map(|record| parse(&record.value)).fold(Usage::default(), Usage::plus))
}

/// Adds to the sums that a call belongs to.
pub(super) async fn add(cache: &dyn Cache, entry: &Entry, usage: Usage) -> Result<(), CacheError> {
    if let Some(task) = &entry.task {
        add_to(cache, &format!("{TASKS}{task}"), usage).await?;
    }
    add_to(cache, &format!("{GOALS}{}", entry.goal), usage).await
}

async fn add_to(cache: &dyn Cache, key: &str, usage: Usage) -> Result<(), CacheError> {
    for _ in 0..TRIES {
        let record = cache.load(key).await?;
        let sum = record.as_ref().map(|record| parse(&record.value)).unwrap_or_default().plus(usage);
        let value = serde_json::to_string(&sum).unwrap_or_default();
        let expected = record.map_or(0, |record| record.version);
        match cache.store_if(&StoreIf { key: key.to_owned(), expected, value: Some(value) }).await {
            Err(CacheError::Conflict { .. }) => {}
            answer => return answer.map(|_| ()),
        }
    }
    Err(CacheError::Invalid { reason: format!("others write `{key}` all the time") })
}

/// Writes that a model is left alone; says whether that is news.
pub(super) async fn park(cache: &dyn Cache, parked: &Parked) -> Result<bool, CacheError> {
    let key = key_of(parked.model.as_deref());
    let value = serde_json::to_string(parked).unwrap_or_default();
    let record = cache.load(&key).await?;
    if record.as_ref().is_some_and(|record| record.value == value) {
        return Ok(false);
    }
    let expected = record.map_or(0, |record| record.version);
    match cache.store_if(&StoreIf { key, expected, value: Some(value) }).await {
        // Somebody else said it in the same moment.
        Err(CacheError::Conflict { .. }) => Ok(false),
        answer => answer.map(|_| true),
    }
}

/// Forgets that a model is left alone.
pub(super) async fn unpark(cache: &dyn Cache, model: Option<&str>) -> Result<(), CacheError> {
    let key = key_of(model);
    let Some(record) = cache.load(&key).await? else { return Ok(()) };
    match cache.store_if(&StoreIf { key, expected: record.version, value: None }).await {
        Err(CacheError::Conflict { .. }) => Ok(()),
        answer => answer.map(|_| ()),
    }
}

fn key_of(model: Option<&str>) -> String {
    let name: String = model.unwrap_or_default().chars().filter(char::is_ascii_graphic).collect();
    format!("{PARKED}{}", clip(&name, 200))
}

pub(super) async fn tell(cache: &dyn Cache, event: EventDraft) -> Result<(), CacheError> {
    let append = Append { stream: events_stream(), entries: vec![event], request: entropy::request_id() };
    cache.append(&append).await.map(|_| ())
}

async fn read(cache: &dyn Cache, key: &str) -> Result<Usage, CacheError> {
    Ok(cache.load(key).await?.map(|record| parse(&record.value)).unwrap_or_default())
}

fn parse(value: &str) -> Usage {
    serde_json::from_str(value).unwrap_or_default()
}
