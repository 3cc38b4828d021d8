//! `percept report`: the page of a comparison, made again.

#[path = "../../../compare/tests/report/fixture.rs"]
mod fixture;

use crate::support::Work;

fn work() -> Work {
    let work = Work::new();
    work.write("out/report.json", &serde_json::to_string(&fixture::comparison()).unwrap());
    work
}

#[test]
fn a_report_is_rendered_again() {
    let work = work();
    let done = work.run(&["report", "out"]).succeeds();
    assert!(
        done.stdout.contains("1=  hybrid 5:1") && done.stdout.contains("- On the test text, hybrid 5:1 is best"),
        "{}",
        done.stdout
    );
    assert!(
        done.stderr.contains("wrote out/report.html") && done.stderr.contains("wrote out/report.csv"),
        "{}",
        done.stderr
    );
    assert!(std::fs::read_to_string(work.path("out/report.html")).unwrap().contains("<section id=\"curves\""));
    let json = work.run(&["report", "out", "--json"]).succeeds().json();
    assert_eq!((json["files"].as_array().unwrap().len(), &json["models"][1]), (2, &"llp".into()));
    assert!(json["summary"][0].as_str().unwrap().contains("best"), "{json}");
}

#[test]
fn suites_are_shown_from_then_on() {
    let work = work();
    let own: Vec<_> = fixture::full().suites.into_iter().filter(|result| result.model == "llp").collect();
    work.write("llp.json", &serde_json::json!({ "model": "run at step 1", "suites": own }).to_string());
    assert!(
        work.run(&["report", "out", "--suites", "llp=llp.json"]).succeeds().stderr.contains("wrote out/suites.json")
    );
    work.run(&["report", "out"]).succeeds();
    assert!(std::fs::read_to_string(work.path("out/report.html")).unwrap().contains("<section id=\"recall\""));
}

#[test]
fn suites_of_nothing_or_of_another_model_are_refused() {
    let work = work();
    let attach = |value: serde_json::Value| {
        work.write("a.json", &value.to_string());
        work.run(&["report", "out", "--suites", "llp=a.json"]).refusal()
    };
    let none = "exit 2\nerror: a.json holds no results of suites\n\
        hint: write them with: percept eval RUN --suite all --json > FILE\n";
    assert_eq!(attach(serde_json::json!({ "model": "run at step 1", "suites": [] })), none);
    assert_eq!(attach(serde_json::json!({ "model": "run at step 1" })), none);
    let comparison = serde_json::to_value(fixture::comparison()).unwrap();
    let models = comparison["models"].as_array().unwrap();
    let other = models.iter().find(|model| model["name"] == "transformer").unwrap();
    let name = format!("out/{}/checkpoints/step-000005 at step 5", other["runs"][0]["folder"].as_str().unwrap());
    let mut suites = fixture::full().suites;
    suites.retain(|result| result.model == "llp");
    suites.iter_mut().for_each(|result| result.model = name.clone());
    let refusal = attach(serde_json::json!({ "model": name, "suites": suites }));
    assert!(
        refusal.starts_with("exit 2\nerror: a.json holds the suites of `transformer`, not of `llp`\n"),
        "{refusal}"
    );
    assert!(refusal.ends_with("hint: use --suites transformer=a.json\n"), "{refusal}");
    assert!(!work.path("out/suites.json").exists());
}

#[test]
fn wrong_input_gets_a_reason() {
    let work = work();
    work.write("old/report.json", "{\"format\": 0}");
    insta::assert_snapshot!(work.run(&["report", "old"]).refusal(), @r"
    exit 2
    error: old/report.json has format 0, not 1
    hint: compare again
    ");
    insta::assert_snapshot!(work.run(&["report", "."]).refusal(), @r"
    exit 2
    error: . holds no report.json
    hint: give the folder of a comparison, the one that `percept compare --out` wrote
    ");
    insta::assert_snapshot!(work.run(&["report", "out", "--suites", "llp.json"]).refusal(), @r"
    exit 2
    error: --suites llp.json names no model
    hint: use --suites MODEL=FILE, e.g. llp=llp.json
    ");
    insta::assert_snapshot!(work.run(&["report", "out", "--suites", "transfomer=llp.json"]).refusal(), @r"
    exit 2
    error: the comparison has no model `transfomer`
    hint: did you mean `transformer`?
    ");
}
