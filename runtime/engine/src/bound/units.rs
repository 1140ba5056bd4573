//! One partition's units: sums per (unit, group), the groups that are kept, the limits, the cells.

use super::rows::{Rows, UnitKey, mix};
use super::{Bounds, Shape, Slot};
use crate::functions::failed;
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::Result;

/// About how many rows one table takes: with as many entries it has two mebibytes at most.
const TABLE_ROWS: usize = 48 << 10;
/// Into at most how many shares a partition is cut, as a power of two.
const MOST_BITS: u32 = 10;

/// What holds for every partition.
pub(super) struct Limits<'s> {
    shape: &'s Shape,
    bounds: &'s Bounds,
    groups: usize,
    width: usize,
    /// Columns per row, and for each the slot that it belongs to.
    columns: usize,
    /// A keyed hash of each group's key: which groups a unit keeps must not depend on what groups others have.
    picks: Vec<u64>,
    salt: u64,
}

impl<'s> Limits<'s> {
    pub(super) fn new(
        shape: &'s Shape,
        bounds: &'s Bounds,
        keys: &[ArrayRef],
        groups: usize,
        seed: &[u8; 32],
    ) -> Result<Self> {
        let digest = crate::digest::sha256_parts("yunei/pick/2", &[seed]);
        let salt = u64::from_le_bytes(digest[..8].try_into().map_err(|_| failed())?);
        let picks = if bounds.max_groups.is_some() { picks(keys, groups, salt)? } else { Vec::new() };
        let columns = shape.slots.iter().filter(|s| s.column().is_some()).count();
        Ok(Self { shape, bounds, groups, width: shape.width(), columns, picks, salt })
    }
}

/// A hash of each group's key by its content.
fn picks(keys: &[ArrayRef], groups: usize, salt: u64) -> Result<Vec<u64>> {
    if keys.is_empty() || groups == 0 {
        return Ok(vec![0; groups]);
    }
    let fields = keys.iter().map(|k| SortField::new(k.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(|_| failed())?;
    let rows = converter.convert_columns(keys).map_err(|_| failed())?;
    Ok(rows
        .iter()
        .map(|row| {
            let digest = crate::digest::sha256_parts("yunei/group/1", &[&salt.to_le_bytes(), row.as_ref()]);
            u64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
        })
        .collect())
}

/// Gathers partitions on one thread.
pub(super) struct Gatherer<'l> {
    limits: &'l Limits<'l>,
    sums: Vec<i128>,
}

impl<'l> Gatherer<'l> {
    pub(super) fn new(limits: &'l Limits<'l>) -> Self {
        Self { limits, sums: vec![0; limits.groups * limits.width] }
    }

    pub(super) fn into_sums(self) -> Vec<i128> {
        self.sums
    }

    /// Sums one partition of all threads' rows.
    pub(super) fn partition(&mut self, parts: &[(Vec<usize>, Rows)], partition: usize) -> Result<()> {
        let rows: usize = parts.iter().map(|(_, rows)| rows.count(partition)).sum();
        if rows == 0 {
            return Ok(());
        }
        let unit = parts.iter().find(|(_, r)| r.count(partition) > 0).map_or(UnitKey::Whole, |(_, r)| r.unit);
        match unit {
            UnitKey::Whole => self.of_words::<1>(parts, partition, rows),
            UnitKey::Hashed => self.of_words::<2>(parts, partition, rows),
        }
    }

    fn of_words<const W: usize>(&mut self, parts: &[(Vec<usize>, Rows)], partition: usize, rows: usize) -> Result<()> {
        if rows <= TABLE_ROWS {
            let mut table = Table::<W>::new(self.limits, rows);
            for (places, rows) in parts.iter().filter(|(_, rows)| rows.count(partition) > 0) {
                rows.each(partition, &mut |words| table.take(words, rows.stride, places))?;
            }
            return table.add_to(&mut self.sums);
        }
        // Too many for one table to stay in the cache: the rows go into shares by another hash of their unit first.
        let bits = rows.div_ceil(TABLE_ROWS).next_power_of_two().ilog2().min(MOST_BITS);
        let mut stride = 0;
        let expected = (rows >> bits) * 9 / 8;
        let mut shares: Vec<Vec<u64>> = Vec::new();
        for (places, rows) in parts.iter().filter(|(_, rows)| rows.count(partition) > 0) {
            if shares.is_empty() {
                stride = rows.stride;
                shares = (0..1usize << bits).map(|_| Vec::with_capacity(expected * stride)).collect();
            }
            rows.each(partition, &mut |words| {
                for row in words.chunks_exact(stride) {
                    let hash = row[..W].iter().fold(self.limits.salt, |h, word| mix(h ^ word));
                    let share = &mut shares[(hash >> (64 - bits)) as usize];
                    share.extend_from_slice(row);
                    // All threads' groups have one number from here on.
                    let group = share.len() - stride + W;
                    share[group] = *places.get(share[group] as usize).ok_or_else(failed)? as u64;
                }
                Ok(())
            })?;
        }
        for share in &mut shares {
            let share = std::mem::take(share);
            let mut table = Table::<W>::new(self.limits, share.len() / stride.max(1));
            table.take(&share, stride, &[])?;
            table.add_to(&mut self.sums)?;
        }
        Ok(())
    }
}

/// The sums of one partition per (unit, group): an open-addressed table over entries that lie in order of arrival.
struct Table<'l, const W: usize> {
    limits: &'l Limits<'l>,
    /// Positions of entries plus 1; 0 is free. A power of two long.
    places: Vec<u32>,
    units: Vec<[u64; W]>,
    groups: Vec<u32>,
    rows: Vec<u32>,
    /// `columns` sums per entry.
    sums: Vec<i64>,
    /// Entry, column and bar of each row that falls into one.
    bars: Vec<(u32, u16, u16)>,
    /// Per column, whether it tells bars.
    tells_bars: Vec<bool>,
}

