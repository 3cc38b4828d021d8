use super::*;
use crate::Packing;
use crate::testing::{Folder, texts, words};

fn open(config: &DataConfig) -> Result<Dataset> {
    Dataset::open(config, None, &mut |_| {})
}

fn names(dataset: &Dataset, split: Split) -> Vec<String> {
    let name = |document: Document<'_>| document.name.rsplit('/').next().unwrap_or_default().to_string();
    dataset.evaluation(split).map(name).collect()
}

fn forty() -> Folder {
    let folder = Folder::new();
    for index in 0..40 {
        folder.write(&format!("{index:02}.txt"), format!("text {index}").as_bytes());
    }
    folder
}

#[test]
fn documents_are_split_by_a_seeded_choice() {
    let folder = forty();
    let mut config = folder.config();
    let dataset = open(&config).unwrap();
    let all = [Split::Train, Split::Validation, Split::Test].map(|split| names(&dataset, split));
    assert_eq!(all.each_ref().map(Vec::len), [36, 2, 2]);
    let mut together = all.concat();
    together.sort();
    together.dedup();
    assert_eq!(together.len(), 40, "each document is in one split");
    assert_eq!(names(&open(&config).unwrap(), Split::Test), all[2], "the same seed, the same choice");
    config.split.seed = 1;
    assert_ne!(names(&open(&config).unwrap(), Split::Test), all[2]);
    config.split = SplitConfig { validation: 0.25, test: 0.0, seed: 0 };
    let dataset = open(&config).unwrap();
    assert_eq!((dataset.size(Split::Validation).documents, dataset.size(Split::Test).documents), (10, 0));
    assert!(dataset.parts(Split::Test).is_empty());
}

#[test]
fn a_single_text_is_cut_at_ends_of_lines() {
    let text: String = (0..5000).map(|line| format!("line {line} naïve\n")).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    let record = serde_json::json!({ "text": text }).to_string();
    for (name, content) in
        [("a.txt", text.clone().into_bytes()), ("a.gz", encoder.finish().unwrap()), ("a.jsonl", record.into())]
    {
        let folder = Folder::with(&[(name, &content)]);
        let dataset = open(&folder.config_of(&[name])).unwrap();
        let parts = [Split::Train, Split::Validation, Split::Test].map(|split| {
            let [part] = dataset.parts(split) else { panic!("one part per split") };
            texts(&part.corpus, dataset.tokenizer()).concat()
        });
        assert_eq!(parts.concat(), text, "{name}");
        assert!(parts[1].starts_with("line ") && parts[2].starts_with("line "));
        let share = parts[0].len() as f64 / text.len() as f64;
        assert!((0.895..0.905).contains(&share) && parts[1].len().abs_diff(parts[2].len()) < 100, "{share}");
        let again = open(&folder.config_of(&[name])).unwrap();
        assert_eq!(again.size(Split::Test), dataset.size(Split::Test));
    }
}

#[test]
fn text_without_lines_is_cut_between_characters() {
    let folder = Folder::with(&[("a.txt", "語".repeat(1001).as_bytes()), ("b.txt", b"ab")]);
    let dataset = open(&folder.config()).unwrap();
    let sizes = [Split::Train, Split::Validation, Split::Test].map(|split| dataset.size(split));
    assert_eq!(sizes.iter().map(|size| size.bytes).sum::<u64>(), 3005);
    assert!(sizes.iter().all(|size| size.documents >= 1));
    for split in [Split::Train, Split::Validation, Split::Test] {
        for part in dataset.parts(split) {
            texts(&part.corpus, dataset.tokenizer());
        }
    }
}

