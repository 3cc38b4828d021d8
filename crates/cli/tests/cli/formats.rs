//! Folders as people have them: records, tables, archives, pictures and empty files among the texts.

use crate::support::Work;

// Made by `xz`, `bzip2`, `zip` and `gzip`, as hexadecimal digits: a test needs none of these programs.
const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a301000d5061636b656420627920787a2e0a000000163398d1ee077aaf000126\
    0e081be0041fb6f37d010000000004595a";
const BZ2: &str = "425a68393141592653591fcb0e98000002db8000104001100040003e28403020002220613190a6000390142bba4502094c177245385090\
    1fcb0e98";
const ZIP: &str = "504b030414000000080000002100c45a445216000000160000000b0000006e6f7465732f612e74787473542849ad2851c8cc534804a2a2\
    e48cccb2543d2e00504b030414000000080000002100784289dd24000000240000000d0000006e6f7465732f622e6a736f6e6cab562a49\
    ad2851b252507254284a4dce2f4a51c8cc534804a2a2e48cccb2543da55a2e00504b0102140314000000080000002100c45a4452160000\
    00160000000b00000000000000000000008001000000006e6f7465732f612e747874504b0102140314000000080000002100784289dd24\
    000000240000000d000000000000000000000080013f0000006e6f7465732f622e6a736f6e6c504b05060000000002000200740000008e\
    0000000000";
const GZ: &str = "1f8b08000000000002030b484cce4e4d5148aa5448afca2cd0e3020025c2a98810000000";

