//! Decompression on the way, by the ending of a name.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::GzDecoder;

/// Bytes asked of a decompressor at a time: always as many, so that what can be read before a break is always the same.
const STEP: usize = 1 << 14;
/// Bytes of compressed files that are read at a time.
const BUFFER: usize = 1 << 20;
/// The largest window of `zstd --long`, as a power of two.
const LONGEST_WINDOW: u32 = 31;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gz,
    Zst,
    Xz,
    Bz2,
}

/// The endings, and the first edition that decompresses them.
const ENDINGS: [(&str, Compression, u8); 4] = [
    (".gz", Compression::Gz, 1),
    (".zst", Compression::Zst, 1),
    (".xz", Compression::Xz, 2),
    (".bz2", Compression::Bz2, 2),
];

impl Compression {
    /// How a file of this name (in lower case) is compressed, and the name without that ending.
    pub(crate) fn of(name: &str, edition: u8) -> (Self, &str) {
        let known = ENDINGS.iter().filter(|(.., since)| *since <= edition);
        let found =
            known.into_iter().find_map(|&(ending, compression, _)| Some((compression, name.strip_suffix(ending)?)));
        found.unwrap_or((Self::None, name))
    }

    /// What `packed` holds.
    pub(crate) fn unpack<'r>(self, packed: impl Read + 'r) -> std::io::Result<Unpacked<'r>> {
        let garbage = Garbage::default();
        let buffered = BufReader::with_capacity(BUFFER, packed);
        let reader: Box<dyn Read + 'r> = match self {
            Self::None => Box::new(buffered),
            Self::Gz => Box::new(Steady::new(Gz::new(buffered, garbage.clone()))),
            Self::Zst => {
                let mut decoder = zstd::Decoder::with_buffer(buffered)?;
                decoder.window_log_max(LONGEST_WINDOW)?;
                Box::new(Steady::new(decoder))
            }
            Self::Xz => Box::new(Steady::new(lzma_rust2::XzReader::new(buffered, true))),
            Self::Bz2 => Box::new(Steady::new(bzip2::bufread::MultiBzDecoder::new(buffered))),
        };
        Ok(Unpacked { reader, garbage })
    }
}

/// Whether something stood after the end of the archive that belongs to none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Garbage(Rc<Cell<bool>>);

/// Decompressed bytes.
pub(crate) struct Unpacked<'r> {
    reader: Box<dyn Read + 'r>,
    garbage: Garbage,
}

impl Unpacked<'_> {
    /// Whether bytes after the end of the archive were ignored; known once all was read.
    pub(crate) fn garbage(&self) -> Garbage {
        self.garbage.clone()
    }
}

impl Garbage {
    pub(crate) fn is_there(&self) -> bool {
        self.0.get()
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// The members of a gzip file, one after the other. As `gzip` does, it takes zeros after the last member for padding, and
/// ignores anything else there.
struct Gz<R: BufRead> {
    /// `None` at the end.
    member: Option<GzDecoder<R>>,
    garbage: Garbage,
}

impl<R: BufRead> Gz<R> {
    fn new(packed: R, garbage: Garbage) -> Self {
        Self { member: Some(GzDecoder::new(packed)), garbage }
    }
}

impl<R: BufRead> Read for Gz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            match after_member(&mut rest)? {
                After::Member => self.member = Some(GzDecoder::new(rest)),
                After::Garbage => self.garbage.0.set(true),
                After::Nothing => {}
            }
        }
        Ok(0)
    }
}

/// What follows a member of a gzip file.
enum After {
    Member,
    Nothing,
    Garbage,
}

fn after_member(rest: &mut impl BufRead) -> std::io::Result<After> {
    match rest.fill_buf()? {
        [] => return Ok(After::Nothing),
        // A buffer may end after the first byte of the next member.
        [0x1f] | [0x1f, 0x8b, ..] => return Ok(After::Member),
        _ => {}
    }
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(After::Nothing);
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(After::Garbage);
        }
        let length = bytes.len();
        rest.consume(length);
    }
}

/// Reads in steps of [`STEP`] bytes whatever is asked for, and gives all that came before an error.
struct Steady<R> {
    inner: R,
    buffer: Vec<u8>,
    at: usize,
    error: Option<std::io::Error>,
}

impl<R: Read> Steady<R> {
    fn new(inner: R) -> Self {
        Self { inner, buffer: Vec::with_capacity(STEP), at: 0, error: None }
    }