#[test]
fn a_bad_document_among_few_is_reported_with_its_own_offsets() {
    let text = [&b"good line\n".repeat(100)[..], b"\xff\n"].concat();
    let folder = Folder::with(&[("a.txt", &text), ("b.txt", b"")]);
    let mut config = folder.config_of(&["b.txt"]);
    let fault = open(&config).unwrap_err();
    assert!(words(fault).contains("no document is left to read: 1 document skipped (1 empty)"));
    let tokenizer = Tokenizer::train_bpe(["good line\n"; 9].into_iter(), 260).unwrap();
    config = folder.config_of(&["a.txt"]);
    let fault = Dataset::open(&config, Some(tokenizer), &mut |_| {}).unwrap_err();
    assert!(fault.to_string().contains("a.txt: not valid UTF-8 at byte 1000"), "{fault}");
}

#[test]
fn folders_that_come_split_stay_so() {
    let folder = Folder::with(&[
        ("train/a.txt", b"train a"),
        ("train/b.txt", b"train b"),
        ("valid/c.txt", b"valid"),
        ("test/d.txt", b"test"),
        ("README", b"not text"),
    ]);
    let mut notes = Vec::new();
    let dataset = Dataset::open(&folder.config(), None, &mut |progress| {
        if let Progress::Note(note) = progress {
            notes.push(note);
        }
    })
    .unwrap();
    assert_eq!(names(&dataset, Split::Train), ["a.txt", "b.txt"]);
    assert_eq!(names(&dataset, Split::Validation), ["c.txt"]);
    assert_eq!(names(&dataset, Split::Test), ["d.txt"]);
    assert!(notes[0].contains("comes split"), "{notes:?}");
    let given = DataConfig { validation: vec![folder.path("test").as_str().into()], test: vec![], ..folder.config() };
    assert!(words(open(&given).unwrap_err()).contains("d.txt is named twice"), "held out twice");
}

#[test]
fn given_files_are_used_as_they_are() {
    let folder = forty();
    folder.write("other/v.txt", b"validation");
    let config = DataConfig {
        validation: vec![folder.path("other").as_str().into()],
        exclude: vec!["other/**".into()],
        ..folder.config()
    };
    let dataset = open(&config).unwrap();
    assert_eq!(names(&dataset, Split::Validation), ["v.txt"]);
    assert_eq!((dataset.size(Split::Train).documents, dataset.size(Split::Test).documents), (38, 2));
    let overlap = DataConfig { exclude: vec![], ..config };
    assert!(words(open(&overlap).unwrap_err()).contains("v.txt is named twice"));
}

#[test]
fn weighted_sources_are_parts_of_their_own() {
    let folder = Folder::new();
    for index in 0..10 {
        folder.write(&format!("a/{index}.txt"), format!("a {index}").as_bytes());
        folder.write(&format!("b/{index}.txt"), format!("b {index}").as_bytes());
    }
    let mut config = folder.config_of(&["a", "b"]);
    assert_eq!(open(&config).unwrap().parts(Split::Train).len(), 1);
    for (source, weight) in config.sources.iter_mut().zip([3.0, 1.0]) {
        source.weight = Some(weight);
        source.name = Some(format!("weight {weight}"));
    }
    let dataset = open(&config).unwrap();
    let parts: Vec<_> = dataset.parts(Split::Train).iter().map(|part| (part.name.as_str(), part.weight)).collect();
    assert_eq!(parts, [("weight 3", Some(3.0)), ("weight 1", Some(1.0))]);
    assert_eq!(dataset.size(Split::Test).documents, 2, "each source gives its share");
}

#[test]
fn the_books_split_as_they_come() {
    let books = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/books");
    if !Path::new(books).exists() {
        println!("skipped: {books} is absent");
        return;
    }
    let folder = Folder::new();
    let config = DataConfig { cache: Some(folder.cache()), ..DataConfig::from_paths([books]) };
    let dataset = open(&config).unwrap();
    let documents = [Split::Train, Split::Validation, Split::Test].map(|split| dataset.size(split).documents);
    assert_eq!(documents, [18, 2, 2]);
    assert_eq!((dataset.packing(), dataset.is_lossless()), (Packing::Document, true));
}

