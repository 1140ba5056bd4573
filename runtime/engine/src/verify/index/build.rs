//! Making an index: records are collected, sorted and written under another name, synced, and put in place whole.

use super::format::{HEADER, Header, MAX_RECORDS, Origin, RECORD, Record, bucket, bucket_bits, canary_filter};
use super::tag::{IndexKey, Tag};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// More units than that are sorted in parts, through files.
pub(crate) const MAX_UNITS_IN_MEMORY: u64 = 16 << 20;
/// One unit in so many gives a canary.
const CANARY_EVERY: u64 = 8;

/// Collects the subjects of an index.
pub(crate) struct Builder {
    key: IndexKey,
    origin: Origin,
    parts: Vec<Part>,
    units: Vec<u64>,
    canaries: Vec<Tag>,
}

/// The records whose tags begin alike: in memory, or in a file where there are many parts.
struct Part {
    records: Vec<Record>,
    spill: Option<(PathBuf, BufWriter<File>)>,
}

/// What a batch of rows adds: computed on any thread, added under one lock.
#[derive(Default)]
pub(crate) struct Batch {
    records: Vec<Record>,
    units: Vec<u64>,
    canaries: Vec<Tag>,
}

impl Batch {
    /// Adds a subject: its packed identity, its unit's number, the packed values that may be asked, and whether the
    /// product's fixed predicates hold (`None` where an asked value is missing: nothing is true of it then).
    pub(crate) fn push(&mut self, key: &IndexKey, identity: &[u8], unit: &str, asked: &[u8], holds: bool) {
        let (identity, claim) = key.subject(identity, asked, holds);
        self.records.push(Record { identity, claim });
        let tag = key.unit(unit.as_bytes());
        self.units.push(tag.high);
        if tag.low.is_multiple_of(CANARY_EVERY)
            && let Some(canary) = yunei_policy::verification::subject::neighbour(unit, tag.low / CANARY_EVERY)
        {
            self.canaries.push(key.unit(canary.as_bytes()));
        }
    }
}

impl Builder {
    /// A builder for about `rows` subjects; `folder` takes what does not fit into memory.
    pub(crate) fn new(key: IndexKey, origin: Origin, rows: u64, folder: &Path) -> io::Result<Self> {
        let count = (rows / MAX_UNITS_IN_MEMORY + 1).next_power_of_two();
        let parts = (0..count)
            .map(|i| Part::new((count > 1).then(|| folder.join(format!("part-{i}")))))
            .collect::<io::Result<_>>()?;
        Ok(Self { key, origin, parts, units: Vec::new(), canaries: Vec::new() })
    }

    /// The key of its tags.
    pub(crate) fn key(&self) -> &IndexKey {
        &self.key
    }

    /// Adds a batch.
    pub(crate) fn add(&mut self, batch: Batch) -> io::Result<()> {
        self.units.extend(batch.units);
        self.canaries.extend(batch.canaries);
        let bits = self.parts.len().ilog2();
        if bits == 0 {
            self.parts[0].records.extend(batch.records);
            return Ok(());
        }
        for record in batch.records {
            self.parts[bucket(record.identity, bits)].add(record)?;
        }
        Ok(())
    }

    /// Sorts, writes and syncs the index, and puts it at `path` in one step. Gives its size in bytes.
    pub(crate) fn finish(self, path: &Path) -> io::Result<u64> {
        let Self { key, origin, mut parts, units, canaries } = self;
        let filter = canary_filter(&without_real(canaries, units));
        let mut total = 0u64;
        for part in &mut parts {
            total += part.count()?;
        }
        if total > MAX_RECORDS {
            return Err(io::Error::other("too many subjects for one index"));
        }
        let draft = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        let bits = bucket_bits(total);
        let mut header = Header {
            records: total,
            bits,
            window: 0,
            blocks: (filter.len() / super::BLOCK) as u64,
            origin,
            seal: [0; 32],
        };
        // The records go to their place first; the buckets before them are known only then.
        let records_at = HEADER as u64 + header.buckets_bytes() + filter.len() as u64;
        file.seek(SeekFrom::Start(records_at))?;
        let mut offsets = vec![0u32; (1usize << bits) + 1];
        {
            let mut out = BufWriter::with_capacity(1 << 20, &mut file);
            for part in parts {
                for record in part.sorted()? {
                    offsets[bucket(record.identity, bits) + 1] += 1;
                    out.write_all(&record.bytes())?;
                }
            }
            out.flush()?;
        }
        header.window = offsets.iter().copied().max().unwrap_or(0).max(1);
        let mut sum = 0u32;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        file.seek(SeekFrom::Start(HEADER as u64))?;
        {
            let mut out = BufWriter::with_capacity(1 << 20, &mut file);
            for offset in &offsets {
                out.write_all(&offset.to_le_bytes())?;
            }
            out.write_all(&filter)?;
            out.flush()?;
        }
        header.seal = seal_of(&mut file, &key)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header.write(&key))?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(header.total_bytes())
    }
}

/// Canaries that are nobody's number: those that a real unit has are dropped.
fn without_real(canaries: Vec<Tag>, mut units: Vec<u64>) -> Vec<Tag> {
    units.sort_unstable();
    canaries.into_iter().filter(|canary| units.binary_search(&canary.high).is_err()).collect()
}

/// The seal over everything after the header, as it stands on the disk.
fn seal_of(file: &mut File, key: &IndexKey) -> io::Result<[u8; 32]> {
    file.seek(SeekFrom::Start(HEADER as u64))?;
    let mut seal = key.seal();
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read(&mut bytes)? {
            0 => break,
            read => seal.update(&bytes[..read]),
        }
    }
    let mut out = [0; 32];
    out.copy_from_slice(seal.sign().as_ref());
    Ok(out)
}

impl Part {
    fn new(path: Option<PathBuf>) -> io::Result<Self> {
        let spill = match path {
            None => None,
            Some(path) => {
                let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
                Some((path, BufWriter::with_capacity(1 << 16, file)))
            }
        };
        Ok(Self { records: Vec::new(), spill })
    }

    fn add(&mut self, record: Record) -> io::Result<()> {
        match &mut self.spill {
            None => self.records.push(record),
            Some((_, out)) => out.write_all(&record.bytes())?,
        }
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        match &mut self.spill {
            None => Ok(self.records.len() as u64),
            Some((_, out)) => {
                out.flush()?;
                Ok(out.get_ref().metadata()?.len() / RECORD as u64)
            }
        }
    }

    fn sorted(self) -> io::Result<Vec<Record>> {
        let mut records = self.records;
        if let Some((path, out)) = self.spill {
            let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.seek(SeekFrom::Start(0))?;
            let mut reader = BufReader::with_capacity(1 << 20, file);
            let mut bytes = [0; RECORD];
            while read_record(&mut reader, &mut bytes)? {
                let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
                let tag = |at: usize| Tag { high: word(at), low: word(at + 8) };
                records.push(Record { identity: tag(0), claim: tag(16) });
            }
            fs::remove_file(path)?;
        }
        records.sort_unstable();
        Ok(records)
    }
}

fn read_record(reader: &mut impl Read, bytes: &mut [u8; RECORD]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
