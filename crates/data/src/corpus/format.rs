//! The file of a token cache: complete, self-describing and checkable.
//!
//! ```text
//! header     64 bytes: magic, version
//! tokens     u16 or u32 each, all documents one after the other; padded to 8 bytes
//! documents  one Record each
//! checksums  CRC-32 of each MiB of everything above
//! meta       JSON
//! trailer    32 bytes: where checksums and meta start, their CRC-32, version, magic
//! ```
//!
//! Everything is little-endian.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use memmap2::Mmap;
use percept_fault::{IoContext, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::Statistics;
use super::loss::Loss;
use crate::Targets;

const MAGIC: &[u8; 8] = b"PERCEPTK";
/// Raised whenever the format or the meaning of its content changes.
pub(super) const VERSION: u32 = 1;
const HEADER: usize = 64;
const TRAILER: usize = 32;
/// Bytes under one checksum.
const CHUNK: usize = 1 << 20;
/// Checksums of the tokens that are checked when a cache is opened; smaller caches are checked whole.
const CHECKED: usize = 512;

/// What a document record holds, as 64-bit integers in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Where its tokens end; they start where those of the document before end.
    pub(super) end: u64,
    /// In one number: from where in the low half, and what `every` is above 1 in the high one.
    pub(super) targets: Targets,
    pub(super) bytes: u64,
    pub(super) words: u64,
    pub(super) chars: u64,
    pub(super) input: u64,
    pub(super) line: u64,
}

type Row = [u64; 7];

impl Record {
    fn row(&self) -> Row {
        let targets = self.targets.from as u64 | (self.targets.every as u64 - 1) << 32;
        [self.end, targets, self.bytes, self.words, self.chars, self.input, self.line]
    }

    fn of([end, targets, bytes, words, chars, input, line]: Row) -> Self {
        let targets = Targets { from: targets as u32 as usize, every: (targets >> 32) as usize + 1 };
        Self { end, targets, bytes, words, chars, input, line }
    }
}

/// What a cache says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Hash of everything the tokens depend on.
    pub(super) key: String,
    /// Bytes per token: 2 or 4.
    pub(super) width: usize,
    pub(super) vocab_size: usize,
    pub(super) document_token: u32,
    pub(super) lossless: bool,
    /// The first place where a text is lost, which caches did not say once: then probe texts had decided.
    #[serde(default)]
    pub(super) loss: Option<Loss>,
    pub(super) statistics: Statistics,
}

/// A cache that is being written.
pub(super) struct Writer {
    file: BufWriter<NamedTempFile>,
    records: BufWriter<File>,
    width: usize,
    tokens: u64,
    buffer: Vec<u16>,
}

impl Writer {
    pub(super) fn new(path: &Path, width: usize) -> Result<Self> {
        let mut file = BufWriter::with_capacity(CHUNK, percept_files::begin(path)?);
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        file.write_all(&header).at("write", path)?;
        let records = BufWriter::new(tempfile::tempfile_in(path.parent().unwrap_or(path)).at("write in", path)?);
        Ok(Self { file, records, width, tokens: 0, buffer: Vec::new() })
    }

    /// Tokens so far.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    pub(super) fn write(&mut self, tokens: &[u32]) -> std::io::Result<()> {
        self.tokens += tokens.len() as u64;
        if self.width == 4 {
            return self.file.write_all(bytemuck::cast_slice(tokens));
        }
        self.buffer.clear();
        // The width was chosen by the size of the vocabulary.
        self.buffer.extend(tokens.iter().map(|&token| token as u16));
        self.file.write_all(bytemuck::cast_slice(&self.buffer))
    }

    /// Takes back all tokens after the first `tokens`.
    pub(super) fn truncate(&mut self, tokens: u64) -> std::io::Result<()> {
        if tokens == self.tokens {
            return Ok(());
        }
        self.file.flush()?;
        let end = HEADER as u64 + tokens * self.width as u64;
        self.tokens = tokens;
        let file = self.file.get_mut().as_file_mut();
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end)).map(|_| ())
    }

    pub(super) fn record(&mut self, record: Record) -> std::io::Result<()> {
        self.records.write_all(bytemuck::cast_slice(&record.row()))
    }

    /// Completes the file under its name.
    pub(super) fn finish(mut self, path: &Path, meta: &Meta) -> Result<()> {
        self.complete(meta).at("write", path)?;
        let file = self.file.into_inner().map_err(|error| error.into_error()).at("write", path)?;
        percept_files::finish(file, path)
    }

    fn complete(&mut self, meta: &Meta) -> std::io::Result<()> {
        let tokens_end = HEADER + self.tokens as usize * self.width;
        self.file.write_all(&[0; 8][..tokens_end.next_multiple_of(8) - tokens_end])?;
        self.records.flush()?;
        self.records.seek(SeekFrom::Start(0))?;
        std::io::copy(&mut BufReader::new(self.records.get_ref()), &mut self.file)?;
        self.file.flush()?;
        let checksums = checksums_of(self.file.get_ref().as_file())?;
        let checksums_at = self.file.stream_position()?;
        let meta = serde_json::to_vec(meta)?;
        let mut tail: Vec<u8> = bytemuck::cast_slice(&checksums).to_vec();
        let meta_at = checksums_at + tail.len() as u64;
        tail.extend(meta);
        let checksum = crc32fast::hash(&tail);
        tail.extend(checksums_at.to_le_bytes());
        tail.extend(meta_at.to_le_bytes());
        tail.extend(checksum.to_le_bytes());
        tail.extend(VERSION.to_le_bytes());
        tail.extend(MAGIC);
        self.file.write_all(&tail)?;
        self.file.flush()
    }
}