/// A novel of 20,000 lines and four texts of one line.
fn novel_and_lines() -> Folder {
    let novel: String = (0..20_000).map(|line| format!("line {line} of the novel\n")).collect();
    let folder = Folder::with(&[("novel.txt", novel.as_bytes())]);
    for name in ["a", "b", "c", "d"] {
        folder.write(&format!("{name}.txt"), b"a single line of text that is short\n");
    }
    folder
}

#[test]
fn a_novel_among_lines_is_cut() {
    let folder = novel_and_lines();
    for seed in 0..8 {
        let split = SplitConfig { seed, ..Default::default() };
        let dataset = open(&DataConfig { split, ..folder.config() }).unwrap();
        assert_eq!(names(&dataset, Split::Train).len(), 5);
        assert_eq!(
            (names(&dataset, Split::Validation), names(&dataset, Split::Test)),
            (vec!["novel.txt".into()], vec!["novel.txt".into()])
        );
        let [train, validation, test] =
            [Split::Train, Split::Validation, Split::Test].map(|split| dataset.size(split).bytes as f64);
        let total = train + validation + test;
        assert!(
            (validation / total - 0.05).abs() < 0.002 && (test / total - 0.05).abs() < 0.002,
            "{validation} {test}"
        );
    }
}

#[test]
fn large_shares_are_cut_where_no_document_is_larger_than_a_share() {
    let novel = |name: &str| -> String { (0..4000).map(|line| format!("line {line} of {name}, a novel\n")).collect() };
    let share = |folder: &Folder| {
        let split = SplitConfig { validation: 0.45, ..Default::default() };
        let mut warnings = Vec::new();
        let dataset = Dataset::open(&DataConfig { split, ..folder.config() }, None, &mut |progress| {
            if let Progress::Warning(warning) = progress {
                warnings.push(warning);
            }
        })
        .unwrap();
        assert_eq!(warnings, [""; 0]);
        let sizes = [Split::Train, Split::Validation, Split::Test].map(|split| dataset.size(split).bytes as f64);
        sizes.map(|bytes| (100.0 * bytes / sizes.iter().sum::<f64>()).round() as u64)
    };
    let three = Folder::with(&[("x.txt", novel("x").as_bytes())]);
    three.write("y.txt", novel("y").as_bytes());
    three.write("z.txt", novel("z").as_bytes());
    (0..7).for_each(|number| drop(three.write(&format!("{number}.txt"), b"a single line\n")));
    assert_eq!(share(&three), [50, 45, 5]);
    let one = Folder::with(&[("x.txt", novel("x").as_bytes())]);
    (0..300).for_each(|number| drop(one.write(&format!("{number}.txt"), "one of three lines\n".repeat(3).as_bytes())));
    assert_eq!(share(&one), [50, 45, 5]);
}

#[test]
fn the_first_edition_splits_by_number_and_is_warned_of() {
    let folder = novel_and_lines();
    let mut warnings = 0;
    for seed in 0..8 {
        let config = DataConfig { edition: 1, split: SplitConfig { seed, ..Default::default() }, ..folder.config() };
        let dataset = Dataset::open(&config, None, &mut |progress| {
            if let Progress::Warning(warning) = progress {
                assert!(warning.contains("splits unevenly by bytes"), "{warning}");
                warnings += 1;
            }
        })
        .unwrap();
        let documents = [Split::Train, Split::Validation, Split::Test].map(|split| dataset.size(split).documents);
        assert_eq!(documents, [3, 1, 1]);
    }
    assert_eq!(warnings, 8, "each holds out too much or too little");
}

#[test]
fn documents_that_are_left_out_don_t_count_for_the_split() {
    let folder = Folder::with(&[("text.txt", "some lines\n".repeat(999).as_bytes())]);
    for index in 0..6 {
        folder.write(&format!("{index}.txt"), b"");
    }
    let dataset = open(&folder.config()).unwrap();
    assert_eq!([Split::Train, Split::Validation, Split::Test].map(|split| names(&dataset, split).len()), [1, 1, 1]);
}

