use std::sync::Arc;

use downbeat_core::cache::{Cache, Directive};
use downbeat_core::ids::{AgentName, GroupName};
use downbeat_core::memory::MemoryCache;

use super::*;
use crate::entropy;

fn cache() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(crate::clock::SystemClock)))
}

fn given(order: impl Into<Order>, request: &str) -> Given {
    Given { order: order.into(), by: "cli:ada@engine".to_owned(), request: RequestId(request.to_owned()) }
}

fn agent() -> AgentName {
    AgentName::new("clerk").unwrap()
}

fn restart() -> FleetOrder {
    FleetOrder::Restart { whom: Whom::Agent(agent()) }
}

async fn events(cache: &dyn Cache) -> Vec<Event> {
    let read = Read { stream: events_stream(), after: 0, limit: EVENTS };
    let events = cache.read(&read).await.unwrap().entries;
    events.into_iter().filter(|event| event.what.kind.as_str().starts_with("directive.")).collect()
}

#[tokio::test]
async fn every_order_leaves_one_event_that_says_who_gave_it_and_what_it_did() {
    let cache = cache();
    let orders: Vec<Order> = vec![
        Directive::Pause { agent: agent() }.into(),
        FleetOrder::Reparse { of: Scope::Agent(agent()) }.into(),
        FleetOrder::Stop { whom: Whom::Group(GroupName::new("writers").unwrap()) }.into(),
    ];
    for (number, order) in orders.iter().enumerate() {
        let request = format!("order-{number}");
        for _ in 0..3 {
            assert!(give(cache.as_ref(), &given(order.clone(), &request)).await.unwrap().applied);
        }
    }

    let events = events(cache.as_ref()).await;
    assert_eq!(events.iter().filter_map(told).collect::<Vec<_>>(), orders);
    for event in &events {
        assert_eq!(event.what.data["by"], "cli:ada@engine");
        assert!(!event.what.reason.as_deref().unwrap_or_default().is_empty());
    }
    assert_eq!(events[1].what.agent, Some(agent()));
}

#[tokio::test]
async fn a_refused_order_is_told_as_refused() {
    let cache = cache();
    let task = downbeat_core::ids::TaskId::new("nowhere").unwrap();
    let steered = give(cache.as_ref(), &given(Directive::DropTask { task }, "r")).await.unwrap();
    assert!(!steered.applied);
    let events = events(cache.as_ref()).await;
    assert_eq!(events[0].what.kind, EventKind::DIRECTIVE_REFUSED);
    assert_eq!(told(&events[0]), None);
}

#[tokio::test]
async fn levels_hold_and_edges_are_counted() {
    let cache = cache();
    let group = GroupName::new("writers").unwrap();
    let whom = || Whom::Group(group.clone());
    for order in [
        FleetOrder::Stop { whom: whom() },
        FleetOrder::PauseGroup { group: group.clone() },
        FleetOrder::LimitGroup { group: group.clone(), running: Some(2) },
    ] {
        give(cache.as_ref(), &given(order, &entropy::request_id().0)).await.unwrap();
    }
    let subject = Subject::Group(group.clone());
    let standing = Standing::load(cache.as_ref(), &subject).await.unwrap();
    assert_eq!((standing.run, standing.paused, standing.limit), (Some(false), true, Some(2)));
    assert_eq!(standing.by, "cli:ada@engine");

    for order in [
        FleetOrder::Restart { whom: whom() },
        FleetOrder::Restart { whom: whom() },
        FleetOrder::ResumeGroup { group: group.clone() },
        FleetOrder::LimitGroup { group: group.clone(), running: None },
    ] {
        give(cache.as_ref(), &given(order, &entropy::request_id().0)).await.unwrap();
    }
    give(cache.as_ref(), &given(FleetOrder::Reparse { of: Scope::Project(Whole) }, "p")).await.unwrap();
    let all = Standing::all(cache.as_ref()).await.unwrap();
    assert_eq!(all.iter().map(|(subject, _)| subject).collect::<Vec<_>>(), [&subject, &Subject::Project]);
    let standing = &all[0].1;
    assert_eq!((standing.run, standing.paused, standing.limit), (Some(true), false, None));
    assert_eq!((standing.restarts, all[1].1.reparses), (2, 1));
}

/// What a crash leaves between keeping an order and telling of it.
#[tokio::test]
async fn an_order_that_was_kept_and_not_told_is_told_by_its_repeat() {
    let cache = cache();
    let subject = restart().subject();
    let mut standing = Standing::default();
    let answer = standing.obey(&restart());
    standing.keep(Kept { request: RequestId("r".to_owned()), answer, after: 0, told: false });
    store(cache.as_ref(), &subject, 0, &standing).await.unwrap();
    assert_eq!(events(cache.as_ref()).await.len(), 0);

    for _ in 0..2 {
        give(cache.as_ref(), &given(restart(), "r")).await.unwrap();
    }
    assert_eq!(events(cache.as_ref()).await.len(), 1);
    assert_eq!(Standing::load(cache.as_ref(), &subject).await.unwrap().restarts, 1);
}

/// What a crash leaves between telling of an order and writing down that it was told.
#[tokio::test]
async fn an_order_that_was_told_is_not_told_again() {
    let cache = cache();
    give(cache.as_ref(), &given(restart(), "r")).await.unwrap();
    let subject = restart().subject();
    let (mut standing, version) = read(cache.as_ref(), &subject).await.unwrap();
    standing.kept.back_mut().unwrap().told = false;
    store(cache.as_ref(), &subject, version, &standing).await.unwrap();
    // Others wrote meanwhile, so that the stream does not know the request as its newest any more.
    give(cache.as_ref(), &given(Directive::Pause { agent: agent() }, "other")).await.unwrap();

    give(cache.as_ref(), &given(restart(), "r")).await.unwrap();
    assert_eq!(events(cache.as_ref()).await.len(), 2);
}

#[tokio::test]
async fn orders_that_come_at_once_are_all_kept() {
    let cache = cache();
    let orders = (0..32).map(|number| {
        let cache = Arc::clone(&cache);
        tokio::spawn(async move { give(cache.as_ref(), &given(restart(), &format!("r-{number}"))).await })
    });
    for order in orders.collect::<Vec<_>>() {
        order.await.unwrap().unwrap();
    }
    assert_eq!(Standing::load(cache.as_ref(), &restart().subject()).await.unwrap().restarts, 32);
    assert_eq!(events(cache.as_ref()).await.len(), 32);
}