impl<'l, const W: usize> Table<'l, W> {
    fn new(limits: &'l Limits<'l>, rows: usize) -> Self {
        let expected = (rows / 2).clamp(64, 1 << 20);
        let with_columns = limits.shape.slots.iter().filter(|s| s.column().is_some());
        Self {
            limits,
            places: vec![0; (expected * 2).next_power_of_two()],
            units: Vec::with_capacity(expected),
            groups: Vec::with_capacity(expected),
            rows: Vec::with_capacity(expected),
            sums: Vec::with_capacity(expected * limits.columns),
            bars: Vec::new(),
            tells_bars: with_columns.map(|s| matches!(s, Slot::Bars { .. })).collect(),
        }
    }

    fn hash(unit: &[u64; W], group: u32) -> usize {
        mix(unit[0] ^ u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15)) as usize
    }

    /// `places`: the number of each of a thread's groups among all; empty where the rows have that already.
    fn take(&mut self, words: &[u64], stride: usize, places: &[usize]) -> Result<()> {
        for row in words.chunks_exact(stride) {
            let unit: [u64; W] = row[..W].try_into().map_err(|_| failed())?;
            let group = if places.is_empty() { row[W] } else { places[row[W] as usize] as u64 };
            let group = u32::try_from(group).map_err(|_| failed())?;
            let entry = self.entry(unit, group)?;
            self.rows[entry] = self.rows[entry].checked_add(1).ok_or_else(failed)?;
            let columns = self.limits.columns;
            for (at, word) in row[W + 1..].iter().enumerate() {
                let value = word.cast_signed();
                if self.tells_bars[at] {
                    if let (Ok(bar), Ok(at)) = (u16::try_from(value), u16::try_from(at)) {
                        self.bars.push((entry as u32, at, bar));
                    }
                    continue;
                }
                // A row adds at most 2^31 + 1: a unit would need 2^32 rows in one group.
                let sum = &mut self.sums[entry * columns + at];
                *sum = sum.checked_add(value).ok_or_else(failed)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, unit: [u64; W], group: u32) -> Result<usize> {
        let mask = self.places.len() - 1;
        let mut at = Self::hash(&unit, group) & mask;
        loop {
            match self.places[at] {
                0 => break,
                found => {
                    let entry = found as usize - 1;
                    if self.groups[entry] == group && self.units[entry] == unit {
                        return Ok(entry);
                    }
                }
            }
            at = (at + 1) & mask;
        }
        let entry = self.units.len();
        self.places[at] = u32::try_from(entry + 1).map_err(|_| failed())?;
        self.units.push(unit);
        self.groups.push(group);
        self.rows.push(0);
        self.sums.resize((entry + 1) * self.limits.columns, 0);
        if (entry + 1) * 4 > self.places.len() * 3 {
            self.grow();
        }
        Ok(entry)
    }

    fn grow(&mut self) {
        let mask = self.places.len() * 2 - 1;
        let mut places = vec![0u32; mask + 1];
        for (entry, (unit, group)) in self.units.iter().zip(&self.groups).enumerate() {
            let mut at = Self::hash(unit, *group) & mask;
            while places[at] != 0 {
                at = (at + 1) & mask;
            }
            places[at] = entry as u32 + 1;
        }
        self.places = places;
    }

    /// The entries whose groups their units keep: those with the least keyed hash of unit and group.
    fn kept(&self) -> Option<Vec<u32>> {
        let most = self.limits.bounds.max_groups? as usize;
        let pick = |entry: usize| {
            let unit = self.units[entry].iter().fold(self.limits.salt, |h, word| mix(h ^ word));
            mix(unit ^ self.limits.picks[self.groups[entry] as usize])
        };
        let mut order: Vec<([u64; W], u64, u32)> =
            (0..self.units.len()).map(|e| (self.units[e], pick(e), e as u32)).collect();
        order.sort_unstable();
        let mut kept = Vec::with_capacity(order.len());
        let mut taken = 0;
        for (at, (unit, _, entry)) in order.iter().enumerate() {
            taken = if at > 0 && order[at - 1].0 == *unit { taken + 1 } else { 1 };
            if taken <= most {
                kept.push(*entry);
            }
        }
        Some(kept)
    }

    /// Each kept entry, moved into its limits, goes to its cell.
    fn add_to(mut self, cells: &mut [i128]) -> Result<()> {
        self.bars.sort_unstable();
        match self.kept() {
            Some(kept) => kept.iter().for_each(|entry| self.add_entry(*entry as usize, cells)),
            None => (0..self.units.len()).for_each(|entry| self.add_entry(entry, cells)),
        }
        Ok(())
    }

    fn add_entry(&self, entry: usize, cells: &mut [i128]) {
        let Limits { shape, bounds, width, columns, .. } = self.limits;
        let cell = &mut cells[self.groups[entry] as usize * width..][..*width];
        let sums = &self.sums[entry * columns..][..*columns];
        let (mut at, mut column) = (0, 0);
        for slot in &shape.slots {
            let (lo, hi) = bounds.per_group[at];
            match slot {
                Slot::Rows => cell[at] += i128::from(self.rows[entry]).clamp(lo, hi),
                Slot::Sum(_) => cell[at] += i128::from(sums[column]).clamp(lo, hi),
                Slot::Units => cell[at] += 1,
                Slot::UnitsWhere(_) => cell[at] += i128::from(sums[column] != 0),
                Slot::Bars { of, .. } => self.add_bars(entry, column, &mut cell[at..at + of]),
            }
            column += usize::from(slot.column().is_some());
            at += slot.width();
        }
    }

    /// A unit's rows fill the bars of its group, in the order of a keyed hash, until its limit is reached.
    fn add_bars(&self, entry: usize, column: usize, cell: &mut [i128]) {
        let key = (entry as u32, column as u16);
        let from = self.bars.partition_point(|(e, c, _)| (*e, *c) < key);
        let mine = self.bars[from..].iter().take_while(|(e, c, _)| (*e, *c) == key);
        let mut counts: Vec<(u64, usize, u32)> = Vec::new();
        for (_, _, bar) in mine {
            let bar = usize::from(*bar);
            match counts.last_mut() {
                Some((_, last, count)) if *last == bar => *count += 1,
                _ => {
                    let pick = self.units[entry].iter().fold(self.limits.salt ^ bar as u64, |h, word| mix(h ^ word));
                    counts.push((pick, bar, 1));
                }
            }
        }
        counts.sort_unstable();
        let mut left = self.limits.bounds.max_rows;
        for (_, bar, count) in counts {
            let taken = count.min(left);
            left -= taken;
            if let Some(cell) = cell.get_mut(bar) {
                *cell += i128::from(taken);
            }
        }
    }
}
