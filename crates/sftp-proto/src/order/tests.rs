//! The scheduler against the rule it claims, spelled out naively.

use proptest::prelude::*;

use super::*;

/// The rule of the module's header, word for word.
fn conflict(a: Class, b: Class) -> bool {
    use Class::*;
    if a == Free || b == Free {
        return false;
    }
    if a == Barrier || b == Barrier {
        return true;
    }
    // The handles that a request uses, and whether it needs each alone.
    let handles = |class| match class {
        HandleRead { key } => vec![(key, false)],
        HandleStep { key } | HandleWrite { key } | Close { key, .. } => vec![(key, true)],
        Copy { from, to } => vec![(from, false), (to, true)],
        Free | Make { .. } | Rename { .. } | PathRead | Barrier => vec![],
    };
    // The paths whose files it makes, closes or renames.
    let paths = |class| match class {
        Make { path } | Close { path, .. } => vec![path],
        Rename { from, to } => vec![from, to],
        Free
        | HandleRead { .. }
        | HandleStep { .. }
        | HandleWrite { .. }
        | Copy { .. }
        | PathRead
        | Barrier => vec![],
    };
    let share_a_handle = handles(a).iter().any(|(key, alone)| {
        handles(b).iter().any(|(other, other_alone)| key == other && (*alone || *other_alone))
    });
    let share_a_path = paths(a).iter().any(|path| paths(b).contains(path));
    let changes_a_file = |class| {
        matches!(
            class,
            HandleWrite { .. } | Copy { .. } | Make { .. } | Close { .. } | Rename { .. }
        )
    };
    let one_looks_by_path =
        a == PathRead && changes_a_file(b) || b == PathRead && changes_a_file(a);
    share_a_handle || share_a_path || one_looks_by_path
}

fn class() -> impl Strategy<Value = Class> {
    let key = 0u64..4;
    prop_oneof![
        1 => Just(Class::Free),
        6 => key.clone().prop_map(|key| Class::HandleRead { key }),
        2 => key.clone().prop_map(|key| Class::HandleStep { key }),
        6 => key.clone().prop_map(|key| Class::HandleWrite { key }),
        2 => (key.clone(), 1u64..4).prop_map(|(from, more)| Class::Copy { from, to: (from + more) % 4 }),
        4 => key.clone().prop_map(|path| Class::Make { path }),
        4 => (key.clone(), key.clone()).prop_map(|(key, path)| Class::Close { key, path }),
        3 => (key, 1u64..4).prop_map(|(from, more)| Class::Rename { from, to: (from + more) % 4 }),
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
    #![proptest_config(ProptestConfig::with_cases(1000))]

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
        let copy = Class::Copy { from: key, to: key + 1 };
        for class in [Class::HandleWrite { key }, copy, Class::Make { path: key }, Class::Barrier] {
            order.admit(class).unwrap();
        }
        while let Some(ticket) = order.next_ready() {
            order.done(ticket);
        }
    }
    assert!(order.is_empty());
    assert!(order.slots.len() <= 4 && order.groups.len() <= 16 && order.locks.len() <= 10);
    assert!(order.keyed.is_empty());
}

/// Starts and ends whatever is ready until nothing is; `stays` never ends. Returns what started.
fn run_beside(order: &mut Order, stays: usize) -> Vec<usize> {
    let mut started = Vec::new();
    while let Some(ticket) = order.next_ready() {
        started.push(ticket.slot());
        if ticket.slot() != stays {
            order.done(ticket);
        }
    }
    started
}

#[test]
fn while_a_copy_runs_other_handles_read_and_write_and_its_own_wait() {
    let mut order = Order::new(20);
    let copy = order.admit(Class::Copy { from: 1, to: 2 }).unwrap();
    let goes_on = [
        Class::HandleRead { key: 1 },
        Class::HandleWrite { key: 3 },
        Class::HandleRead { key: 4 },
        Class::Make { path: 1 },
    ];
    let waits = [
        Class::HandleWrite { key: 1 },
        Class::HandleRead { key: 2 },
        Class::PathRead,
        Class::Barrier,
    ];
    let goes_on: Vec<usize> = goes_on.iter().map(|class| order.admit(*class).unwrap()).collect();
    for class in waits {
        order.admit(class).unwrap();
    }

    let started = run_beside(&mut order, copy);

    assert_eq!(started[0], copy);
    assert_eq!(started[1..], goes_on);
}

