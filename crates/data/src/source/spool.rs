//! What can be read only once, kept as a file: so it can be hashed, tokenized, and read again when a run resumes.

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use percept_fault::{Fault, IoContext, Result, path_text};
use sha2::{Digest, Sha256};

use crate::mark::tagged_folder;
use crate::stream::Stream;
use crate::{DataConfig, Format, Phase, Progress, SourceConfig, Watch};
use percept_files::remove_abandoned;

/// Bytes read at a time: as much as a pipe holds.
const CHUNK: usize = 1 << 16;
/// How often a reader that waits looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// The bytes of a stream, in order.
type Chunks = Receiver<std::io::Result<Vec<u8>>>;

/// The same configuration with every source that can be read only once (`-`, a pipe, a device, `/dev/fd/3`) replaced by a file in
/// `folder` that holds what was read. A file is named by its content, so equal text is kept once. Where all sources are files and
/// folders, nothing is written.
///
/// Once `watch` says stop, also while a pipe gives nothing, reading ends.
///
/// # Errors
/// Usage: a source is empty, a socket, or a folder behind a descriptor. Environment: it cannot be read, or `folder` not be written.
/// Interrupted: `watch` said stop.
pub fn keep_streams(config: &DataConfig, folder: &Path, watch: &mut dyn Watch<'_>) -> Result<DataConfig> {
    Spool { place: Place::Folder(folder), stop: watch.stop() }.keep_all(config, watch)
}

/// The same for who has no folder of its own: the copies are in the cache.
pub(crate) fn keep_in_cache(config: &DataConfig, cache: &Path, watch: &mut dyn Watch<'_>) -> Result<DataConfig> {
    Spool { place: Place::Cache(cache), stop: watch.stop() }.keep_all(config, watch)
}

/// Where copies of streams go, and what may end the wait for them.
struct Spool<'a> {
    place: Place<'a>,
    stop: &'a AtomicBool,
}

/// A folder that is made when there is something to keep.
enum Place<'a> {
    Folder(&'a Path),
    /// In the folder of a cache.
    Cache(&'a Path),
}

impl Place<'_> {
    /// What names the folder.
    fn key(&self) -> &'static str {
        match self {
            Place::Folder(_) => "--run",
            Place::Cache(_) => "data.cache",
        }
    }
}