#[test]
fn a_single_text_that_breaks_off_is_a_fault_or_kept_with_a_note() {
    let lines: String = (0..60_000_u32).map(|i| format!("{:x}\n", i.wrapping_mul(2_654_435_761))).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, lines.as_bytes()).unwrap();
    let mut cut = encoder.finish().unwrap();
    cut.truncate(cut.len() / 2);
    let folder = Folder::with(&[("a.txt.gz", &cut)]);
    assert!(open(&folder.config()).unwrap_err().to_string().contains("a.txt.gz: "));
    let mut notes = Vec::new();
    let config = DataConfig { on_error: crate::OnError::Skip, ..folder.config() };
    let dataset = Dataset::open(&config, None, &mut |progress| notes.push(format!("{progress:?}"))).unwrap();
    let parts = [Split::Train, Split::Validation, Split::Test].map(|split| {
        let [part] = dataset.parts(split) else { panic!("one part per split") };
        texts(&part.corpus, dataset.tokenizer()).concat()
    });
    assert!(lines.starts_with(&parts.concat()) && parts.iter().all(|part| part.len() > 1000));
    assert_eq!(notes.iter().filter(|note| note.contains("up to where they break")).count(), 1, "{notes:?}");
}

#[cfg(unix)]
#[test]
fn a_file_counts_once_whatever_it_is_called() {
    use std::os::unix::fs::symlink;
    let folder = Folder::with(&[("texts/b.txt", b"text b"), ("texts/c.txt", b"text c")]);
    symlink("b.txt", folder.path("texts/a.txt")).unwrap();
    std::fs::hard_link(folder.path("texts/c.txt"), folder.path("texts/d.txt")).unwrap();
    symlink("texts", folder.path("link")).unwrap();
    let config = folder.config_of(&["texts", "texts/c.txt", "link"]);
    let mut notes = Vec::new();
    let dataset = Dataset::open(&config, None, &mut |progress| {
        if let Progress::Note(note) = progress {
            notes.push(note);
        }
    })
    .unwrap();
    // Two texts, which are cut.
    assert_eq!(names(&dataset, Split::Train), ["a.txt", "c.txt"]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("left out as a further name of what is read already: 7, the first: "), "{notes:?}");
    let corpus = crate::testing::corpus(&config, &Tokenizer::bytes()).unwrap().0;
    assert_eq!((corpus.documents(), corpus.passed_over().further_names.count), (2, 7));
}

#[cfg(unix)]
#[test]
fn a_file_has_one_use() {
    let folder = Folder::with(&[("a.txt", b"text a"), ("b.txt", b"text b")]);
    std::os::unix::fs::symlink("a.txt", folder.path("link.txt")).unwrap();
    let held_out =
        DataConfig { validation: vec![folder.path("link.txt").as_str().into()], ..folder.config_of(&["a.txt"]) };
    assert!(words(open(&held_out).unwrap_err()).contains("link.txt is named twice"));
    let mut weighted = folder.config_of(&["a.txt", "link.txt"]);
    weighted.sources.iter_mut().for_each(|source| source.weight = Some(1.0));
    assert!(words(open(&weighted).unwrap_err()).contains("link.txt is named twice"));
}

#[cfg(unix)]
#[test]
fn only_texts_are_parts_of_a_folder_that_comes_split() {
    let folder = Folder::with(&[("train.txt", b"train"), ("valid.txt", b"valid"), ("test/config.toml", b"")]);
    crate::testing::pipe(&folder.path("dev"));
    crate::mark_folder(Path::new(&folder.path("test")), crate::Made::Run).unwrap();
    let dataset =
        open(&DataConfig { split: SplitConfig { test: 0.0, ..SplitConfig::default() }, ..folder.config() }).unwrap();
    assert_eq!(names(&dataset, Split::Validation), ["valid.txt"]);
    assert_eq!(names(&dataset, Split::Test), [""; 0]);
}