#[test]
fn opens_that_make_files_overlap_with_each_other_and_with_writes_but_not_at_one_path() {
    let mut order = Order::new(20);
    let first = order.admit(Class::Make { path: 1 }).unwrap();
    let write = order.admit(Class::HandleWrite { key: 1 }).unwrap();
    let second = order.admit(Class::Make { path: 2 }).unwrap();
    order.admit(Class::Make { path: 1 }).unwrap();

    assert_eq!(run_beside(&mut order, first), [first, write, second]);
}

#[test]
fn an_open_that_makes_a_file_is_a_barrier_only_where_its_path_is_open() {
    use crate::Attrs;
    use crate::messages::Open;
    let class = |flags, path| {
        let open = Open { path: b"f", flags, attrs: Attrs::default() };
        Class::of(&open.into(), |_| None, |_| path)
    };
    let (unused, open) = (PathUse::Unused(7), PathUse::Open);

    assert_eq!(class(OpenFlags::READ, open), Class::PathRead);
    assert_eq!(class(OpenFlags::WRITE | OpenFlags::CREATE, unused), Class::Make { path: 7 });
    assert_eq!(class(OpenFlags::WRITE | OpenFlags::CREATE, open), Class::Barrier);
    assert_eq!(class(OpenFlags::READ | OpenFlags::TRUNCATE, unused), Class::Make { path: 7 });
}

#[test]
fn a_copy_from_a_handle_to_itself_does_not_wait_for_itself() {
    use crate::extension::CopyData;
    let copy =
        CopyData { read_handle: b"h", read_offset: 0, len: 0, write_handle: b"h", write_offset: 0 };
    let request = Request::Extended(copy.into());
    let find = |_: &[u8]| Some(HandleUse { key: 5, writes: true, path: Some(6) });

    let class = Class::of(&request, find, |_| PathUse::Open);

    assert_eq!(class, Class::HandleWrite { key: 5 });
}

#[test]
fn a_rename_is_a_barrier_unless_a_file_gets_a_name_that_is_free() {
    use crate::extension::PosixRename;
    use crate::messages::{Close, Rename};
    use PathUse::{File, Open, Unused};
    let of = |request: Request<'_>, from, to| {
        Class::of(&request, |_| None, |path| if path == b"a" { from } else { to })
    };
    for (from, to, expected) in [
        (File(1), Unused(2), Class::Rename { from: 1, to: 2 }),
        (File(1), File(2), Class::Rename { from: 1, to: 2 }),
        (File(1), File(1), Class::Barrier),
        (File(1), Open, Class::Barrier),
        (Unused(1), Unused(2), Class::Barrier),
        (Open, Unused(2), Class::Barrier),
    ] {
        let rename = Rename { old_path: b"a", new_path: b"b" };
        let posix = PosixRename { old_path: b"a", new_path: b"b" };
        assert_eq!(of(rename.into(), from, to), expected, "{from:?} {to:?}");
        assert_eq!(of(Request::Extended(posix.into()), from, to), expected, "{from:?} {to:?}");
    }
    let close = |path| {
        let find = |_: &[u8]| Some(HandleUse { key: 5, writes: true, path });
        Class::of(&Close { handle: b"h" }.into(), find, |_| PathUse::Open)
    };
    assert_eq!(close(Some(6)), Class::Close { key: 5, path: 6 });
    assert_eq!(close(None), Class::HandleWrite { key: 5 });
}

#[test]
fn renames_of_many_files_run_side_by_side_each_behind_its_own_close() {
    let mut order = Order::new(20);
    let close = order.admit(Class::Close { key: 1, path: 1 }).unwrap();
    order.admit(Class::Rename { from: 1, to: 11 }).unwrap();
    let other = order.admit(Class::Rename { from: 2, to: 12 }).unwrap();
    let write = order.admit(Class::HandleWrite { key: 3 }).unwrap();
    order.admit(Class::Rename { from: 3, to: 11 }).unwrap();

    assert_eq!(run_beside(&mut order, close), [close, other, write]);
}
