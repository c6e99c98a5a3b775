//! What holds for any draft and any text.

use proptest::prelude::*;

use super::*;

/// Whether removing tasks that wait for nothing, one after the other, removes all: slow and simple.
fn acyclic(count: usize, edges: &[(usize, usize)]) -> bool {
    let mut left: Vec<usize> = (0..count).collect();
    loop {
        let free = left
            .iter()
            .position(|task| !edges.iter().any(|(source, target)| target == task && left.contains(source)));
        match free {
            Some(at) => left.remove(at),
            None => return left.is_empty(),
        };
    }
}

fn graph() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (1usize..12).prop_flat_map(|count| {
        let edges = prop::collection::vec((0..count, 0..count), 0..20);
        (Just(count), edges)
    })
}

fn numbered(count: usize, edges: &[(usize, usize)]) -> Draft {
    let ids: Vec<String> = (0..count).map(|n| format!("t{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let edges: Vec<_> = edges.iter().map(|(s, t)| (ids[*s], ids[*t])).collect();
    draft(&ids, &edges)
}

proptest! {
    #[test]
    fn a_draft_is_refused_exactly_when_tasks_wait_for_each_other((count, edges) in graph()) {
        let draft = numbered(count, &edges);
        match validate(draft.clone()) {
            Ok(dag) => {
                prop_assert!(acyclic(count, &edges));
                let order = names(dag.topological_order());
                prop_assert_eq!(order.len(), count);
                for edge in &draft.edges {
                    let place = |id: &str| order.iter().position(|other| *other == id);
                    prop_assert!(place(&edge.source) < place(&edge.target));
                }
                prop_assert_eq!(Dag::from_parts(dag.to_parts()).unwrap(), dag);
            }
            Err(error) => {
                prop_assert!(!acyclic(count, &edges));
                let mut seen = std::collections::HashSet::new();
                for fault in &error.faults {
                    let at: usize = fault.pointer["/edges/".len()..].parse().unwrap();
                    match &fault.kind {
                        FaultKind::SelfDependency { id } => {
                            prop_assert_eq!(&draft.edges[at].source, id);
                            prop_assert_eq!(&draft.edges[at].target, id);
                        }
                        FaultKind::Cycle { path } => {
                            prop_assert!(path.len() > 2);
                            prop_assert_eq!(path.first(), path.last());
                            for step in path.windows(2) {
                                let edge = DraftEdge {
                                    source: step[0].clone(),
                                    target: step[1].clone(),
                                };
                                prop_assert!(draft.edges.contains(&edge));
                            }
                            for id in &path[1..] {
                                prop_assert!(seen.insert(id.clone()), "a group has one cycle");
                            }
                            let closing = &path[path.len() - 2..];
                            prop_assert_eq!(&draft.edges[at].source, &closing[0]);
                            prop_assert_eq!(&draft.edges[at].target, &closing[1]);
                        }
                        other => prop_assert!(false, "{other}"),
                    }
                }
            }
        }
    }

    #[test]
    fn no_text_makes_reading_panic(cuts in prop::collection::vec((any::<u16>(), any::<u8>(), 0..4u8), 0..6)) {
        let mut bytes = full().to_string().into_bytes();
        for (at, byte, how) in cuts {
            if bytes.is_empty() {
                break;
            }
            let at = usize::from(at) % bytes.len();
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => { bytes.remove(at); }
                _ => bytes.truncate(at.max(1)),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Err(error) = parse(&text) {
            prop_assert!(!error.faults.is_empty());
        }
    }

    #[test]
    fn no_value_in_place_of_another_makes_reading_panic(
        place in 0usize..64,
        with in prop::sample::select(vec![
            json!(null), json!(true), json!(-1), json!(1.0), json!(1e300), json!(u64::MAX), json!(""),
            json!("a"), json!("../x"), json!("1h"), json!([]), json!([[]]), json!([{}]), json!({}),
            json!({"id": "a"}), json!(["a", "A"]), json!({"source": "a", "target": "a"}),
        ]),
    ) {
        let mut value = full();
        let mut left = place;
        replace(&mut value, &mut left, &with);
        let read = from_value(&value);
        prop_assert_eq!(&parse(&value.to_string()), &read);
        let shape = draft_faults(&value);
        match read {
            // Whatever is accepted also has the published shape.
            Ok(dag) => {
                prop_assert!(shape.is_empty(), "{:?}", shape);
                let again = serde_json::to_value(dag.to_draft()).unwrap();
                prop_assert!(draft_faults(&again).is_empty());
            }
            Err(error) => {
                // Each fault of shape is told, as itself or as something that says more.
                for fault in shape {
                    prop_assert!(
                        error.faults.iter().any(|told| told.pointer == fault.pointer),
                        "{fault:?} is missing in\n{error}"
                    );
                }
                for fault in &error.faults {
                    prop_assert!(fault.to_string().len() < 500);
                }
            }
        }
    }
}

fn draft_faults(value: &Value) -> Vec<crate::schema::SchemaFault> {
    crate::schema::Validator::for_type::<Draft>().faults(value)
}

/// Puts `with` in place of the value that comes after `left` others.
fn replace(value: &mut Value, left: &mut usize, with: &Value) -> bool {
    if *left == 0 {
        value.clone_from(with);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter_mut().any(|inner| replace(inner, left, with)),
        Value::Object(map) => map.values_mut().any(|inner| replace(inner, left, with)),
        _ => false,
    }
}