/// Checksums of a file that is complete up to the checksums, read back in order and in constant memory.
fn checksums_of(file: &File) -> std::io::Result<Vec<u32>> {
    let mut file = file.try_clone()?;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; CHUNK];
    let mut checksums = Vec::with_capacity(end as usize / CHUNK + 1);
    let mut left = end;
    while left > 0 {
        let length = left.min(CHUNK as u64) as usize;
        file.read_exact(&mut buffer[..length])?;
        checksums.push(crc32fast::hash(&buffer[..length]));
        left -= length as u64;
    }
    Ok(checksums)
}

/// A complete cache, mapped into memory.
#[derive(Debug)]
pub(super) struct Cache {
    map: Mmap,
    pub(super) meta: Meta,
    /// Where the document records start; they end where the checksums start.
    records_at: usize,
    checksums_at: usize,
}

/// Why a file is not a complete cache.
pub(super) type Damage = String;

impl Cache {
    /// Maps and checks a cache.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn open(path: &Path, key: &str) -> Result<Self, Damage> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        // SAFETY: the file is private to the cache and never written in place: caches are renamed into place whole.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| error.to_string())?;
        let cache = Self::parse(map)?;
        if cache.meta.key != key {
            return Err("it belongs to other text".into());
        }
        cache.check()?;
        Ok(cache)
    }

    fn parse(map: Mmap) -> Result<Self, Damage> {
        let cut_short = || Damage::from("it is cut short");
        let trailer_at = map.len().checked_sub(TRAILER).filter(|&at| at >= HEADER).ok_or_else(cut_short)?;
        let trailer = &map[trailer_at..];
        let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| trailer[at + i])) as usize;
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| trailer[at + i]));
        let (checksums_at, meta_at) = (u64_at(0), u64_at(8));
        if &trailer[24..] != MAGIC || !(HEADER..=meta_at).contains(&checksums_at) || meta_at > trailer_at {
            return Err(cut_short());
        }
        if u32_at(20) != VERSION {
            return Err(format!("it has version {} of the format, not {VERSION}", u32_at(20)));
        }
        if crc32fast::hash(&map[checksums_at..trailer_at]) != u32_at(16) {
            return Err("its index does not match its checksum".into());
        }
        let meta: Meta = serde_json::from_slice(&map[meta_at..trailer_at]).map_err(|error| error.to_string())?;
        let tokens = meta.statistics.tokens as usize;
        let records_at = (HEADER + tokens * meta.width).next_multiple_of(8);
        let records = meta.statistics.documents as usize * size_of::<Row>();
        if !matches!(meta.width, 2 | 4) || records_at + records != checksums_at {
            return Err("its parts do not have the sizes it says".into());
        }
        Ok(Self { map, meta, records_at, checksums_at })
    }

    /// Compares checksums: all of a small cache, all records and some of the tokens of a large one.
    fn check(&self) -> Result<(), Damage> {
        let body = &self.map[..self.checksums_at];
        let chunks = body.len().div_ceil(CHUNK);
        let stride = chunks / CHECKED + 1;
        let expected = |chunk: usize| {
            let at = self.checksums_at + 4 * chunk;
            u32::from_le_bytes(std::array::from_fn(|i| self.map[at + i]))
        };
        let damaged = (0..chunks)
            .into_par_iter()
            .filter(|chunk| chunk % stride == 0 || *chunk >= self.records_at / CHUNK)
            .find_any(|&chunk| {
                let end = body.len().min((chunk + 1) * CHUNK);
                crc32fast::hash(&body[chunk * CHUNK..end]) != expected(chunk)
            });
        match damaged {
            Some(chunk) => Err(format!("its bytes from {} on do not match their checksum", chunk * CHUNK)),
            None => Ok(()),
        }
    }

    pub(super) fn record(&self, index: usize) -> Record {
        let rows: &[Row] = bytemuck::cast_slice(&self.map[self.records_at..self.checksums_at]);
        rows.get(index).copied().map(Record::of).unwrap_or_default()
    }

    /// The bytes of tokens `start..end`, none where the range is not one of this cache.
    pub(super) fn tokens(&self, start: u64, end: u64) -> &[u8] {
        let at = |token: u64| HEADER + (token as usize).min(self.records_at) * self.meta.width;
        let tokens_end = HEADER + self.meta.statistics.tokens as usize * self.meta.width;
        self.map[..tokens_end].get(at(start)..at(end)).unwrap_or(&self.map[HEADER..HEADER])
    }
}
