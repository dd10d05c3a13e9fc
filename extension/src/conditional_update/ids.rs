//! The ids of resources, as an array of their column's type.

use super::catalog::names::type_name;
use super::catalog::operators::base_type;
use super::catalog::table::Column;
use super::sql::bind::TypeInput;
use crate::input::document::Path;
use crate::input::jsonb::Stored;
use crate::pg::catch::attempt;
use crate::pg::error::Error;
use crate::pg::spi::Rows;
use pgrx::pg_sys::{self, Datum, Oid};

/// Ids that the column's type takes, each with its position in the list that it was read from.
#[derive(Debug)]
pub struct Ids {
    type_oid: Oid,
    /// The length of that list.
    count: usize,
    values: Vec<(usize, Datum)>,
}

impl Ids {
    /// Leaves out texts that the type refuses: no row has such an id.
    pub fn read(texts: &[&str], column: &Column) -> Result<Self, Error> {
        let type_oid = base_type(column.type_oid);
        let input = TypeInput::new(type_oid, -1, &Path::root("resource").to_string());
        let count = texts.len();
        let mut values = Vec::with_capacity(count);
        read(&input, texts, 0, &mut values)?;
        Ok(Ids { type_oid, count, values })
    }

    /// Those whose position is not marked.
    pub fn without(&self, marks: &[bool]) -> Self {
        let unmarked = |(at, _): &&(usize, Datum)| !marks[*at];
        Ids { values: self.values.iter().filter(unmarked).copied().collect(), ..*self }
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Marks in the list the ids whose numbers in the array, counted from 1, are in the first column of the rows.
    pub fn found(&self, rows: &Rows) -> Vec<bool> {
        let mut marks = vec![false; self.count];
        for number in rows.numbers() {
            let (at, _) = self.values[number as usize - 1];
            marks[at] = true;
        }
        marks
    }

    /// The id and its type, if there is only one.
    pub fn only(&self) -> Option<(Datum, Oid)> {
        match self.values[..] {
            [(_, value)] => Some((value, self.type_oid)),
            _ => None,
        }
    }

    /// The array of all ids and its type.
    pub fn array(&self) -> Result<(Datum, Oid), Error> {
        let mut values: Vec<Datum> = self.values.iter().map(|(_, value)| *value).collect();
        let (mut length, mut by_value, mut alignment) = (0, false, 0);
        // SAFETY: catalog look-ups of a running transaction; the values are of the type whose layout was looked up,
        // and the array is a copy of them.
        unsafe {
            let array_type = pg_sys::get_array_type(self.type_oid);
            if array_type == Oid::INVALID {
                return Err(Error::Unsupported {
                    what: format!("there are no arrays of type {}", type_name(self.type_oid)),
                    hint: "Track the table by an id column of another type.",
                });
            }
            pg_sys::get_typlenbyvalalign(self.type_oid, &mut length, &mut by_value, &mut alignment);
            let array = pg_sys::construct_array(
                values.as_mut_ptr(),
                values.len() as i32,
                self.type_oid,
                i32::from(length),
                by_value,
                alignment,
            );
            Ok((Datum::from(array), array_type))
        }
    }
}

/// Reads all texts in one subtransaction. If the type refuses one, each half is read in a subtransaction of its own.
fn read(input: &TypeInput, texts: &[&str], first: usize, into: &mut Vec<(usize, Datum)>) -> Result<(), Error> {
    let value = |text: &&str| input.read_stored(Stored::Text(text.as_bytes()));
    let all = || texts.iter().map(value).collect::<Result<Vec<_>, _>>();
    let read_all = match input.takes_all() {
        true => all().map(Some),
        false => attempt(|| all().map(Some)),
    };
    match read_all {
        Ok(values) => into.extend((first..).zip(values.unwrap_or_default())),
        Err(error) if !is_refusal(&error) => return Err(error),
        Err(_) if texts.len() > 1 => {
            let (one, other) = texts.split_at(texts.len() / 2);
            read(input, one, first, into)?;
            read(input, other, first + one.len(), into)?;
        }
        Err(_) => {}
    }
    Ok(())
}

/// Did a type refuse a text?
pub fn is_refusal(error: &Error) -> bool {
    const DATA_EXCEPTION: &[u8] = b"22";
    matches!(error, Error::Postgres(error) if error.sqlstate().starts_with(DATA_EXCEPTION))
}