    fn fill(&mut self) {
        self.buffer.resize(STEP, 0);
        (self.at, self.error) = (0, None);
        let mut filled = 0;
        while filled < STEP {
            match self.inner.read(&mut self.buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        self.buffer.truncate(filled);
    }
}

impl<R: Read> Read for Steady<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.buffer.len() {
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            self.fill();
        }
        let length = buffer.len().min(self.buffer.len() - self.at);
        buffer[..length].copy_from_slice(&self.buffer[self.at..self.at + length]);
        self.at += length;
        match self.error.take_if(|_| length == 0) {
            Some(error) => Err(error),
            None => Ok(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What can be read, whether it ends well, and whether something was ignored.
    fn unpacked(compression: Compression, packed: &[u8]) -> (Vec<u8>, bool, bool) {
        let mut unpacked = match compression.unpack(packed) {
            Ok(unpacked) => unpacked,
            Err(_) => return (vec![], false, false),
        };
        let mut text = Vec::new();
        let whole = unpacked.read_to_end(&mut text).is_ok();
        (text, whole, unpacked.garbage().is_there())
    }

    fn packed(compression: Compression, text: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => text.to_vec(),
            Compression::Gz => gz(text),
            Compression::Zst => zstd::encode_all(text, 1).unwrap(),
            Compression::Xz => {
                let options = lzma_rust2::XzOptions::default();
                let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Bz2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    /// Text that does not compress well.
    fn text() -> Vec<u8> {
        (0..60_000_u32).flat_map(|i| format!("{:x} ", i.wrapping_mul(2_654_435_761)).into_bytes()).collect()
    }

    const ALL: [Compression; 4] = [Compression::Gz, Compression::Zst, Compression::Xz, Compression::Bz2];

    #[test]
    fn one_and_several_members_give_their_text() {
        for compression in ALL {
            let one = packed(compression, &text());
            assert!(unpacked(compression, &one) == (text(), true, false), "{compression:?}");
            let two = [one.clone(), packed(compression, b"more")].concat();
            assert!(
                unpacked(compression, &two) == ([text(), b"more".to_vec()].concat(), true, false),
                "{compression:?}"
            );
        }
    }

    #[test]
    fn what_stands_before_a_break_is_given_and_the_break_told() {
        for compression in ALL {
            let mut cut = packed(compression, &text());
            cut.truncate(cut.len() - cut.len() / 8);
            let (start, whole, _) = unpacked(compression, &cut);
            assert!(!whole, "{compression:?}");
            // bzip2 and zstd give whole blocks only.
            assert!(text().starts_with(&start) && (start.len() > 100_000 || compression == Compression::Bz2));
            assert!(unpacked(compression, &cut).0 == start);
        }
    }

    #[test]
    fn padding_and_garbage_after_gzip_members_are_as_for_gzip() {
        let with = |rest: &[u8]| unpacked(Compression::Gz, &[gz(b"text"), rest.to_vec()].concat());
        let text = b"text".to_vec();
        assert_eq!(with(&[0; 1]), (text.clone(), true, false));
        assert_eq!(with(&[0; 3000]), (text.clone(), true, false));
        assert_eq!(with(b"\0\0garbage"), (text.clone(), true, true));
        assert_eq!(with(b"garbage"), (text.clone(), true, true));
        assert_eq!(with(b"\x1fgarbage"), (text, true, true));
        assert!(!unpacked(Compression::Gz, b"").1);
        assert!(!unpacked(Compression::Gz, b"garbage").1);
    }

    #[test]
    fn zstd_reads_long_windows_and_passes_over_skippable_frames() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.window_log(30).unwrap();
        encoder.write_all(&text()).unwrap();
        let long = encoder.finish().unwrap();
        assert!(unpacked(Compression::Zst, &long) == (text(), true, false));
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frames = [skippable.clone(), packed(Compression::Zst, b"one"), skippable, packed(Compression::Zst, b"two")];
        assert_eq!(unpacked(Compression::Zst, &frames.concat()), (b"onetwo".to_vec(), true, false));
    }

    #[test]
    fn endings_are_known_by_edition() {
        assert_eq!(Compression::of("a.csv.gz", 1), (Compression::Gz, "a.csv"));
        assert_eq!(Compression::of("a.xz", 1), (Compression::None, "a.xz"));
        assert_eq!(Compression::of("a.xz", 2), (Compression::Xz, "a"));
        assert_eq!(Compression::of("gz", 2), (Compression::None, "gz"));
    }
}
