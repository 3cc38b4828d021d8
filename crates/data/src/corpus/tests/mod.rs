mod loss;

use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use proptest::prelude::*;

use super::format::Meta;
use super::*;
use crate::SkipReason;
use crate::testing::{Folder, corpus, texts, words};
use crate::tokenizer::kinds;

fn bpe() -> Tokenizer {
    Tokenizer::train_bpe(["the words of the text are the words, naïve 日本語 "; 20].into_iter(), 290).unwrap()
}

fn cache_files(folder: &Folder) -> Vec<PathBuf> {
    std::fs::read_dir(folder.cache().join("tokens")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn skipping(folder: &Folder) -> DataConfig {
    DataConfig { on_error: OnError::Skip, ..folder.config() }
}

#[test]
fn the_cache_holds_what_direct_tokenization_gives() {
    for tokenizer in [Tokenizer::bytes(), bpe()] {
        proptest!(ProptestConfig::with_cases(30), |(documents in prop::collection::vec("[a-e \\n日ü]{1,50}", 1..12))| {
            let folder = Folder::new();
            let (mut files, mut records) = (Vec::new(), String::new());
            for (index, text) in documents.iter().enumerate() {
                if index % 2 == 0 {
                    folder.write(&format!("{index:03}.txt"), text.as_bytes());
                    files.push(text.clone());
                } else {
                    records += &format!("{}\n", serde_json::json!({ "text": text }));
                }
            }
            folder.write("records.jsonl", records.as_bytes());
            let expected = files.into_iter().chain(documents.iter().skip(1).step_by(2).cloned());
            let (corpus, notes) = corpus(&folder.config(), &tokenizer).unwrap();
            prop_assert_eq!((corpus.documents(), notes.len(), corpus.is_lossless()), (documents.len(), 0, true));
            for (index, text) in expected.enumerate() {
                let document = corpus.document(index);
                prop_assert_eq!(document.tokens.to_vec(), tokenizer.encode(text.as_bytes()).unwrap());
                prop_assert_eq!(document.bytes, text.len() as u64);
                prop_assert_eq!(document.words, text.split_whitespace().count() as u64);
                prop_assert_eq!(document.chars, text.chars().count() as u64);
            }
            let statistics = corpus.statistics();
            prop_assert_eq!(statistics.bytes, documents.iter().map(|text| text.len() as u64).sum::<u64>());
            prop_assert!(corpus.document(documents.len()).tokens.is_empty());
        });
    }
}

#[test]
fn long_documents_keep_their_tokens_and_counts() {
    let text = "the words of the naïve text\n".repeat(40_000);
    let folder = Folder::with(&[("a.txt", b"first"), ("b.txt", text.as_bytes())]);
    for tokenizer in [Tokenizer::bytes(), bpe()] {
        let (corpus, _) = corpus(&folder.config(), &tokenizer).unwrap();
        let document = corpus.document(1);
        assert!(document.tokens.to_vec() == tokenizer.encode(text.as_bytes()).unwrap());
        assert_eq!((document.words, document.chars), (240_000, text.chars().count() as u64));
        assert!(document.name.ends_with("b.txt"));
        assert_eq!(document.tokens.range(3..5), document.tokens.to_vec()[3..5]);
    }
}

#[test]
fn a_second_start_reads_no_text() {
    let folder = Folder::with(&[("a.txt", b"text")]);
    let config = folder.config();
    corpus(&config, &Tokenizer::bytes()).unwrap();
    // Other content of the same size and time: the index trusts the time stamp, as documented.
    folder.write("a.txt", b"TEXT");
    let file = std::fs::File::options().write(true).open(folder.path("a.txt")).unwrap();
    let (first, _) = corpus(&config, &Tokenizer::bytes()).unwrap();
    assert_eq!(texts(&first, &Tokenizer::bytes()), ["TEXT"], "another time stamp is another text");
    let modified = file.metadata().unwrap().modified().unwrap();
    std::fs::write(folder.path("a.txt"), "tExT").unwrap();
    file.set_modified(modified).unwrap();
    let (second, _) = corpus(&config, &Tokenizer::bytes()).unwrap();
    assert_eq!(texts(&second, &Tokenizer::bytes()), ["TEXT"]);
}

#[test]
fn equal_content_is_tokenized_once_wherever_it_is() {
    let folder = Folder::with(&[("a/1.txt", b"text"), ("b/1.txt", b"text"), ("c/1.txt", b"texts")]);
    for (name, files) in [("a", 1), ("b", 1), ("c", 2)] {
        let (corpus, _) = corpus(&folder.config_of(&[name]), &Tokenizer::bytes()).unwrap();
        assert_eq!(corpus.document(0).name, folder.path(&format!("{name}/1.txt")));
        assert_eq!(cache_files(&folder).len(), files);
    }
    corpus(&folder.config_of(&["a"]), &bpe()).unwrap();
    assert_eq!(cache_files(&folder).len(), 3, "another tokenizer, another cache");
}

#[test]
fn another_reading_of_equal_content_is_another_text() {
    let folder = Folder::with(&[("a.jsonl", b"{\"text\": \"a\", \"body\": \"b\"}\n")]);
    let mut config = folder.config();
    for (key, text) in [("text", "a"), ("body", "b"), ("text", "a")] {
        config.text_key = key.into();
        assert_eq!(texts(&corpus(&config, &Tokenizer::bytes()).unwrap().0, &Tokenizer::bytes()), [text]);
    }
    config.sources[0] = crate::SourceConfig { format: crate::Format::Text, ..folder.path("a.jsonl").as_str().into() };
    assert!(texts(&corpus(&config, &Tokenizer::bytes()).unwrap().0, &Tokenizer::bytes())[0].starts_with('{'));
}

#[test]
fn damaged_caches_are_built_again_with_a_note() {
    let folder = Folder::with(&[("a.txt", "text ".repeat(1000).as_bytes()), ("b.txt", b"more")]);
    let config = folder.config();
    let (whole, _) = corpus(&config, &Tokenizer::bytes()).unwrap();
    let expected = texts(&whole, &Tokenizer::bytes());
    drop(whole);
    let path = cache_files(&folder)[0].clone();
    let content = std::fs::read(&path).unwrap();
    let flip = |at: usize| {
        let mut file = std::fs::File::options().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[content[at] ^ 4]).unwrap();
    };
    let cut = |length: usize| std::fs::write(&path, &content[..length]).unwrap();
    let damages: [&dyn Fn(); 9] = [
        &|| flip(64),
        &|| flip(5000),
        &|| flip(content.len() - 32 - 20),
        &|| flip(content.len() - 10),
        &|| flip(content.len() - 30),
        &|| cut(content.len() - 1),
        &|| cut(content.len() / 2),
        &|| cut(0),
        &|| std::fs::write(&path, [&content[..], b"x"].concat()).unwrap(),
    ];
    for (index, damage) in damages.iter().enumerate() {
        damage();
        let (rebuilt, notes) = corpus(&config, &Tokenizer::bytes()).unwrap();
        assert!(!notes.is_empty() && notes[0].contains("is damaged ("), "damage {index}: {notes:?}");
        assert_eq!(texts(&rebuilt, &Tokenizer::bytes()), expected);
        assert_eq!(std::fs::read(&path).unwrap(), content, "damage {index}");
    }
    assert_eq!(cache_files(&folder).len(), 1, "no partial file is left");
}

#[test]
fn bad_documents_stop_the_work_and_are_named() {
    let cases: [(&str, &[u8], &str, &str); 6] = [
        ("latin.txt", b"caf\xe9 au lait", "latin.txt: not valid UTF-8 at byte 3", "data.tokenizer = \"bytes\""),
        ("data.bin", b"ab\0cd", "data.bin: binary, not text: a NUL byte at byte 2", "data.binary = \"skip\""),
        (
            "r.jsonl",
            b"{\"text\": \"a\"}\n\n{\"text\" \"b\"}\n",
            "r.jsonl:3: not a JSON record: expected `:`",
            "mend the record",
        ),
        ("r.json", b"[\n{\"text\": \"a\"},\n{}]", "r.json, record 2: the record has no key `text`", "mend the record"),
        (
            "r.json",
            b"[{\"text\": \"a\"},\n]",
            "r.json, record 2: not JSON: trailing comma (line 2, column 1 of the file)",
            "mend the record",
        ),
        ("r.jsonl", b"{\"title\": \"a\"}\n", "r.jsonl:1: the record has no key `text`", "data.text_key"),
    ];
    for (name, content, message, hint) in cases {
        let folder = Folder::with(&[("a.txt", b"fine"), (name, content), ("z.txt", b"fine, too")]);
        let fault = corpus(&folder.config(), &bpe()).unwrap_err();
        assert_eq!(fault.exit_code(), 3);
        let words = words(fault);
        assert!(words.contains(message) && words.contains(hint), "{words}");
        let (corpus, notes) = corpus(&skipping(&folder), &bpe()).unwrap();
        assert_eq!(corpus.statistics().skipped_documents(), 1);
        assert!(notes[0].starts_with("1 document skipped (1 ") && notes[0].contains(message), "{notes:?}");
        let kept = texts(&corpus, &bpe());
        assert!(kept.contains(&"fine".into()) && kept.contains(&"fine, too".into()), "{kept:?}");
        let tokens = bpe().encode(kept.concat().as_bytes()).unwrap().len();
        assert!(corpus.statistics().tokens as usize >= tokens, "{} tokens", corpus.statistics().tokens);
    }
}

#[test]
fn text_that_breaks_late_is_taken_back_and_its_offset_counted_from_the_start() {
    let mut text = "plain words ".repeat(750_000).into_bytes();
    text.extend(b"\xff more words");
    let folder = Folder::with(&[("a.txt", b"fine"), ("b.txt", &text), ("c.txt", b"fine, too")]);
    let fault = corpus(&folder.config(), &bpe()).unwrap_err();
    assert!(fault.to_string().ends_with("b.txt: not valid UTF-8 at byte 9000000"), "{fault}");
    let (kept, _) = corpus(&skipping(&folder), &bpe()).unwrap();
    assert_eq!(texts(&kept, &bpe()), ["fine", "fine, too"]);
    assert_eq!(kept.statistics().skipped[&SkipReason::NotUtf8], 1);
    let (all, _) = corpus(&folder.config(), &Tokenizer::bytes()).unwrap();
    assert_eq!(all.document(1).tokens.len(), text.len(), "bytes take anything");
}

#[test]
fn empty_documents_are_left_out_and_counted() {
    let folder = Folder::with(&[
        ("__init__.py", b""),
        ("a.py", b"print()"),
        ("r.jsonl", b"{\"text\": \"\"}\n{\"text\": \"x\"}"),
    ]);
    let (corpus, notes) = corpus(&folder.config(), &bpe()).unwrap();
    assert_eq!((corpus.documents(), corpus.statistics().skipped[&SkipReason::Empty]), (2, 2));
    assert!(notes[0].starts_with("2 documents skipped (2 empty), the first: "), "{notes:?}");
    assert!(notes[0].contains("__init__.py: it has no text") && notes[0].contains("r.jsonl:1"), "{notes:?}");
}

/// A gzip file of `lines`, cut in the middle.
fn cut_short(lines: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(lines.as_bytes()).unwrap();
    let mut packed = encoder.finish().unwrap();
    packed.truncate(packed.len() / 2);
    packed
}

#[test]
fn a_document_that_breaks_off_stops_the_work_or_is_kept_up_to_the_break() {
    let lines: String = (0..60_000_u32).map(|i| format!("{:x}\n", i.wrapping_mul(2_654_435_761))).collect();
    let folder =
        Folder::with(&[("a.txt", b"fine"), ("b.txt.gz", &cut_short(&lines)), ("c.gz", b"none"), ("d.txt", b"fine")]);
    for tokenizer in [Tokenizer::bytes(), bpe()] {
        let fault = corpus(&folder.config(), &tokenizer).unwrap_err();
        assert!(words(fault).contains("b.txt.gz: "));
        let (kept, notes) = corpus(&skipping(&folder), &tokenizer).unwrap();
        let texts = texts(&kept, &tokenizer);
        assert_eq!((texts.len(), kept.statistics().skipped[&SkipReason::Unreadable]), (3, 1), "{notes:?}");
        assert!(lines.starts_with(&texts[1]) && texts[1].len() > lines.len() / 4, "{}", texts[1].len());
        let after = format!("b.txt.gz: after {} bytes: ", texts[1].len());
        assert!(
            notes[1].starts_with("1 file is read only up to where they break: ") && notes[1].contains(&after),
            "{notes:?}"
        );
        let first = DataConfig { edition: 1, ..skipping(&folder) };
        assert_eq!(corpus(&first, &tokenizer).unwrap().0.documents(), 2, "the first edition leaves it out");
        assert_eq!(corpus(&skipping(&folder), &tokenizer).unwrap().0.documents(), 3, "each has a cache of its own");
    }
}

#[test]
fn files_that_look_binary_are_counted_or_left_out() {
    let folder = Folder::with(&[("a.txt", b"fine"), ("b.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0")]);
    let (all, notes) = corpus(&folder.config(), &Tokenizer::bytes()).unwrap();
    assert_eq!((all.documents(), all.statistics().remarks[&crate::Remark::LooksBinary]), (2, 1));
    assert!(notes[0].contains("b.jpg: it looks like a file of the kind image/jpeg"), "{notes:?}");
    let config = DataConfig { binary: crate::Binary::Skip, ..folder.config() };
    for tokenizer in [Tokenizer::bytes(), bpe()] {
        let (some, notes) = corpus(&config, &tokenizer).unwrap();
        assert_eq!((some.documents(), some.statistics().skipped[&SkipReason::LooksBinary]), (1, 1));
        assert!(notes[0].contains("1 looks binary") && some.statistics().remarks.is_empty(), "{notes:?}");
    }
}

/// Stops the work at its first report of this phase.
struct Stops(crate::Phase, &'static std::sync::atomic::AtomicBool);

impl crate::Watch<'static> for Stops {
    fn progress(&mut self, progress: Progress) {
        if matches!(progress, Progress::Working { phase, .. } if phase == self.0) {
            self.1.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn stop(&self) -> &'static std::sync::atomic::AtomicBool {
        self.1
    }
}

#[test]
fn work_that_is_stopped_ends_and_leaves_nothing_half_written() {
    use std::sync::atomic::AtomicBool;
    static FLAGS: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];
    let folder = Folder::with(&[("a.txt", "some words ".repeat(1_100_000).as_bytes())]);
    for (phase, flag) in [crate::Phase::Hashing, crate::Phase::Tokenizing].into_iter().zip(&FLAGS) {
        let fault = Corpus::open(&folder.config(), &bpe(), &mut Stops(phase, flag)).unwrap_err();
        assert_eq!(fault.exit_code(), 130, "{fault}");
        let left = std::fs::read_dir(folder.cache().join("tokens")).into_iter().flatten().count();
        assert_eq!(left, 0, "{phase:?}");
    }
    let (corpus, _) = corpus(&folder.config(), &bpe()).unwrap();
    assert_eq!(corpus.statistics().bytes, 12_100_000);
}

#[test]
fn short_documents_are_left_out_as_configured() {
    let folder = Folder::with(&[("a.txt", b"short"), ("b.txt", b"long enough")]);
    let (corpus, notes) = corpus(&DataConfig { min_bytes: 6, ..folder.config() }, &Tokenizer::bytes()).unwrap();
    assert_eq!((corpus.documents(), corpus.statistics().skipped[&SkipReason::TooShort]), (1, 1));
    assert!(notes[0].contains("1 too short"), "{notes:?}");
}

#[cfg(unix)]
#[test]
fn unreadable_files_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with(&[("a.txt", b"fine"), ("b.txt", b"secret")]);
    std::os::unix::fs::symlink("nowhere", folder.path("c.txt")).unwrap();
    std::fs::set_permissions(folder.path("b.txt"), PermissionsExt::from_mode(0o000)).unwrap();
    // The administrator may read anything.
    let unreadable = if std::fs::read(folder.path("b.txt")).is_ok() { 1 } else { 2 };
    let fault = corpus(&folder.config(), &Tokenizer::bytes()).unwrap_err();
    assert!(words(fault).contains("check the file and its permissions"));
    let (corpus, _) = corpus(&skipping(&folder), &Tokenizer::bytes()).unwrap();
    assert_eq!(corpus.statistics().skipped[&SkipReason::Unreadable], unreadable);
}

