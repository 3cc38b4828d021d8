//! Files and the terminal.

use std::fs;
use std::path::Path;

use percept_compare::REPORT;
use percept_compare::report::{CSV, HTML, SUITES, attach_suites, csv, read, terminal, write_all, write_views};
use percept_score::suites::Findings;

use crate::fixture::{comparison, full};

#[test]
fn a_report_is_written_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let report = full();
    let paths = write_all(folder.path(), &report).unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [CSV, HTML, REPORT, SUITES]);
    assert_eq!(paths.len(), 4);
    assert_eq!(read(folder.path()).unwrap(), report);
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join(REPORT)).unwrap()).unwrap();
    assert!(json["format"] == 1 && json["models"][0]["name"] == "hybrid 5:1");
    fs::write(folder.path().join(HTML), "old").unwrap();
    write_views(folder.path(), &report).unwrap();
    assert!(fs::read_to_string(folder.path().join(HTML)).unwrap().starts_with("<!doctype html>"));
}

#[test]
fn published_reports_are_still_read_and_rendered() {
    for name in ["books", "books-4096"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/comparisons").join(name);
        let report = read(&folder).unwrap();
        assert!(report.comparison.failed().next().is_none() && !report.suites.is_empty(), "{name}");
        let out = tempfile::tempdir().unwrap();
        write_all(out.path(), &report).unwrap();
        assert_eq!(read(out.path()).unwrap(), report, "{name}");
    }
}

#[test]
fn a_comparison_without_suites_is_a_report() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(REPORT), serde_json::to_string(&comparison()).unwrap()).unwrap();
    let report = read(folder.path()).unwrap();
    assert!(report.suites.is_empty() && report.comparison == comparison());
}

#[test]
fn what_is_no_report_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |contents: Option<&str>| {
        if let Some(contents) = contents {
            fs::write(folder.path().join(REPORT), contents).unwrap();
        }
        let fault = read(folder.path()).unwrap_err();
        (fault.exit_code(), fault.to_string(), fault.hint_text().unwrap_or_default().to_string())
    };
    let cases = [
        (None, "holds no report.json", "percept compare --out"),
        (Some("no json"), "is no JSON", "check the path"),
        (Some("[1, 2]"), "is no report of a comparison", "it has no `format`"),
        (Some("{\"format\": 0}"), "has format 0, not 1", "compare again"),
        (Some("{\"format\": 99}"), "has format 99, not 1", "use a newer Percept"),
        (Some("{\"format\": 1}"), "is no report of a comparison: missing field", "finished runs are reused"),
    ];
    for (contents, message, hint) in cases {
        let (code, text, own_hint) = refused(contents);
        assert!(code == 2 && text.contains(message) && own_hint.contains(hint), "{code} {text} {own_hint}");
    }
    write_all(folder.path(), &full()).unwrap();
    fs::write(folder.path().join(SUITES), "[1]").unwrap();
    assert!(refused(None).1.contains("suites.json holds no results of suites"));
    assert_eq!(read(&folder.path().join("nowhere")).unwrap_err().exit_code(), 3);
}

#[test]
fn results_of_suites_are_attached_to_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("suites.json");
    let all = full();
    let own: Vec<_> = all.suites.iter().filter(|result| result.model == "llp").cloned().collect();
    let evaluated = serde_json::json!({ "model": "runs/llp at step 7", "suites": own });
    fs::write(&file, evaluated.to_string()).unwrap();
    let mut report = all.clone();
    attach_suites(&mut report, "llp", &file).unwrap();
    assert_eq!(report.suites.len(), all.suites.len());
    assert_eq!(report.suites.iter().filter(|result| result.model == "llp").count(), 5);
    report.suites.retain(|result| !matches!(result.findings, Findings::Recall(_)));
    attach_suites(&mut report, "transformer", &file).unwrap();
    let recalled = report.suites.iter().filter(|result| matches!(result.findings, Findings::Recall(_)));
    assert_eq!(recalled.map(|result| result.model.as_str()).collect::<Vec<_>>(), ["transformer"]);
    let fault = attach_suites(&mut report, "transfomer", &file).unwrap_err();
    assert_eq!((fault.exit_code(), fault.hint_text()), (2, Some("did you mean `transformer`?")));
    fs::write(&file, "{\"model\": \"x\"}").unwrap();
    let fault = attach_suites(&mut report, "llp", &file).unwrap_err();
    assert!(fault.to_string().ends_with("holds no results of suites") && fault.exit_code() == 2);
}

#[test]
fn csv_has_a_row_per_model_and_seed() {
    let mut report = full();
    report.comparison.models[7].name = "=cmd(\"x\"), v3".into();
    report.comparison.models[6].runs[0].test = None;
    let text = csv(&report);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 3 + 3 + 6);
    let columns: Vec<&str> = lines[0].split(',').collect();
    let fields: Vec<&str> = lines[4].split(',').collect();
    assert_eq!(fields.len(), columns.len());
    let of = |name: &str| fields[columns.iter().position(|column| *column == name).unwrap()];
    assert_eq!((of("model"), of("seed"), of("rank"), of("ties")), ("llp", "1", "1", "hybrid 5:1"));
    assert_eq!(
        (of("test_bits_per_byte"), of("under_trained"), of("peak_memory_source")),
        ("2.191", "false", "measured")
    );
    assert!(lines[12].starts_with("\"'=cmd(\"\"x\"\"), v3\","), "{}", lines[12]);
    assert!(lines[11].contains(",,,,"), "{}", lines[11]);
    assert!(lines[1].starts_with("hybrid 5:1,\"llp*5, transformer\",1,"), "{}", lines[1]);
}

#[test]
fn the_terminal_summary_is_narrow() {
    let mut report = full();
    let name = &mut report.comparison.models[3].name;
    *name = "a name that is much longer than any column should be, really".into();
    report.comparison.models[2].cost.state_bytes_1m = 1_234_567_890_123;
    let text = terminal(&report);
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
    }
    for part in [
        "1=  hybrid 5:1",
        "2.188  0.012",
        "a name that is much l…",
        "~377 MiB",
        "8!  v3",
        "= tie, ! under-trained, ~ estimated",
        "order-2 bytes",
        "- On the test text, hybrid 5:1 is best",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
