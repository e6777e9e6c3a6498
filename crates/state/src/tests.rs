//! The bounds, with small numbers; and the schema's steps.

use rusqlite::Connection;

use crate::schema::{Found, VERSION, migrate};
use crate::{counters, one_time, penalties};

fn tables() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    assert!(matches!(migrate(&mut connection), Ok(Found::Known)));
    connection
}

fn names(connection: &Connection, query: &str) -> Vec<String> {
    let mut rows = connection.prepare(query).unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_new_file_has_the_newest_version_and_a_second_look_changes_nothing() {
    let mut connection = tables();

    assert!(matches!(migrate(&mut connection), Ok(Found::Known)));

    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, VERSION);
}

#[test]
fn beyond_the_bound_the_lowest_steps_are_forgotten() {
    let connection = tables();
    connection
        .execute_batch("INSERT INTO totp_steps VALUES ('a', 30), ('b', 10), ('c', 20), ('d', 40)")
        .unwrap();

    one_time::forget_old_steps(&connection, 2).unwrap();
    one_time::forget_old_steps(&connection, 2).unwrap();

    assert_eq!(names(&connection, "SELECT user FROM totp_steps ORDER BY user"), ["a", "d"]);
}

#[test]
fn beyond_the_bound_the_keys_that_were_not_used_for_longest_are_forgotten() {
    let connection = tables();
    connection
        .execute_batch("INSERT INTO key_counters VALUES ('a', 1, 3), ('b', 9, 1), ('c', 5, 2)")
        .unwrap();

    counters::forget_unused(&connection, 2).unwrap();

    assert_eq!(names(&connection, "SELECT key FROM key_counters ORDER BY key"), ["a", "c"]);
}

#[test]
fn beyond_the_bound_the_penalties_that_end_first_are_forgotten() {
    let connection = tables();
    connection
        .execute_batch(
            "INSERT INTO penalties VALUES
             ('10.0.0.1/32', 0, 1, 30, ''), ('10.0.0.2/32', 0, 1, 10, ''),
             ('10.0.0.3/32', 0, 1, 20, '')",
        )
        .unwrap();

    penalties::forget_first(&connection, 2).unwrap();

    assert_eq!(
        names(&connection, "SELECT source FROM penalties ORDER BY source"),
        ["10.0.0.1/32", "10.0.0.3/32"]
    );
}

#[test]
fn threads_share_one_state() {
    fn shared<T: Send + Sync>() {}

    shared::<crate::State>();
}
