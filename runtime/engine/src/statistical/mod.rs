//! Disclosure control in a run: exact cells unit by unit, what was released of the same data before, and what of them may
//! leave. The decisions are `yunei_policy::statistical`'s.
//!
//! Between looking into the history and writing to it no other release may pass: a [`Session`] holds the domain's lock from
//! the one to the other.

mod cells;
mod units;

pub(crate) use cells::{UnitCell, UnitCells, execute_leaf};
pub(crate) use units::UnitIndex;

use crate::domain::{Domain, Resolved, files_digest};
use crate::error::DomainError;
use crate::functions::failed;
use crate::plan::Sources;
use crate::registry::ReleasedCell;
use datafusion::common::Result;
use roaring::RoaringBitmap;
use std::collections::HashMap;
use tokio::sync::MutexGuard;
use yunei_policy::clear::LeafClearance;
use yunei_policy::rules::StatisticalRules;
use yunei_policy::statistical::{Earlier, Members, RawCell, StatisticalCells, release};

struct Bitmap(RoaringBitmap);

impl Members for Bitmap {
    fn each(&self, f: &mut dyn FnMut(u32)) {
        self.0.iter().for_each(f);
    }
}

/// What a run knows of earlier releases, and what it adds.
pub(crate) struct Session<'a> {
    index: MutexGuard<'a, Option<UnitIndex>>,
    /// By dataset: the digest of its files, and the cells that were released of them.
    history: HashMap<String, (String, Vec<Bitmap>)>,
    new: Vec<ReleasedCell>,
    rules: StatisticalRules,
}

impl<'a> Session<'a> {
    /// Takes the domain's lock and loads what was released of these datasets.
    pub(crate) async fn open(domain: &'a Domain, resolved: &Resolved) -> Result<Self, DomainError> {
        Self::over(domain, &resolved.sources, domain.rules.statistical(), None).await
    }

    /// The session that a run had whose release is on record: with the history of before it, and under the rules of that
    /// day. What is released in it is written nowhere; [`Session::forget`] ends it.
    pub(crate) async fn replayed(
        domain: &'a Domain,
        sources: &Sources,
        rules: &StatisticalRules,
        run: &str,
    ) -> Result<Self, DomainError> {
        Self::over(domain, sources, rules, Some(run)).await
    }

    async fn over(
        domain: &'a Domain,
        sources: &Sources,
        rules: &StatisticalRules,
        before: Option<&str>,
    ) -> Result<Self, DomainError> {
        let mut index = domain.units.lock().await;
        let opened = match index.take() {
            Some(opened) => opened,
            None => {
                let path = domain.home.path("units.idx");
                let opened = tokio::task::spawn_blocking(move || UnitIndex::open(&path)).await;
                opened.map_err(|_| DomainError::run_failed())?.map_err(|e| DomainError::io("units.idx", &e))?
            }
        };
        let mut history = HashMap::new();
        for source in &sources.datasets {
            let data = files_digest(&source.files);
            let mut cells = Vec::new();
            let released = match before {
                None => domain.store.released_cells(source.spec.id(), &data).await?,
                Some(run) => domain.store.released_cells_before(source.spec.id(), &data, run).await?,
            };
            for bytes in released {
                let bitmap =
                    RoaringBitmap::deserialize_from(bytes.as_slice()).map_err(|_| DomainError::run_failed())?;
                // A lost index would give the numbers of old bitmaps to other units.
                if bitmap.max().is_some_and(|max| max as usize >= opened.len()) {
                    return Err(DomainError::run_failed());
                }
                cells.push(Bitmap(bitmap));
            }
            history.insert(source.spec.id().to_owned(), (data, cells));
        }
        *index = Some(opened);
        Ok(Self { index, history, new: Vec::new(), rules: *rules })
    }

    /// What of a leaf leaves. What does is known to the leaves that follow.
    pub(crate) fn release(&mut self, clearance: &LeafClearance, cells: UnitCells) -> Result<StatisticalCells> {
        let index = self.index.as_mut().ok_or_else(failed)?;
        let UnitCells { cells, datasets } = cells;
        let cells = cells.into_iter().map(|cell| number(index, cell)).collect::<Result<Vec<_>>>()?;
        let released = {
            let earlier = datasets
                .iter()
                .map(|d| self.history.get(d).map(|(_, cells)| cells.iter().map(|c| c as &dyn Members).collect()))
                .collect::<Option<Vec<Earlier<'_>>>>()
                .ok_or_else(failed)?;
            let index = &*index;
            release(clearance, cells, &self.rules, &earlier, &|member| index.unit_of(member)).map_err(|_| failed())?
        };
        for (at, dataset) in datasets.iter().enumerate() {
            let (data, history) = self.history.get_mut(dataset).ok_or_else(failed)?;
            for members in released.released_members(at) {
                let bitmap: RoaringBitmap = members.iter().copied().collect();
                let mut bytes = Vec::with_capacity(bitmap.serialized_size());
                bitmap.serialize_into(&mut bytes).map_err(|_| failed())?;
                self.new.push(ReleasedCell { dataset: dataset.clone(), data: data.clone(), members: bytes });
                history.push(Bitmap(bitmap));
            }
        }
        Ok(released)
    }

    /// Ends a session of which nothing is to stay. The numbers of units are read anew next time.
    pub(crate) fn forget(mut self) {
        *self.index = None;
    }

    /// Makes the numbers of units durable; what was released, to be written with the release.
    pub(crate) fn finish(&mut self) -> Result<&[ReleasedCell]> {
        let flushed = self.index.as_mut().ok_or_else(failed)?.flush();
        if flushed.is_err() {
            // What the file holds is not known any more: read it again next time.
            *self.index = None;
            return Err(failed());
        }
        Ok(&self.new)
    }
}

fn number(index: &mut UnitIndex, cell: cells::UnitCell) -> Result<RawCell> {
    let units =
        cell.units.iter().map(|d| index.unit(*d)).collect::<std::io::Result<Vec<u32>>>().map_err(|_| failed())?;
    let members = cell.members.iter().map(|digests| {
        let each = digests.iter().zip(&cell.units).zip(&units);
        each.map(|((member, own), unit)| if member == own { Ok(*unit) } else { index.member(*member, *unit) }).collect()
    });
    let members = members.collect::<std::io::Result<Vec<Vec<u32>>>>().map_err(|_| failed())?;
    Ok(RawCell { key: cell.key, units, rows: cell.rows, values: cell.values, members })
}