fn bytes(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn write(work: &Work, name: &str, content: &[u8]) {
    work.write(name, "");
    std::fs::write(work.path(name), content).unwrap();
}

/// A folder `mixed` with a document or more in each kind of file.
fn mixed() -> Work {
    let work = Work::new();
    work.write("mixed/01.txt", "A plain text.\n");
    work.write("mixed/02.json", "[{\"text\": \"One of an array.\"}, {\"text\": \"Another one.\"}]");
    work.write("mixed/03.jsonl", "{\"text\": \"A line.\"}\n");
    work.write("mixed/04.csv", "id,text\n1,\"A row, quoted.\"\n");
    work.write("mixed/05.tsv", "text\tid\nA row of a table.\t1\n");
    write(&work, "mixed/06.txt.xz", &bytes(XZ));
    write(&work, "mixed/07.txt.bz2", &bytes(BZ2));
    write(&work, "mixed/08.zip", &bytes(ZIP));
    write(&work, "mixed/09.txt.gz", &[bytes(GZ), vec![0; 512]].concat());
    work.write("mixed/10/__init__.py", "");
    work
}

#[test]
fn a_folder_of_many_formats_is_read() {
    let work = mixed();
    let stats = work.run(&["data", "stats", "mixed", "--json"]).succeeds();
    assert!(stats.stderr.contains("1 document skipped (1 empty), the first: mixed/10/__init__.py"), "{}", stats.stderr);
    let stats = stats.json();
    assert_eq!((&stats["documents"], &stats["skipped"]["empty"]), (&11.into(), &1.into()), "{stats}");
    let shown = work.run(&["data", "inspect", "mixed", "--documents", "11", "--json"]).succeeds().json();
    let names: Vec<&str> =
        shown["documents"].as_array().unwrap().iter().map(|shown| shown["name"].as_str().unwrap()).collect();
    let expected = "mixed/01.txt mixed/02.json:1 mixed/02.json:2 mixed/03.jsonl:1 mixed/04.csv:2 mixed/05.tsv:2 \
        mixed/06.txt.xz mixed/07.txt.bz2 mixed/08.zip/notes/a.txt mixed/08.zip/notes/b.jsonl:1 mixed/09.txt.gz";
    assert_eq!(names.join(" "), expected);
    assert_eq!(shown["documents"][9]["text"], "A record in an archive.");
    work.train(&["--data", "mixed", "--steps", "2"]).succeeds();
    work.run(&["resume", "run", "--steps", "3"]).succeeds();
}

#[test]
fn records_without_the_text_name_what_they_have() {
    let work = Work::new();
    work.write("texts/package.json", "{\"name\": \"x\", \"version\": \"1\"}");
    insta::assert_snapshot!(work.run(&["data", "stats", "texts"]).refusal(), @r#"
    exit 3
    error: texts/package.json, record 1: the record has no key `text`; its keys: name, version
    hint: mend the record, name the key of the text in data.text_key, leave the file out (data.exclude), or skip such records: data.on_error = "skip"
    "#);
    work.write("texts/package.json", "a,b\n1,2\n");
    std::fs::rename(work.path("texts/package.json"), work.path("texts/table.csv")).unwrap();
    insta::assert_snapshot!(work.run(&["train", "llp-tiny", "--data", "texts"]).refusal(), @r#"
    exit 3
    error: texts/table.csv:1: the table has no column `text`; its columns: a, b
    hint: mend the record, name the key of the text in data.text_key, leave the file out (data.exclude), or skip such records: data.on_error = "skip"
    "#);
    let stats = work.run(&["data", "stats", "texts", "--text-key", "b", "--json"]).succeeds().json();
    assert_eq!((&stats["documents"], &stats["bytes"]), (&1.into(), &1.into()));
}

#[test]
fn what_looks_binary_is_told_and_left_out_on_demand() {
    let work = mixed();
    write(&work, "mixed/photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0");
    let told = "1 file is read though binary by their looks";
    for command in [&["data", "stats", "mixed"][..], &["data", "stats", "mixed", "--quiet"]] {
        let stats = work.run(command).succeeds();
        assert!(
            stats.stderr.contains(told)
                && stats.stderr.contains("mixed/photo.jpg: it looks like a file of the kind image/jpeg")
        );
        assert!(stats.stdout.contains(told));
    }
    let trained = work.train(&["--data", "mixed", "--steps", "1"]).succeeds();
    assert!(trained.stderr.contains(told) && trained.stderr.contains("photo.jpg"), "{}", trained.stderr);
    let stats = work.run(&["data", "stats", "mixed", "--skip-binary", "--json"]).succeeds().json();
    assert_eq!((&stats["documents"], &stats["skipped"]["looks_binary"]), (&11.into(), &1.into()));
}

#[test]
fn an_archive_that_breaks_off_stops_or_is_kept_up_to_the_break() {
    let work = Work::new();
    let text: String = (0..60_000_u32).map(|i| format!("{:x}\n", i.wrapping_mul(2_654_435_761))).collect();
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    write(&work, "cut.txt.zst", &packed[..packed.len() / 2]);
    let refusal = work.run(&["data", "stats", "cut.txt.zst"]).refusal();
    assert!(refusal.starts_with("exit 3\nerror: cut.txt.zst: "), "{refusal}");
    let stats = work.run(&["data", "stats", "cut.txt.zst", "--on-error", "skip", "--json"]).succeeds().json();
    assert_eq!((&stats["documents"], &stats["remarks"]["cut_short"]), (&1.into(), &1.into()), "{stats}");
    assert!(stats["bytes"].as_u64().unwrap() > 100_000);
}

#[test]
fn an_unwritable_cache_is_replaced_or_named() {
    let work = Work::new();
    std::fs::create_dir(work.path("tmp")).unwrap();
    // A path below a regular file: not even root can write there.
    let mut command = work.command(&["data", "stats", "text.txt"]);
    let output = command
        .env("XDG_CACHE_HOME", work.path("text.txt"))
        .env("TMPDIR", work.path("tmp"))
        .env("USER", "me")
        .output()
        .unwrap();
    let stderr = work.without_paths(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    if cfg!(target_os = "linux") {
        assert!(stderr.contains("cannot create [DIR]/text.txt/percept: "), "{stderr}");
        assert!(
            stderr.contains("tokens are kept in [DIR]/tmp/percept-me (data.cache chooses another folder)"),
            "{stderr}"
        );
        assert_eq!(std::fs::read_dir(work.path("tmp/percept-me/tokens")).unwrap().count(), 1);
    }
    insta::assert_snapshot!(work.train(&["--set", "data.cache=text.txt"]).refusal(), @r"
    exit 3
    error: cannot create text.txt/tokens: Not a directory (os error 20)
    hint: it is the token cache: name a folder that you may write in data.cache
    ");
}

/// Four texts of a line, and a novel.
fn novel() -> Work {
    let work = Work::new();
    for name in ["a", "b", "c", "d"] {
        work.write(&format!("texts/{name}.txt"), "A single line of text that is short.\n");
    }
    let novel: String = (0..20_000).map(|line| format!("line {line} of the novel\n")).collect();
    work.write("texts/novel.txt", &novel);
    work
}

#[test]
fn held_out_text_is_chosen_by_size() {
    let work = novel();
    for seed in ["0", "1", "2"] {
        let seeded = format!("data.split.seed={seed}");
        let trained = work.train(&["--data", "texts", "--steps", "1", "--run", seed, "--set", &seeded]).succeeds();
        assert!(
            trained.stderr.contains("6 documents, ") && trained.stderr.contains("1 document for validation"),
            "{}",
            trained.stderr
        );
        assert!(!trained.stderr.contains("warning"), "{}", trained.stderr);
    }
}

#[test]
fn a_run_keeps_the_rules_of_its_split() {
    let work = novel();
    let trained = work.train(&["--data", "texts", "--steps", "1", "--set", "data.edition=1"]).succeeds();
    assert!(
        trained.stderr.contains("4 documents, ") && trained.stderr.contains("splits unevenly by bytes"),
        "{}",
        trained.stderr
    );
    // A run of a version without editions.
    let config = std::fs::read_to_string(work.path("run/config.toml")).unwrap();
    let older: String = config.split_inclusive('\n').filter(|line| !line.starts_with("edition = ")).collect();
    assert_eq!(older.lines().count() + 1, config.lines().count());
    std::fs::write(work.path("run/config.toml"), older).unwrap();
    let resumed = work.run(&["resume", "run", "--steps", "2"]).succeeds();
    assert!(resumed.stderr.contains("4 documents, "), "{}", resumed.stderr);
    assert!(
        std::fs::read_to_string(work.path("run/config.toml")).unwrap().contains("\nedition = 1\n"),
        "from now on it is written"
    );
}
