use std::io::Write;
use std::ops::ControlFlow;

use percept_fault::Fault;

use super::*;
use crate::testing::{Folder, words};
use crate::{DataConfig, Format, SourceConfig};

fn list_of(config: &DataConfig) -> Result<(Vec<Input>, PassedOver)> {
    let mut passed_over = PassedOver::default();
    let inputs = list(&config.sources[0], &Filter::new(config)?, &mut passed_over)?;
    Ok((inputs, passed_over))
}

fn listed(config: &DataConfig) -> (Vec<Input>, PassedOver) {
    list_of(config).unwrap()
}

fn refused(config: &DataConfig) -> Fault {
    list_of(config).unwrap_err()
}

fn names(config: &DataConfig) -> Vec<String> {
    let inputs = listed(config).0;
    let folder = format!("{}/", config.sources[0].path.trim_end_matches('/'));
    inputs.iter().map(|input| input.name.replace(&folder, "")).collect()
}

/// Every document as text, bad ones as their cause.
fn documents(config: &DataConfig) -> Vec<String> {
    let inputs = listed(config).0;
    let (mut documents, mut text) = (Vec::new(), Vec::new());
    let _ = Reading::new(&inputs, Pieces::Cut)
        .run(&mut |step| {
            match step {
                Step::Begin { .. } => text.clear(),
                Step::Piece(piece) => text.extend(piece),
                Step::End { .. } => documents.push(String::from_utf8(text.clone()).unwrap()),
                Step::Bad(_, cause) => documents.push(cause),
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    documents
}

fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn folders_are_read_in_the_order_of_names_without_hidden_files() {
    let folder =
        Folder::with(&[("b.txt", b"b"), ("a/2.md", b"2"), ("a/1.txt", b"1"), (".git/x.txt", b"x"), (".y", b"y")]);
    assert_eq!(names(&folder.config()), ["a/1.txt", "a/2.md", "b.txt"]);
}

#[test]
fn globs_choose_files() {
    let folder = Folder::with(&[("b.txt", b"b"), ("a/2.md", b"2"), ("a/deep/1.txt", b"1"), ("c.rs", b"c")]);
    let choose = |include: &[&str], exclude: &[&str]| {
        let own = |globs: &[&str]| globs.iter().map(|glob| glob.to_string()).collect();
        names(&DataConfig { include: own(include), exclude: own(exclude), ..folder.config() })
    };
    assert_eq!(choose(&["*.txt"], &[]), ["a/deep/1.txt", "b.txt"]);
    assert_eq!(choose(&["a/*.md", "*.rs"], &[]), ["a/2.md", "c.rs"]);
    assert_eq!(choose(&[], &["a/**"]), ["b.txt", "c.rs"]);
    assert_eq!(choose(&["*.{txt,md}"], &["2.*"]), ["a/deep/1.txt", "b.txt"]);
    let config = DataConfig { include: vec!["*.html".into()], ..folder.config() };
    let fault = refused(&config);
    assert!(words(fault).contains("data.include or data.exclude leaves none"));
    let config = DataConfig { exclude: vec!["[".into()], ..folder.config() };
    assert!(Filter::new(&config).err().unwrap().to_string().starts_with("data.exclude: "));
}

#[test]
fn compressed_files_read_as_plain_ones() {
    let long = "some words ".repeat(100_000);
    let members = [gz(&long.as_bytes()[..500_000]), gz(&long.as_bytes()[500_000..])].concat();
    let folder = Folder::with(&[
        ("1.txt", long.as_bytes()),
        ("2.txt.gz", &members),
        ("3.txt.zst", &zstd::encode_all(long.as_bytes(), 1).unwrap()),
        ("4.jsonl.gz", &gz(b"{\"text\": \"one\"}\n\n{\"text\": \"two\"}")),
        ("5.JSONL.ZST", &zstd::encode_all(&b"\xef\xbb\xbf{\"text\": \"three\"}\r\n"[..], 1).unwrap()),
    ]);
    assert_eq!(documents(&folder.config()), [&long, &long, &long, "one", "two", "three"]);
}

#[test]
fn ranges_take_the_same_bytes_of_plain_and_compressed_files() {
    let text: String = (0..50_000).map(|i| format!("{i} ")).collect();
    let folder = Folder::with(&[("1.txt", text.as_bytes()), ("2.txt.gz", &gz(text.as_bytes()))]);
    let config = folder.config();
    let (inputs, _) = listed(&config);
    let ranges = [100_000..200_123, 100_000..200_123];
    let mut texts = vec![];
    let _ = Reading { ranges: Some(&ranges), ..Reading::new(&inputs, Pieces::Cut) }
        .run(&mut |step| {
            match step {
                Step::Begin { from, .. } => texts.push((from, Vec::new())),
                Step::Piece(piece) => texts.last_mut().unwrap().1.extend(piece),
                other => assert_eq!(other, Step::End { scored_from: 0 }),
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let expected = (100_000, text.as_bytes()[100_000..200_123].to_vec());
    assert!(texts == [expected.clone(), expected]);
}

#[test]
fn records_take_their_text_from_the_key_of_the_source() {
    let folder = Folder::with(&[("a.txt", b"{\"body\": \"x\"}\n{\"body\": 2}\n")]);
    let mut config = folder.config_of(&["a.txt"]);
    config.sources[0] =
        SourceConfig { format: Format::Jsonl, text_key: Some("body".into()), ..config.sources[0].clone() };
    assert_eq!(documents(&config), ["x", "the value of `body` is not a string"]);
}

#[test]
fn damaged_archives_are_bad_documents() {
    let mut cut_short = gz(&b"text ".repeat(1000));
    cut_short.truncate(40);
    let folder = Folder::with(&[("1.gz", &cut_short), ("2.zst", b"no zst"), ("3.txt", b"fine")]);
    let documents = documents(&folder.config());
    assert_eq!((documents.len(), documents[2].as_str()), (3, "fine"));
    assert!(!documents[0].starts_with("text") && !documents[1].starts_with("no"), "{documents:?}");
}

#[test]
fn a_missing_path_suggests_a_near_one() {
    let folder = Folder::with(&[("books.txt", b"b")]);
    let config = folder.config_of(&["bokos.txt"]);
    let fault = refused(&config);
    assert_eq!(fault.exit_code(), 3);
    let words = words(fault);
    assert!(words.contains("no such file or folder: ") && words.contains("books.txt`?"), "{words}");
}

#[test]
fn a_named_file_goes_by_its_name() {
    let folder = Folder::with(&[("a.txt", b"a")]);
    let mut config = folder.config_of(&["a.txt"]);
    config.sources[0].name = Some("standard input".into());
    assert_eq!(names(&config), ["standard input"]);
}
