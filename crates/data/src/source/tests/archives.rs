//! Members of archives.

use super::*;

/// A zip archive of these files.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn members_of_archives_are_read_as_files_of_a_folder() {
    let long = "many words ".repeat(100_000);
    let archive = zip(&[
        ("b/long.txt", long.as_bytes()),
        ("b/.hidden", b"x"),
        ("__MACOSX/a.txt", b"x"),
        ("a.jsonl", b"{\"text\": \"one\"}\n\n{\"text\": \"two\"}\n"),
        ("c.csv.gz", &gz(b"text\nrow\n")),
        ("d.zip", b"PK"),
    ]);
    let folder = Folder::with(&[("1.zip", &archive), ("2.txt", b"after")]);
    let nested = "it is an archive within an archive: unpack it first";
    assert_eq!(documents(&folder.config()), ["one", "two", &long, "row", nested, "after"]);
    let inputs =
        list(&folder.config().sources[0], &Filter::new(&folder.config()).unwrap(), &mut PassedOver::default()).unwrap();
    let mut names = Vec::new();
    let ranges = [0..9, 0..0, 5..9, 0..9, 0..9, 0..9];
    let mut texts = Vec::new();
    let _ = Reading { ranges: Some(&ranges), ..reading(&inputs) }
        .run(&mut |step| {
            match step {
                Step::Begin { input, line, .. } => {
                    names.push(inputs[input].names().of(line).replace(&folder.path(""), ""))
                }
                Step::Piece(piece) => texts.push(String::from_utf8(piece).unwrap()),
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(names, ["1.zip/a.jsonl:1", "1.zip/b/long.txt", "1.zip/c.csv.gz:2", "1.zip/d.zip", "2.txt"]);
    assert_eq!(texts, ["one", "word", "row", "after"]);
    let damaged = [&archive[..60], &[0xff; 9], &archive[69..]].concat();
    let folder = Folder::with(&[("1.zip", &damaged)]);
    assert!(documents(&folder.config()).iter().any(|text| text != &long && text.ends_with(" ...")), "a broken member");
}

#[test]
fn members_from_the_current_folder_are_read_and_links_are_not() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in [("./a.txt", "a"), ("././b/c.txt", "c"), ("./.hidden", "x"), ("./b/./d.txt", "d")] {
        writer.start_file(name, options).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.add_symlink("link.txt", "a.txt", options).unwrap();
    writer.add_directory("./b", options).unwrap();
    let archive = writer.finish().unwrap().into_inner();
    let folder = Folder::with(&[("1.zip", &archive)]);
    assert_eq!(documents(&folder.config()), ["a", "c", "d"]);
    let names = listed(&folder.config()).0[0].names();
    assert_eq!(names.of(2 << LINE_BITS).replace(&folder.path(""), ""), "1.zip/b/c.txt");
}

#[test]
fn members_of_archives_can_be_excluded() {
    let archive = zip(&[("a.txt", b"a"), ("b/c.txt", b"c"), ("b/d.zip", b"PK"), ("e.md", b"e")]);
    let folder = Folder::with(&[("1.zip", &archive)]);
    let without = |globs: &[&str]| {
        let exclude: Vec<String> = globs.iter().map(|glob| glob.to_string()).collect();
        let by_folder = documents(&DataConfig { exclude: exclude.clone(), ..folder.config() });
        assert_eq!(by_folder, documents(&DataConfig { exclude, ..folder.config_of(&["1.zip"]) }));
        by_folder
    };
    assert_eq!(without(&["d.zip"]), ["a", "c", "e"]);
    assert_eq!(without(&["b/**", "*.md"]), ["a"]);
    let include = DataConfig { include: vec!["*.zip".into()], exclude: vec!["d.zip".into()], ..folder.config() };
    assert_eq!(documents(&include), ["a", "c", "e"], "`include` chooses among the files of the folder");
    let bytes = |exclude: &[&str]| {
        let exclude = exclude.iter().map(|glob| glob.to_string()).collect();
        let config = DataConfig { exclude, ..folder.config() };
        crate::testing::corpus(&config, &crate::Tokenizer::bytes()).unwrap().0.statistics().bytes
    };
    assert_eq!((bytes(&["d.zip"]), bytes(&["d.zip", "*.md"])), (3, 2), "the cache tells them apart");
}
