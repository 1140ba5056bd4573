//! How many units have more rows than declared, exactly and in bounded memory.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// A keyed 128-bit hash of a unit's id: two SipHash-1-3 under random keys. Two of 10^9 units share one with probability
/// below 2^-68; they would then be counted as one unit, which can only refuse a dataset, never let one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UnitKey(u64, u64);

/// The key is a hash already.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not reached: a UnitKey is hashed by two write_u64.
        self.0 = bytes.iter().fold(self.0, |h, b| h.wrapping_mul(257).wrapping_add(u64::from(*b)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }
}

/// A share of all the units: those whose key's low `bits` are `part`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    bits: u32,
    part: u64,
}

impl Share {
    pub(super) const ALL: Self = Self { bits: 0, part: 0 };

    fn holds(self, key: UnitKey) -> bool {
        key.1 & ((1u64 << self.bits) - 1) == self.part
    }

    /// Two halves of the share.
    fn split(self) -> (Self, Self) {
        let bits = self.bits + 1;
        (Self { bits, part: self.part }, Self { bits, part: self.part | 1 << self.bits })
    }
}

/// Counts the rows of each unit of a share. Where there are more units than `most_units`, it keeps one half of its share
/// and leaves the other for a further pass over the data.
#[derive(Debug)]
pub(super) struct UnitCounter {
    keys: (RandomState, RandomState),
    most_units: usize,
    share: Share,
    left: Vec<Share>,
    rows: HashMap<UnitKey, u32, BuildHasherDefault<KeyHasher>>,
}

impl UnitCounter {
    /// Counts every unit, with at most `most_units` in memory at once (24 to 60 bytes each).
    pub(super) fn new(most_units: usize) -> Self {
        Self {
            keys: (RandomState::new(), RandomState::new()),
            most_units: most_units.max(1),
            share: Share::ALL,
            left: Vec::new(),
            rows: HashMap::default(),
        }
    }

    /// Counts the rows of a batch's unit column: a text (view or dictionary) or integer column; NULLs are passed over.
    pub(super) fn count(&mut self, column: &ArrayRef) {
        match column.data_type() {
            DataType::Utf8View => self.each(column.as_string_view().iter().flatten().map(str::as_bytes)),
            DataType::Dictionary(..) => {
                let column = column.as_dictionary::<Int32Type>();
                let ids = column.values().as_string::<i32>();
                for key in column.keys_iter().flatten() {
                    self.one(ids.value(key).as_bytes());
                }
            }
            DataType::Int8 => self.integers(column.as_primitive::<Int8Type>().iter().flatten()),
            DataType::Int16 => self.integers(column.as_primitive::<Int16Type>().iter().flatten()),
            DataType::Int32 => self.integers(column.as_primitive::<Int32Type>().iter().flatten()),
            DataType::Int64 => self.integers(column.as_primitive::<Int64Type>().iter().flatten()),
            other => unreachable!("an entry's unit column is of text or integers, not {other}"),
        }
    }

    fn integers(&mut self, values: impl Iterator<Item = impl Into<i64>>) {
        for value in values {
            self.one(&value.into().to_le_bytes());
        }
    }

    fn each<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>) {
        for value in values {
            self.one(value);
        }
    }

    fn one(&mut self, id: &[u8]) {
        let key = UnitKey(self.keys.0.hash_one(id), self.keys.1.hash_one(id));
        if !self.share.holds(key) {
            return;
        }
        let rows = self.rows.entry(key).or_insert(0);
        *rows = rows.saturating_add(1);
        while self.rows.len() > self.most_units {
            let (keep, leave) = self.share.split();
            self.share = keep;
            self.left.push(leave);
            self.rows.retain(|key, _| keep.holds(*key));
            // What was removed leaves marks behind, which would make the table grow beyond `most_units`.
            self.rows.shrink_to_fit();
        }
    }

    /// How many units of the share have more than `most_rows` rows. The counter is then ready for the next share; `false`
    /// where there is none.
    pub(super) fn finish(&mut self, most_rows: u32) -> (u64, bool) {
        let above = self.rows.values().filter(|rows| **rows > most_rows).count() as u64;
        self.rows.clear();
        let next = self.left.pop();
        if let Some(share) = next {
            self.share = share;
        }
        (above, next.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use std::sync::Arc;

    fn above(ids: &[i64], most_rows: u32, most_units: usize) -> (u64, usize) {
        let column: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
        let mut counter = UnitCounter::new(most_units);
        let (mut total, mut passes) = (0, 0);
        loop {
            passes += 1;
            counter.count(&column);
            let (found, more) = counter.finish(most_rows);
            total += found;
            if !more {
                return (total, passes);
            }
        }
    }

    #[test]
    fn counts_units_above_the_limit_and_not_at_it() {
        assert_eq!(above(&[1, 2, 3], 1, 10), (0, 1));
        assert_eq!(above(&[1, 2, 2], 1, 10), (1, 1));
        assert_eq!(above(&[1, 2, 2], 2, 10), (0, 1));
        assert_eq!(above(&[1, 1, 1, 2, 2, 2, 3], 2, 10), (2, 1));
    }

    #[test]
    fn one_unit_too_many_for_memory_takes_further_passes_and_counts_the_same() {
        let ids: Vec<i64> = (0..500).chain(0..500).chain(0..123).collect();
        assert_eq!(above(&ids, 2, 500), (123, 1), "as many units as fit");
        let (found, passes) = above(&ids, 2, 499);
        assert_eq!(found, 123);
        assert!(passes >= 2, "one unit more than fits");
        let (found, passes) = above(&ids, 2, 1);
        assert_eq!(found, 123);
        assert!(passes >= 500);
    }

    #[test]
    fn text_ids_are_told_apart_and_nulls_passed_over() {
        let ids = vec![Some("a"), Some("a"), None, None, Some("530102199001011234"), Some("530102199001011235")];
        let column: ArrayRef = Arc::new(StringViewArray::from(ids));
        let mut counter = UnitCounter::new(10);
        counter.count(&column);
        assert_eq!(counter.finish(1), (1, false));
    }
}
