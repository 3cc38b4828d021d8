//! Models without a result, in every view of a report.

use percept_compare::report::{Report, csv, html, plain_words, terminal};
use percept_compare::{Failure, FailureKind};

use crate::fixture::full;

/// A report in which `v2` diverged in training, and `v1` at every rate of its sweep.
fn failed() -> Report {
    let mut report = full();
    let failure =
        |step: Option<u64>, message: &str| Some(Failure { kind: FailureKind::Diverged, step, message: message.into() });
    for model in &mut report.comparison.models {
        match model.name.as_str() {
            "v2" => {
                model.failure = failure(Some(12), "training diverged: the <loss> of step 12 is NaN");
                (model.runs[0].test, model.runs[0].failure) = (None, model.failure.clone());
            }
            "v1" => {
                model.failure = failure(None, "training diverged at every learning rate of the sweep: 1e-3 at step 4");
                model.runs.clear();
            }
            _ => continue,
        }
        (model.rank, model.test, model.validation, model.usage, model.under_trained) = (None, None, None, None, None);
    }
    report
}

#[test]
fn the_page_shows_who_diverged_and_ranks_the_others() {
    let page = html(&failed());
    let section =
        |id: &str| page.split(&format!("<section id=\"{id}\"")).nth(1).unwrap().split("</section>").next().unwrap();
    assert_eq!(section("summary").matches("diverged at step 12</span>").count(), 1);
    assert!(section("summary").contains("title=\"training diverged: the &lt;loss&gt; of step 12 is NaN\""));
    assert!(section("runs").contains(">diverged at step 12</td>"), "{}", section("runs"));
    assert!(section("words").contains("v2 diverged at step 12 and has no place: training diverged: the &lt;loss&gt;"));
    assert!(!section("cost").contains(">v2<") && !section("cost").contains(">v1<"), "no point without a figure");
}

#[test]
fn the_words_name_them_and_judge_the_others() {
    let words = plain_words(&failed());
    let said = |part: &str| words.iter().any(|word| word.contains(part));
    assert!(said("v1 diverged and has no place: training diverged at every learning rate"), "{words:#?}");
    assert!(said("On the test text, hybrid 5:1 is best") && said("v3 (compressed history) is last"));
    let mut weak = failed();
    weak.comparison.models.iter_mut().filter(|model| model.failure.is_none()).for_each(|model| {
        model.under_trained = Some(true);
    });
    assert!(plain_words(&weak).iter().any(|word| word.starts_with("No model beats counting bytes")));
}

#[test]
fn the_table_and_the_csv_have_them() {
    let report = failed();
    let text = terminal(&report);
    assert_eq!(text.lines().filter(|line| line.contains("  diverged")).count(), 2, "{text}");
    let text = csv(&report);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 3 + 3 + 6);
    assert!(lines[0].ends_with(",fingerprint,failure"));
    let row = |name: &str| lines.iter().find(|line| line.starts_with(&format!("{name},"))).unwrap();
    assert!(
        row("v2").ends_with(",diverged at step 12") && row("v1").ends_with(",diverged") && row("llp").ends_with(',')
    );
    assert!(lines.iter().skip(1).all(|line| line.matches(',').count() >= 28), "{text}");
}