#[test]
fn nothing_left_is_a_fault() {
    let folder = Folder::with(&[("a.txt", b"\xff"), ("b.txt", b"")]);
    let fault = corpus(&skipping(&folder), &bpe()).unwrap_err();
    let words = words(fault);
    assert!(words.starts_with("no document is left to read: 2 documents skipped (1 empty, 1 not UTF-8)"), "{words}");
    let folder = Folder::with(&[("a.jsonl", b"\n")]);
    assert!(corpus(&folder.config(), &bpe()).unwrap_err().to_string().contains("no document to read"));
    std::fs::create_dir_all(folder.path("none")).unwrap();
    let fault = corpus(&folder.config_of(&["none"]), &bpe()).unwrap_err();
    assert!(fault.to_string().contains("no file to read in folder"), "{fault}");
}

#[test]
fn an_unwritable_cache_is_named() {
    let folder = Folder::with(&[("a.txt", b"text"), ("file", b"")]);
    let config = DataConfig { cache: Some(folder.path("file").into()), ..folder.config_of(&["a.txt"]) };
    let fault = corpus(&config, &Tokenizer::bytes()).unwrap_err();
    assert!(fault.is_environment() && fault.to_string().contains("file/tokens"), "{fault}");
    assert!(fault.hint_text().unwrap().contains("data.cache"), "{fault:?}");
}