impl Spool<'_> {
    fn keep_all(&self, config: &DataConfig, watch: &mut dyn Watch<'_>) -> Result<DataConfig> {
        let mut config = config.clone();
        // A stream that is named twice is still read once; who may be named twice is decided for files.
        let mut kept: Vec<(Stream, PathBuf)> = Vec::new();
        for source in [&mut config.sources, &mut config.validation, &mut config.test].into_iter().flatten() {
            let Some(stream) = Stream::of(&source.path)? else { continue };
            let path = match kept.iter().find(|(other, _)| stream.is(other)) {
                Some((_, path)) => path.clone(),
                None => self.keep(&stream, source.format, watch)?,
            };
            let name = source.name.clone().unwrap_or_else(|| stream.name());
            let path_text = path_text(&path, self.place.key())?.to_owned();
            *source = SourceConfig { path: path_text, name: Some(name), ..source.clone() };
            kept.push((stream, path));
        }
        Ok(config)
    }

    /// Reads a stream to its end into a file; its path.
    fn keep(&self, stream: &Stream, format: Format, watch: &mut dyn Watch<'_>) -> Result<PathBuf> {
        let name = stream.name();
        watch.progress(Progress::Note(format!("reading {name} to its end")));
        let ending = match (stream.ending(), format) {
            (Some(ending), _) => ending,
            (None, Format::Jsonl) => "jsonl".into(),
            (None, _) => "txt".into(),
        };
        self.write(&name, &ending, &chunks(stream.clone()), watch)
    }

    /// Writes what comes into a file named by its content.
    fn write(&self, name: &str, ending: &str, chunks: &Chunks, watch: &mut dyn Watch<'_>) -> Result<PathBuf> {
        let folder = match self.place {
            Place::Folder(folder) => folder.to_owned(),
            Place::Cache(cache) => tagged_folder(cache, "stdin")?,
        };
        let text = folder.join("text");
        remove_abandoned(&text);
        let mut file = percept_files::begin(&text)?;
        let (mut hash, mut done) = (Sha256::new(), 0);
        while let Some(chunk) = self.next(name, chunks)? {
            hash.update(&chunk);
            file.write_all(&chunk).at("write in", &folder)?;
            done += chunk.len() as u64;
            watch.progress(Progress::Working { phase: Phase::Receiving, done, total: None });
        }
        if done == 0 {
            return Err(Fault::usage(format!("{name} is empty")).hint("pipe text into the command, or name a file"));
        }
        let path = folder.join(format!("{}.{ending}", &percept_files::hex(&hash.finalize())[..32]));
        // An equal file keeps its time stamp, and so its place in the token cache's index.
        if !path.exists() {
            percept_files::finish(file, &path)?;
        }
        Ok(path)
    }

    /// The next bytes; `None` at the end.
    fn next(&self, name: &str, chunks: &Chunks) -> Result<Option<Vec<u8>>> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Fault::interrupted(format!("interrupted while reading {name}")));
            }
            match chunks.recv_timeout(PATIENCE) {
                Ok(Ok(chunk)) => return Ok(Some(chunk)),
                Ok(Err(error)) => return Err(Fault::environment(format!("cannot read {name}")).because(error)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

/// What a stream gives, read by a thread of its own: opening and reading may wait for ever, and nothing else can end that.
fn chunks(stream: Stream) -> Chunks {
    let (sender, receiver) = sync_channel(4);
    std::thread::spawn(move || {
        let mut reader = match stream.open() {
            Ok(reader) => reader,
            Err(error) => return drop(sender.send(Err(error))),
        };
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = match reader.read(&mut chunk) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return drop(sender.send(Err(error))),
            };
            chunk.truncate(read);
            // Nobody listens any more: the work was stopped.
            if sender.send(Ok(chunk)).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::testing::{Folder, pipe, words};

    fn keep(folder: &Folder, sources: &[&str]) -> Result<DataConfig> {
        let config = DataConfig::from_paths(sources.iter().copied());
        keep_streams(&config, Path::new(&folder.path("kept")), &mut |_| {})
    }

    /// A pipe of that name to which `text` is written.
    fn written(folder: &Folder, name: &str, text: &'static str) -> String {
        let path = folder.path(name);
        pipe(&path);
        let to = path.clone();
        std::thread::spawn(move || fs::write(to, text));
        path
    }

    #[test]
    fn the_text_of_a_pipe_is_kept_once_per_content() {
        let folder = Folder::with(&[("a.txt", b"a")]);
        let (first, second) = (written(&folder, "one", "some text"), written(&folder, "two", "some text"));
        let file = folder.path("a.txt");
        let config = keep(&folder, &[&first, &file, &second]).unwrap();
        let [one, untouched, two] = &config.sources[..] else { panic!("{config:?}") };
        assert_eq!((fs::read(&one.path).unwrap(), &one.path), (b"some text".to_vec(), &two.path));
        assert_eq!((one.label(), two.label(), &untouched.path), (first.as_str(), second.as_str(), &file));
        assert_eq!(fs::read_dir(folder.path("kept")).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_pipe_is_read_by_the_ending_of_its_name() {
        let folder = Folder::with(&[("a.txt", b"a")]);
        let config =
            keep(&folder, &[&written(&folder, "books.jsonl.gz", "x"), &written(&folder, ".plain", "y")]).unwrap();
        assert!(config.sources[0].path.ends_with(".jsonl.gz"), "{config:?}");
        assert!(config.sources[1].path.ends_with(".txt"), "{config:?}");
    }

    #[test]
    fn a_pipe_that_is_named_twice_is_read_once() {
        let folder = Folder::with(&[("a.txt", b"a")]);
        let pipe = written(&folder, "pipe", "text");
        std::os::unix::fs::symlink("pipe", folder.path("link")).unwrap();
        let config = keep(&folder, &[&pipe, &folder.path("link")]).unwrap();
        assert_eq!(config.sources[0].path, config.sources[1].path);
    }

    #[test]
    fn a_descriptor_is_read_even_where_it_is_a_file() {
        let folder = Folder::with(&[("a.txt", b"some text")]);
        let file = fs::File::open(folder.path("a.txt")).unwrap();
        let config = keep(&folder, &[&format!("/dev/fd/{}", file.as_raw_fd())]).unwrap();
        assert_eq!(fs::read(&config.sources[0].path).unwrap(), b"some text");
        assert!(Path::new(&config.sources[0].path).starts_with(folder.path("kept")));
    }

    #[test]
    fn what_gives_no_text_is_refused() {
        let folder = Folder::with(&[("a.txt", b"a")]);
        let refused = |source: &str| {
            let fault = keep(&folder, &[source]).unwrap_err();
            assert!(fault.is_usage(), "{fault}");
            words(fault)
        };
        assert!(refused("/dev/null").contains("/dev/null is empty (pipe text into"));
        let _listener = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
        assert!(refused(&folder.path("socket")).contains("socket is a socket, which is no text"));
        let open = fs::File::open(folder.path("")).unwrap();
        let descriptor = format!("/dev/fd/{}", open.as_raw_fd());
        assert!(refused(&descriptor).contains("name the folder itself"));
        assert_eq!(fs::read_dir(folder.path("kept")).unwrap().count(), 0, "nothing is left");
    }

    /// Says stop when it is told something.
    struct StopsAtTheFirst<'a> {
        stop: &'a AtomicBool,
    }

    impl<'a> Watch<'a> for StopsAtTheFirst<'a> {
        fn progress(&mut self, progress: Progress) {
            assert!(matches!(progress, Progress::Note(_)), "{progress:?}");
            self.stop.store(true, Ordering::Relaxed);
        }

        fn stop(&self) -> &'a AtomicBool {
            self.stop
        }
    }

    #[test]
    fn waiting_for_a_pipe_can_be_ended() {
        let folder = Folder::with(&[("a.txt", b"a")]);
        pipe(&folder.path("silent"));
        let stop = AtomicBool::new(false);
        let config = DataConfig::from_paths([folder.path("silent")]);
        let mut watch = StopsAtTheFirst { stop: &stop };
        let fault = keep_streams(&config, Path::new(&folder.path("kept")), &mut watch).unwrap_err();
        assert_eq!(fault.exit_code(), 130, "{fault}");
        assert_eq!(fs::read_dir(folder.path("kept")).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn the_cache_keeps_streams_where_it_is_tagged() {
        let folder = Folder::with(&[("a.txt", b"a")]);
        let config = DataConfig::from_paths([written(&folder, "pipe", "text")]);
        let kept = keep_in_cache(&config, &folder.cache(), &mut |_| {}).unwrap();
        assert!(Path::new(&kept.sources[0].path).starts_with(folder.cache().join("stdin")));
        assert!(folder.cache().join("CACHEDIR.TAG").is_file());
    }
}
