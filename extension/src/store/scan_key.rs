//! The conditions of a scan: how a column stands to a value.

use crate::pg::catch::raw;
use pgrx::pg_sys::{self, Datum, Oid, ScanKeyData};

/// The condition `column = value`, where `function` compares.
///
/// # Safety
/// Inside [`crate::pg::catch::catching`]. The function compares two values of the column's type as its index does, and
/// `value` is one.
pub unsafe fn equals(column: i16, function: Oid, collation: Oid, value: Datum) -> ScanKeyData {
    // SAFETY: the caller's promise.
    unsafe { key(column, pg_sys::BTEqualStrategyNumber as u16, collation, function, value) }
}

/// # Safety
/// As [`equals`]; the function is that of the strategy.
unsafe fn key(column: i16, strategy: u16, collation: Oid, function: Oid, value: Datum) -> ScanKeyData {
    let mut key = ScanKeyData::default();
    // SAFETY: the key is a local variable; the caller's promise.
    unsafe {
        raw::ScanKeyEntryInitialize(&mut key, 0, column, strategy, Oid::INVALID, collation, function, value);
    }
    key
}

/// How a column compares with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    UpTo,
    Equal,
    From,
    After,
}

impl Order {
    fn strategy(self) -> u16 {
        let strategy = match self {
            Order::UpTo => pg_sys::BTLessEqualStrategyNumber,
            Order::Equal => pg_sys::BTEqualStrategyNumber,
            Order::From => pg_sys::BTGreaterEqualStrategyNumber,
            Order::After => pg_sys::BTGreaterStrategyNumber,
        };
        strategy as u16
    }
}

/// The type of a column that is compared. A text byte by byte: its collation is "C".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Number,
    Time,
}

impl Kind {
    pub fn type_oid(self) -> Oid {
        match self {
            Kind::Text => pg_sys::TEXTOID,
            Kind::Integer => pg_sys::INT4OID,
            Kind::Number => pg_sys::INT8OID,
            Kind::Time => pg_sys::TIMESTAMPTZOID,
        }
    }

    fn function(self, order: Order) -> u32 {
        use pg_sys::{
            F_INT4EQ, F_INT4GE, F_INT4GT, F_INT4LE, F_INT8EQ, F_INT8GE, F_INT8GT, F_INT8LE, F_TEXT_GE, F_TEXT_GT,
            F_TEXT_LE, F_TEXTEQ, F_TIMESTAMPTZ_EQ, F_TIMESTAMPTZ_GE, F_TIMESTAMPTZ_GT, F_TIMESTAMPTZ_LE,
        };
        let of_kind = match self {
            Kind::Text => [F_TEXT_LE, F_TEXTEQ, F_TEXT_GE, F_TEXT_GT],
            Kind::Integer => [F_INT4LE, F_INT4EQ, F_INT4GE, F_INT4GT],
            Kind::Number => [F_INT8LE, F_INT8EQ, F_INT8GE, F_INT8GT],
            Kind::Time => [F_TIMESTAMPTZ_LE, F_TIMESTAMPTZ_EQ, F_TIMESTAMPTZ_GE, F_TIMESTAMPTZ_GT],
        };
        of_kind[order as usize]
    }

    /// The support function of btrees that compares two values.
    fn comparison(self) -> u32 {
        match self {
            Kind::Text => pg_sys::F_BTTEXTCMP,
            Kind::Integer => pg_sys::F_BTINT4CMP,
            Kind::Number => pg_sys::F_BTINT8CMP,
            Kind::Time => pg_sys::F_TIMESTAMPTZ_CMP,
        }
    }

    fn collation(self) -> Oid {
        match self {
            Kind::Text => pg_sys::C_COLLATION_OID,
            _ => Oid::INVALID,
        }
    }

    /// The condition that a column stands so to a value.
    ///
    /// # Safety
    /// Inside [`crate::pg::catch::catching`]. The column is of this type, as is the value.
    pub unsafe fn key(self, column: i16, order: Order, value: Datum) -> ScanKeyData {
        let function = Oid::from(self.function(order));
        // SAFETY: the function compares values of the type; the caller's promise.
        unsafe { key(column, order.strategy(), self.collation(), function, value) }
    }

    /// A column of a [`row`], and the value that it is compared with.
    ///
    /// # Safety
    /// As [`Kind::key`].
    pub unsafe fn member(self, column: i16, order: Order, value: Datum, is_last: bool) -> ScanKeyData {
        let function = Oid::from(self.comparison());
        // SAFETY: the function compares values of the type; the caller's promise.
        let mut member = unsafe { key(column, order.strategy(), self.collation(), function, value) };
        member.sk_flags = match is_last {
            false => pg_sys::SK_ROW_MEMBER,
            true => pg_sys::SK_ROW_MEMBER | pg_sys::SK_ROW_END,
        } as i32;
        member
    }
}

/// The condition that two columns or more, which follow each other, stand together so to their values: a row
/// comparison, as `access/skey.h` describes it. It refers to its members. (A btree looks for a second member.)
pub fn row(members: &mut [ScanKeyData]) -> ScanKeyData {
    debug_assert!(members.len() > 1, "a comparison of one column is no row");
    ScanKeyData {
        sk_flags: pg_sys::SK_ROW_HEADER as i32,
        sk_attno: members[0].sk_attno,
        sk_strategy: members[0].sk_strategy,
        sk_argument: Datum::from(members.as_mut_ptr()),
        ..ScanKeyData::default()
    }
}

/// `column = value` for a bigint.
///
/// # Safety
/// As [`Kind::key`].
pub unsafe fn equals_number(column: i16, value: i64) -> ScanKeyData {
    // SAFETY: the caller's promise.
    unsafe { Kind::Number.key(column, Order::Equal, Datum::from(value)) }
}

/// `column = value` for a text.
///
/// # Safety
/// As [`Kind::key`].
pub unsafe fn equals_text(column: i16, value: Datum) -> ScanKeyData {
    // SAFETY: the caller's promise.
    unsafe { Kind::Text.key(column, Order::Equal, value) }
}