#[test]
fn synthetic_documents_mark_their_targets() {
    let folder = Folder::new();
    let config = DataConfig { sources: vec!["synthetic:copy?length=6&documents=20".into()], ..folder.config() };
    let (corpus, _) = corpus(&config, &Tokenizer::bytes()).unwrap();
    let document = corpus.document(3);
    assert_eq!((corpus.documents(), document.tokens.len(), document.tokens.scored_from()), (20, 13, 7));
    assert_eq!((document.bytes, document.words, document.chars, document.tokens.targets()), (6, 1, 6, 6));
    assert!(document.name.ends_with(":4"));
    let config_of = |source: &str| DataConfig { sources: vec![source.into()], ..folder.config() };
    let (mqar, _) =
        crate::testing::corpus(&config_of("synthetic:mqar?shortest=4&length=4"), &Tokenizer::bytes()).unwrap();
    let document = mqar.document(3);
    assert_eq!((document.tokens.len(), document.tokens.marked()), (17, crate::Targets { from: 9, every: 2 }));
    assert_eq!((document.bytes, document.chars, document.tokens.targets()), (4, 4, 4));
    let fault = crate::testing::corpus(&config, &bpe()).unwrap_err();
    assert!(fault.to_string().contains("needs data.tokenizer = \"bytes\""), "{fault}");
}
