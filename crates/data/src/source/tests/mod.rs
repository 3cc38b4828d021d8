mod archives;

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use percept_fault::Fault;

use super::*;
use crate::testing::{Folder, words};
use crate::{DataConfig, Format, SourceConfig, Targets};

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

fn reading(inputs: &[Input]) -> Reading<'_> {
    static NEVER: AtomicBool = AtomicBool::new(false);
    Reading::new(inputs, Pieces::Cut, crate::Binary::Keep, &NEVER)
}

/// Every document as text, bad ones as their cause.
fn documents(config: &DataConfig) -> Vec<String> {
    let inputs = listed(config).0;
    let (mut documents, mut text) = (Vec::new(), Vec::new());
    let _ = reading(&inputs)
        .run(&mut |step| {
            match step {
                Step::Begin { .. } => text.clear(),
                Step::Piece(piece) => text.extend(piece),
                Step::End { .. } => documents.push(String::from_utf8(text.clone()).unwrap()),
                Step::Bad(_, cause) => documents.push(cause),
                Step::Broken(_) => documents.push(format!("{} ...", String::from_utf8(text.clone()).unwrap())),
                Step::Remark(remark, _) => documents.push(format!("{remark:?}")),
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

#[cfg(unix)]
#[test]
fn names_that_are_no_text_are_hidden_and_hold_records_as_others_are() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    for name in [&b".caf\xe9"[..], b"caf\xe9.jsonl", b"caf\xe9.txt"] {
        std::fs::write(folder.path().join(OsStr::from_bytes(name)), "{\"text\": \"a\"}\n").unwrap();
    }
    let config = DataConfig::from_paths([folder.path().display().to_string()]);
    assert_eq!(documents(&config), ["a", "{\"text\": \"a\"}\n"]);
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
    let _ = Reading { ranges: Some(&ranges), ..reading(&inputs) }
        .run(&mut |step| {
            match step {
                Step::Begin { from, .. } => texts.push((from, Vec::new())),
                Step::Piece(piece) => texts.last_mut().unwrap().1.extend(piece),
                other => assert_eq!(other, Step::End { targets: Targets::ALL }),
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
    let folder = Folder::with(&[("1.gz", &cut_short), ("2.zst", b"no zst"), ("3.txt", b"fine"), ("4.zip", b"no zip")]);
    let documents = documents(&folder.config());
    assert_eq!((documents.len(), documents[2].as_str()), (4, "fine"));
    assert!(documents[0].starts_with("text") && documents[0].ends_with(" ..."), "{documents:?}");
    assert!(documents[1] == " ..." && !documents[3].starts_with("no"), "{documents:?}");
}

#[test]
fn records_and_tables_are_read_by_their_ending() {
    let folder = Folder::with(&[
        ("1.json", b"\xef\xbb\xbf [{\"text\": \"a\", \"id\": [1]},\n {\"text\": \"b\"}]\n"),
        ("2.json", b"{\"id\": 3, \"text\": \"only\"}"),
        ("3.JSON", b"{\"text\": \"one\"}\n{\"text\": \"two\"}{\"text\": \"three\"}"),
        ("4.csv", b"\xef\xbb\xbfid,text\r\n1,\"with, comma\nand \"\"line\"\"\"\r\n2,plain\r\n"),
        ("5.tsv.gz", &gz(b"text\tid\nfirst\t1\nsecond, and more\t2")),
        ("6.json.zst", &zstd::encode_all(&b"[]"[..], 1).unwrap()),
        ("7.csv", b""),
    ]);
    let expected =
        ["a", "b", "only", "one", "two", "three", "with, comma\nand \"line\"", "plain", "first", "second, and more"];
    assert_eq!(documents(&folder.config()), expected);
    let first = DataConfig { edition: 1, ..folder.config() };
    assert_eq!(documents(&first).len(), 7, "the first edition reads texts only");
    assert!(documents(&first)[1].starts_with("{\"id\": 3"));
    let named = SourceConfig { format: Format::Csv, ..folder.path("2.json").as_str().into() };
    assert_eq!(documents(&DataConfig { sources: vec![named], ..folder.config() }).len(), 1);
}

#[test]
fn broken_records_and_tables_say_what_is_wrong() {
    let cases: [(&str, &[u8], &[&str]); 9] = [
        ("a.json", b"{\"name\": \"x\", \"version\": 1}", &["the record has no key `text`; its keys: name, version"]),
        (
            "a.json",
            b"[{\"text\": \"a\"}, 3, {\"text\": 4}]",
            &["a", "not a JSON record: it is no object", "the value of `text` is not a string"],
        ),
        (
            "a.json",
            b"[{\"text\": \"a\"},\n {\"text\": \"b\"",
            &["a", "not JSON: EOF while parsing an object (line 2, column 13 of the file)"],
        ),
        ("a.json", b"[{\"text\": \"a\"}] x", &["a", "not JSON: trailing characters (line 1, column 17 of the file)"]),
        ("a.json", b"just text", &["not JSON: expected value (line 1, column 1 of the file)"]),
        ("a.json", b" \n", &[]),
        ("a.csv", b"id,txt\n1,a\n", &["the table has no column `text`; did you mean `txt`?"]),
        ("a.csv", b"id,body\n1,a\n", &["the table has no column `text`; its columns: id, body"]),
        ("a.csv", b"id,text\n1,a\n2\n3,c\n", &["a", "the row has 1 fields, the header has 2", "c"]),
    ];
    for (name, content, expected) in cases {
        assert_eq!(documents(&Folder::with(&[(name, content)]).config_of(&[name])), expected, "{name}");
    }
}

#[test]
fn a_quote_that_stays_open_is_a_broken_record() {
    let open = |line: u64| format!("{line}: a quoted field of this row has no closing quote");
    let cases: [(&str, &[u8], &[&str]); 9] = [
        ("a.csv", b"id,text\n1,a\n2,\"b\n3,c\n4,d\n", &["2: a", &open(3)]),
        ("a.tsv", b"id\ttext\n1\ta\n2\t\"b\n3\tc", &["2: a", &open(3)]),
        ("a.csv", b"id,text\n1,\"a\n2\"\n3,\"b", &["2: a\n2", &open(4)]),
        ("a.csv", b"text\n\"it says \"\"yes\"\"", &[&open(2)]),
        ("a.csv", b"text,\"id\n1,2\n3,4\n", &[&open(1)]),
        ("a.csv", b"text\n\"closed\"\n5\" disk\n\"\"\"\"", &["2: closed", "3: 5\" disk", "4: \""]),
        ("a.csv", b"text\r\na\r\n\r\n\"b\nc\"\r\n\"d", &["2: a", "4: b\nc", &open(6)]),
        ("a.csv", b"text\n", &[]),
        ("a.csv", b"\n\n", &[]),
    ];
    for (name, content, expected) in cases {
        let folder = Folder::with(&[(name, content)]);
        let inputs = listed(&folder.config()).0;
        let (mut found, mut text, mut at) = (Vec::new(), Vec::new(), 0);
        let _ = reading(&inputs)
            .run(&mut |step| {
                match step {
                    Step::Begin { line, .. } => (at, text) = (line, Vec::new()),
                    Step::Piece(piece) => text.extend(piece),
                    Step::End { .. } => found.push(format!("{at}: {}", String::from_utf8_lossy(&text))),
                    Step::Bad(SkipReason::BrokenRecord, cause) => found.push(format!("{at}: {cause}")),
                    other => found.push(format!("{other:?}")),
                }
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(content));
    }
}

#[test]
fn rows_are_named_by_their_lines_whatever_ends_a_line() {
    let blank = "\r\n".repeat(70_000);
    let rows: String = (0..20_000).map(|row| format!("row {row}\r\n")).collect();
    let folder = Folder::with(&[("a.csv", format!("text\r\n{rows}{blank}last\n\n\nvery last").as_bytes())]);
    let inputs = listed(&folder.config()).0;
    let mut lines = Vec::new();
    let _ = reading(&inputs)
        .run(&mut |step| {
            if let Step::Begin { line, .. } = step {
                lines.push(line);
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(lines, (2..20_002).chain([90_002, 90_005]).collect::<Vec<u64>>());
}

#[test]
fn gzip_padding_is_passed_over_and_garbage_told() {
    let folder = Folder::with(&[
        ("1.txt.gz", &[gz(b"text"), vec![0; 512]].concat()),
        ("2.txt.gz", &[gz(b"text"), b"garbage".to_vec()].concat()),
        ("3.jsonl.gz", &[gz(b"{\"text\": \"record\"}\n"), b"garbage".to_vec()].concat()),
    ]);
    assert_eq!(documents(&folder.config()), ["text", "TrailingGarbage", "text", "record", "TrailingGarbage"]);
}

#[test]
fn what_breaks_off_ends_with_a_whole_character() {
    let mut text = "é".repeat(40_000).into_bytes();
    text.push(b'x');
    for take in [1000, 1001] {
        let mut stored = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        stored.write_all(&text).unwrap();
        let mut cut = stored.finish().unwrap();
        cut.truncate(take);
        let documents = documents(&Folder::with(&[("a.txt.gz", &cut)]).config());
        let text = documents[0].strip_suffix(" ...").unwrap();
        assert!(text.len() > 900 && text.chars().all(|c| c == 'é'), "{}", text.len());
    }
}

#[test]
fn a_build_without_parquet_says_so() {
    let folder = Folder::with(&[("a.parquet", b"PAR1"), ("b.parquet.gz", &gz(b"PAR1"))]);
    let documents = documents(&folder.config());
    let expected = if cfg!(feature = "parquet") { "Parquet" } else { "build it with the Cargo feature `parquet`" };
    assert!(documents[0].contains(expected), "{documents:?}");
    assert!(documents[1].contains("decompress it first"));
}

#[test]
fn binary_files_are_told_and_left_out_where_asked() {
    let folder = Folder::with(&[("1.pdf", b"%PDF-1.7 text"), ("2.txt", b"text")]);
    assert_eq!(documents(&folder.config()), ["LooksBinary", "%PDF-1.7 text", "text"]);
    let inputs =
        list(&folder.config().sources[0], &Filter::new(&folder.config()).unwrap(), &mut PassedOver::default()).unwrap();
    let mut bad = Vec::new();
    let _ = Reading { binary: crate::Binary::Skip, ..reading(&inputs) }
        .run(&mut |step| {
            if let Step::Bad(reason, cause) = step {
                bad.push((reason, cause));
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(bad, [(SkipReason::LooksBinary, "it looks like a file of the kind application/pdf".into())]);
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
