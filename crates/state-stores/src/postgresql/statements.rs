//! The statements.
//!
//! Each is one round trip that looks at the condition and writes value, version and deadline at one instant. What is
//! compared is what the row is when its lock is held, so nothing that another session does in between is lost. Clocks are
//! read when a row is reached and not when its transaction began, or a value would live for less than its time after a
//! wait for a lock.

use tokio_postgres::types::Type;

use super::layout::{Columns, Layout};

/// A statement that is sent again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Get,
    GetMany,
    Put,
    Create,
    Replace,
    Delete,
    DeleteMatching,
    PutMany,
    DeleteMany,
    List,
}

/// One statement: its text, and the types of its parameters.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) types: Vec<Type>,
}

impl Layout {
    /// What a row is called while it is looked at.
    const ROW: &str = "current";

    fn live(&self, row: &str) -> String {
        let expires = self.columns.expires;
        format!("({row}.{expires} IS NULL OR {row}.{expires} > clock_timestamp())")
    }

    /// All statements, in the order of [`Which`].
    pub(super) fn statements(&self) -> Vec<Statement> {
        let Columns { value_type, mark_type, etag_type, .. } = self.columns;
        let expected = if *etag_type == "uuid" { Type::UUID } else { Type::TEXT };
        let array = |it: &Type| match *it {
            Type::BYTEA => Type::BYTEA_ARRAY,
            Type::UUID => Type::UUID_ARRAY,
            Type::BOOL => Type::BOOL_ARRAY,
            _ => Type::TEXT_ARRAY,
        };
        let put = vec![Type::TEXT, value_type.clone(), mark_type.clone(), Type::FLOAT8];
        let replace = [put.clone(), vec![expected.clone()]].concat();
        let put_many = vec![Type::TEXT_ARRAY, array(value_type), array(mark_type)];
        let (table, live, row) = (&self.state, self.live(Self::ROW), Self::ROW);
        let etag = format!("{row}.{}::text", self.columns.etag);
        let all = [
            (Which::Get, self.read("key = $1"), vec![Type::TEXT]),
            (Which::GetMany, self.read("key = ANY($1)"), vec![Type::TEXT_ARRAY]),
            (
                Which::Put,
                format!("{} RETURNING true, {etag}, NULL::text", self.upsert()),
                put.clone(),
            ),
            (Which::Create, self.telling(&format!("{} WHERE NOT {live}", self.upsert())), put),
            (Which::Replace, self.telling(&self.replace()), replace),
            (Which::Delete, format!("DELETE FROM {table} WHERE key = $1"), vec![Type::TEXT]),
            (
                Which::DeleteMatching,
                self.telling(&format!(
                    "DELETE FROM {table} AS {row} WHERE key = $1 AND {} AND {live}",
                    self.matches(2)
                )),
                vec![Type::TEXT, expected],
            ),
            (Which::PutMany, self.put_many(), put_many),
            (
                Which::DeleteMany,
                // Locked in one order, so that two of these do not wait for each other.
                format!(
                    "DELETE FROM {table} WHERE key IN \
                     (SELECT key FROM {table} WHERE key = ANY($1) ORDER BY key FOR UPDATE)"
                ),
                vec![Type::TEXT_ARRAY],
            ),
            (
                Which::List,
                format!(
                    "SELECT key FROM {table} AS {row} WHERE key COLLATE \"C\" >= $1 \
                     AND ($2::text IS NULL OR key COLLATE \"C\" > $2) AND {live} \
                     ORDER BY key COLLATE \"C\" LIMIT $3"
                ),
                vec![Type::TEXT, Type::TEXT, Type::INT8],
            ),
        ];
        debug_assert!(all.iter().enumerate().all(|(i, (which, ..))| *which as usize == i));
        all.into_iter().map(|(_, text, types)| Statement { text, types }).collect()
    }

    fn read(&self, condition: &str) -> String {
        let Columns { value_as_text, is_base64, etag, expires, .. } = self.columns;
        format!(
            "SELECT key, {value_as_text}, {is_base64}, {etag}::text, (extract(epoch FROM {expires}) * 1000)::bigint \
             FROM {} AS current WHERE {condition} AND {}",
            self.state,
            self.live(Self::ROW)
        )
    }

    /// `$1` is the key, `$4` the lifetime in seconds or nothing.
    fn upsert(&self) -> String {
        let Columns { mark, expires, updated, value_cast, .. } = self.columns;
        let deadline = "clock_timestamp() + $4 * interval '1 second'";
        format!(
            "INSERT INTO {} AS current (key, value, {mark}, {expires}) \
             VALUES ($1, $2{value_cast}, $3, {deadline}) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, {mark} = excluded.{mark}, \
             {updated} = clock_timestamp(), {expires} = {deadline}",
            self.state
        )
    }

    fn replace(&self) -> String {
        let Columns { mark, expires, updated, value_cast, .. } = self.columns;
        format!(
            "UPDATE {} AS current SET value = $2{value_cast}, {mark} = $3, {updated} = clock_timestamp(), \
             {expires} = clock_timestamp() + $4 * interval '1 second' \
             WHERE key = $1 AND {} AND {}",
            self.state,
            self.matches(5),
            self.live(Self::ROW)
        )
    }

    /// Permanent values only: rows wait for each other, and the clock of a statement does not.
    fn put_many(&self) -> String {
        let Columns { mark, expires, updated, value_cast, value_type, etag, .. } = self.columns;
        let (values, marks) = match *value_type {
            Type::BYTEA => ("bytea", "uuid"),
            _ => ("text", "boolean"),
        };
        format!(
            "INSERT INTO {} AS current (key, value, {mark}) \
             SELECT k, v{value_cast}, m FROM unnest($1::text[], $2::{values}[], $3::{marks}[]) AS given (k, v, m) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, {mark} = excluded.{mark}, \
             {updated} = clock_timestamp(), {expires} = NULL \
             RETURNING key, current.{etag}::text",
            self.state
        )
    }

    fn matches(&self, parameter: usize) -> String {
        let Columns { etag, etag_type, .. } = self.columns;
        let cast = if *etag_type == "xid" { "::xid" } else { "" };
        format!("{}.{etag} = ${parameter}{cast}", Self::ROW)
    }

    /// The same statement, which says whether it has changed a row, to which version, and which one it has found if not.
    fn telling(&self, statement: &str) -> String {
        let etag = self.columns.etag;
        format!(
            "WITH written AS ({statement} RETURNING current.{etag}::text AS etag) \
             SELECT EXISTS (SELECT 1 FROM written), (SELECT etag FROM written), \
             CASE WHEN NOT EXISTS (SELECT 1 FROM written) \
             THEN (SELECT {etag}::text FROM {} AS current WHERE key = $1 AND {}) END",
            self.state,
            self.live(Self::ROW)
        )
    }
}
