//! What is shown of the database: parts of it, each from one view, with its columns.

mod list;

pub(crate) use self::list::{ALL, CLUSTERS, EVENTS, LOCKS, SERVICES, WAITERS};
use crate::text::{age, visible};
use std::borrow::Cow;

/// A part of what is shown: rows of one view.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    /// What it is in a sentence: `no locks`.
    pub(crate) rows: &'static str,
    /// A view of the schema `volguard`, or a query over one.
    pub(crate) from: &'static str,
    pub(crate) columns: &'static [Column],
    /// SQL after ORDER BY, unless a column is chosen.
    pub(crate) order: &'static str,
}

/// A column of a section.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// An expression of SQL over the view.
    pub(crate) sql: &'static str,
    pub(crate) kind: Kind,
    /// Where there is no room for all columns, those with the largest number go first; 0 stays.
    pub(crate) rank: u8,
}

/// How a value is shown, and sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text that may be cut.
    Text,
    /// Text that stays whole.
    Word,
    /// On the right.
    Number,
    /// Seconds.
    Age,
    /// A moment, which stays whole.
    Time,
}

impl Column {
    const fn new(title: &'static str, sql: &'static str, kind: Kind, rank: u8) -> Column {
        Column { title, sql, kind, rank }
    }

    /// A value as it is shown.
    pub(crate) fn shown<'v>(&self, value: Option<&'v str>) -> Cow<'v, str> {
        match (self.kind, value) {
            (_, None) => Cow::Borrowed(""),
            (Kind::Age, Some(seconds)) => seconds.parse().map_or(visible(seconds), |seconds| Cow::Owned(age(seconds))),
            (_, Some(text)) => visible(text),
        }
    }

    pub(crate) fn is_on_the_right(&self) -> bool {
        matches!(self.kind, Kind::Number | Kind::Age)
    }

    fn text(&self) -> String {
        match self.kind {
            Kind::Time => format!("to_char({}, 'YYYY-MM-DD HH24:MI:SS')", self.sql),
            _ => format!("({})::text", self.sql),
        }
    }
}

/// Which rows of a section, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The number of a column; `None`: the section's own order.
    pub(crate) sort: Option<usize>,
    pub(crate) is_reversed: bool,
}

impl Section {
    /// A query whose columns are those of the section, as text, and the number of all rows that match. Its parameters:
    /// a text that a row must have in it, in whatever case, and how many rows at most.
    pub(crate) fn sql(&self, choice: &Choice) -> String {
        let texts: Vec<String> = self.columns.iter().map(Column::text).collect();
        let order = match choice.sort.and_then(|at| self.columns.get(at)) {
            Some(column) => {
                let direction = if choice.is_reversed { "DESC" } else { "ASC" };
                format!("{} {direction} NULLS LAST, {}", column.sql, self.order)
            }
            None => self.order.to_owned(),
        };
        let searched = texts.join(", ");
        format!(
            "SELECT {searched}, (count(*) OVER ())::text FROM {from} \
             WHERE $1 = '' OR strpos(lower(concat_ws(' ', {searched})), lower($1)) > 0 ORDER BY {order} LIMIT $2",
            from = self.from
        )
    }

    /// A query of whole rows as JSON. Its parameter: how many at most.
    pub(crate) fn json_sql(&self) -> String {
        format!("SELECT to_jsonb(v)::text FROM {} ORDER BY {} LIMIT $1", self.from, self.order)
    }
}
