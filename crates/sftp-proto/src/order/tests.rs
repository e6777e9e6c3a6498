//! The scheduler against the rule it claims, spelled out naively.

use proptest::prelude::*;

use super::*;

/// The rule of the module's header, word for word.
fn conflict(a: Class, b: Class) -> bool {
    use Class::*;
    let handle = |class| match class {
        HandleRead { key } => Some((key, false)),
        HandleStep { key } | HandleWrite { key } => Some((key, true)),
        Free | PathRead | Barrier => None,
    };
    if a == Free || b == Free {
        return false;
    }
    if a == Barrier || b == Barrier {
        return true;
    }
    if let (Some((a, a_alone)), Some((b, b_alone))) = (handle(a), handle(b)) {
        return a == b && (a_alone || b_alone);
    }
    matches!((a, b), (PathRead, HandleWrite { .. }) | (HandleWrite { .. }, PathRead))
}

fn class() -> impl Strategy<Value = Class> {
    let key = 0u64..4;
    prop_oneof![
        1 => Just(Class::Free),
        6 => key.clone().prop_map(|key| Class::HandleRead { key }),
        2 => key.clone().prop_map(|key| Class::HandleStep { key }),
        6 => key.prop_map(|key| Class::HandleWrite { key }),
        3 => Just(Class::PathRead),
        2 => Just(Class::Barrier),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Admit(Class),
    Finish(prop::sample::Index),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn exactly_the_requests_without_an_earlier_conflict_are_ready(
        steps in prop::collection::vec(
            prop_oneof![
                3 => class().prop_map(Step::Admit),
                2 => any::<prop::sample::Index>().prop_map(Step::Finish),
            ],
            1..150,
        ),
    ) {
        let mut order = Order::new(32);
        // Unfinished requests in order of arrival, with their slots.
        let mut model: Vec<(usize, Class)> = Vec::new();
        let mut running: Vec<Ticket> = Vec::new();
        for step in steps {
            match step {
                Step::Admit(class) => match order.admit(class) {
                    Some(slot) => model.push((slot, class)),
                    None => prop_assert_eq!(model.len(), 32),
                },
                Step::Finish(index) if !running.is_empty() => {
                    let ticket = running.swap_remove(index.index(running.len()));
                    model.retain(|(slot, _)| *slot != ticket.slot());
                    order.done(ticket);
                }
                Step::Finish(_) => {}
            }
            running.extend(std::iter::from_fn(|| order.next_ready()));

            let mut started: Vec<usize> = running.iter().map(Ticket::slot).collect();
            let mut may_run: Vec<usize> = (0..model.len())
                .filter(|&i| model[..i].iter().all(|(_, earlier)| !conflict(*earlier, model[i].1)))
                .map(|i| model[i].0)
                .collect();
            started.sort_unstable();
            may_run.sort_unstable();
            prop_assert_eq!(started, may_run);
            prop_assert_eq!(order.len(), model.len());
        }
    }
}

#[test]
fn a_pipelined_write_close_rename_stat_runs_in_this_order() {
    let mut order = Order::new(8);
    let classes = [
        Class::HandleWrite { key: 1 },
        Class::HandleWrite { key: 1 },
        Class::Barrier,
        Class::PathRead,
    ];
    let slots: Vec<usize> = classes.iter().map(|class| order.admit(*class).unwrap()).collect();

    for slot in slots {
        let ticket = order.next_ready().unwrap();
        assert_eq!(ticket.slot(), slot);
        assert_eq!(order.next_ready(), None);
        order.done(ticket);
    }
    assert!(order.is_empty());
}

#[test]
fn reads_held_up_by_a_write_start_in_order_of_arrival() {
    let mut order = Order::new(100);
    order.admit(Class::HandleWrite { key: 1 }).unwrap();
    let reads: Vec<usize> =
        (0..50).map(|_| order.admit(Class::HandleRead { key: 1 }).unwrap()).collect();
    let write = order.next_ready().unwrap();
    assert_eq!(order.next_ready(), None);

    order.done(write);

    let started: Vec<usize> =
        std::iter::from_fn(|| order.next_ready()).map(|ticket| ticket.slot()).collect();
    assert_eq!(started, reads);
}

#[test]
fn a_full_order_admits_again_after_one_is_done() {
    let mut order = Order::new(2);
    order.admit(Class::PathRead).unwrap();
    order.admit(Class::PathRead).unwrap();
    assert_eq!(order.admit(Class::Free), None);

    let ticket = order.next_ready().unwrap();
    order.done(ticket);

    assert!(order.admit(Class::Free).is_some());
}

#[test]
fn tables_do_not_grow_with_the_number_of_requests_served() {
    let mut order = Order::new(4);
    for key in 0..10_000 {
        for class in [Class::HandleWrite { key }, Class::HandleRead { key }, Class::Barrier] {
            order.admit(class).unwrap();
        }
        while let Some(ticket) = order.next_ready() {
            order.done(ticket);
        }
    }
    assert!(order.is_empty());
    assert!(order.slots.len() <= 4 && order.groups.len() <= 12 && order.locks.len() <= 6);
    assert!(order.handles.is_empty());
}

#[test]
fn creating_opens_are_barriers_and_reading_ones_are_not() {
    use crate::Attrs;
    use crate::messages::Open;
    let class = |flags| {
        let open = Open { path: b"f", flags, attrs: Attrs::default() };
        Class::of(&open.into(), |_| None)
    };

    assert_eq!(class(OpenFlags::READ), Class::PathRead);
    assert_eq!(class(OpenFlags::WRITE | OpenFlags::CREATE), Class::Barrier);
    assert_eq!(class(OpenFlags::READ | OpenFlags::TRUNCATE), Class::Barrier);
}
