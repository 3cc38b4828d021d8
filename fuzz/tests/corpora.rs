//! The corpora, and a few hundred changes of each seed, on any toolchain: what `cargo fuzz` does for long and with a map.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;

use percept_fault::Result;

/// Refuses what no file of these sizes can need, as it would be with a length that was believed.
struct Modest;

/// Bytes of one allocation.
const MOST: usize = 256 << 20;

// SAFETY: the system's allocator, or nothing.
unsafe impl GlobalAlloc for Modest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Modest = Modest;

/// Numbers that look random, the same ones every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }

    /// A seed with some bytes changed, cut out, repeated or put in.
    fn changed(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            // Headers are at the beginning.
            let length = bytes.len();
            let at = if self.below(2) == 0 { self.below(length) } else { self.below(length.min(512)) };
            let end = (at + 1 + self.below(16)).min(bytes.len());
            const PIECES: [&[u8]; 8] =
                [b"-1", b"99999999999999999999", b"1e999", b"null", b"[[", b"\"", b"\xff\xfe", b"0"];
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.splice(at..at, seed[at.min(seed.len())..end.min(seed.len())].to_vec()).for_each(drop),
                3 => bytes.splice(at..at, PIECES[self.below(8)].iter().copied()).for_each(drop),
                4 => bytes.splice(at..end, PIECES[self.below(8)].iter().copied()).for_each(drop),
                _ => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << self.below(8)),
            }
        }
        bytes
    }
}

/// Runs a target over its corpus, whose seeds it takes, and over `changes` changes of each.
fn check(name: &str, changes: usize, target: fn(&[u8]) -> Result<()>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(name);
    let mut seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    let mut random = Random(1);
    for path in seeds {
        let seed = std::fs::read(&path).unwrap();
        target(&seed)
            .unwrap_or_else(|fault| panic!("{}: {fault}; cargo run --bin seeds writes it anew", path.display()));
        for change in 0..changes {
            let bytes = random.changed(&seed);
            // Where the target panics, the bytes are kept for `cargo fuzz run`.
            let crash = std::env::temp_dir().join(format!("percept-fuzz-{name}-{change}"));
            std::fs::write(&crash, &bytes).unwrap();
            if let Err(fault) = target(&bytes) {
                assert!(fault.kind() != percept_fault::Kind::Internal, "{}: {fault}", crash.display());
            }
            std::fs::remove_file(crash).unwrap();
        }
    }
}

#[test]
fn states() {
    check("state", 400, percept_fuzz::state);
}

#[test]
fn checkpoints() {
    check("checkpoint", 60, percept_fuzz::checkpoint);
}

#[test]
fn tokenizers() {
    check("tokenizer", 400, percept_fuzz::tokenizer);
}

#[test]
fn records() {
    check("jsonl", 200, percept_fuzz::jsonl);
}

#[test]
fn completions() {
    check("completion", 300, percept_fuzz::completion);
}

#[test]
fn requests() {
    check("request", 40, percept_fuzz::request);
}

#[test]
fn uploads() {
    check("upload", 200, percept_fuzz::upload);
}
