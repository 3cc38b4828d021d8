//! `percept cluster`: what is written is submitted to a Slurm that only notes it, runs tasks, and puts back what is stopped.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::Work;

const SPEC: &str = r#"
models = ["llp", "perceiver-ar"]
budget = "40k tokens"
points = 5
seeds = [1, 2]
finalists = { models = 1, seeds = [3] }
base.model = { dim = 64, depth = 2, heads = 2, context = 64, segment = 16, latents = 32 }
base.train = { batch = 8, device = "cpu" }
base.sample.tokens = 0
"#;

/// A folder with a comparison and its script, and programs that stand in for Slurm's.
fn work() -> Work {
    let work = Work::new();
    work.write("two models.toml", SPEC);
    work.write("text.txt", &(0..20_000).map(|number| format!("{} ", number * number % 9973)).collect::<String>());
    let slurm = ["cluster", "slurm", "--cpus", "1", "--memory-gib", "2", "--at-once", "3", "--partition", "main"];
    let compare = ["compare", "two models.toml", "--data", "text.txt", "--out", "it's here"];
    let script = work.run(&[&slurm[..], &compare].concat()).succeeds().stdout;
    work.write("two.sh", &script);
    // Both note their arguments; sbatch says the number of the job.
    tool(&work, "sbatch", "echo \"sbatch $*\" >> noted; echo $(( $(wc -l < noted) + 40 ))");
    tool(&work, "scontrol", "echo \"scontrol $*\" >> noted");
    work
}

fn tool(work: &Work, name: &str, body: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = work.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{body}\n"));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The script with these arguments, among the programs that stand in.
fn script(work: &Work, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    let path = std::env::join_paths(
        std::iter::once(work.path("bin")).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    command
        .arg("two.sh")
        .args(arguments)
        .current_dir(work.path("."))
        .env("PATH", path.unwrap())
        .env("PERCEPT", env!("CARGO_BIN_EXE_percept"))
        .env("XDG_CACHE_HOME", work.path("cache"))
        .env("SLURM_JOB_ID", "77")
        .stdin(Stdio::null());
    command
}

fn noted(work: &Work) -> String {
    std::fs::read_to_string(work.path("noted")).unwrap_or_default()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_script_submits_its_stages_one_after_the_other_and_the_report_last() {
    let work = work();
    let text = std::fs::read_to_string(work.path("two.sh")).unwrap();
    for line in [
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --time=4:00:00",
        "#SBATCH --mem=2G",
        "#SBATCH --partition=main",
        "#SBATCH --signal=B:USR1@120",
        "#SBATCH --requeue",
        r"arguments=('two models.toml' --data text.txt --out 'it'\''s here')",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let output = script(&work, &[]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let name = "--job-name=two-models";
    let end = "--kill-on-invalid-dep=yes two.sh";
    let runs =
        format!("sbatch --parsable {name}-runs --array=0-3%3 --output=two-models-runs-%a.log {end} run --stage runs\n");
    let finalists = format!(
        "sbatch --parsable {name}-finalists --array=0-0%3 --output=two-models-finalists-%a.log --dependency=afterok:41 {end} run --stage finalists\n"
    );
    let report =
        format!("sbatch {name}-report --output=two-models-report.log --dependency=afterok:42 {end} assemble\n");
    assert_eq!(noted(&work), runs + &finalists + &report);
}

#[test]
fn a_task_whose_time_is_nearly_up_is_saved_and_requeued_and_goes_on() {
    let work = work();
    let run = || {
        let mut run = script(&work, &["run", "--stage", "runs"]);
        run.env("SLURM_ARRAY_TASK_ID", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        run
    };
    // USR1 comes before the time is up; TERM where a job is preempted or cancelled, and Slurm itself knows whether it comes back.
    for (signal, requeued) in [(libc::SIGUSR1, "scontrol requeue 77\n"), (libc::SIGTERM, "")] {
        std::fs::remove_file(work.path("noted")).ok();
        let mut task = run().spawn().unwrap();
        let (begin, before) = (Instant::now(), metrics(&work));
        while metrics(&work) <= before {
            let waits = begin.elapsed() < Duration::from_secs(120) && task.try_wait().unwrap().is_none();
            assert!(waits, "it ended too early");
            std::thread::yield_now();
        }
        // SAFETY: kill only sends a signal, to a child of ours that has not been waited for.
        assert_eq!(unsafe { libc::kill(task.id() as i32, signal) }, 0);
        let output = task.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert!(stderr(&output).contains("error: interrupted; perceiver-ar seed 1 is saved"), "{}", stderr(&output));
        assert_eq!(noted(&work), requeued);
    }
    let output = run().output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "perceiver-ar seed 1: finished\n");
    let early = script(&work, &["assemble"]).output().unwrap();
    assert_eq!(early.status.code(), Some(3), "{}", stderr(&early));
    assert!(stderr(&early).contains("error: 4 of 5 runs are not finished: llp seed 1, "), "{}", stderr(&early));
}

/// Bytes of metrics that the runs have logged.
fn metrics(work: &Work) -> u64 {
    let runs = std::fs::read_dir(work.path("it's here/runs")).into_iter().flatten().flatten();
    let sizes = runs.filter_map(|run| std::fs::metadata(run.path().join("metrics.jsonl")).ok());
    sizes.map(|file| file.len()).sum()
}

#[test]
fn a_manifest_has_a_job_for_each_stage_and_one_for_the_report() {
    let work = Work::new();
    work.write("books.toml", SPEC);
    let given = [
        "--image",
        "lab/percept:1",
        "--cpus",
        "8",
        "--gpus",
        "1",
        "--memory-gib",
        "16",
        "--storage",
        "9Gi",
        "--at-once",
        "2",
    ];
    let compare = ["compare", "books.toml", "--data", "my \"texts\"", "--device", "cuda:0"];
    let text = work.run(&[&["cluster", "kubernetes"], &given[..], &compare].concat()).succeeds().stdout;
    let documents: Vec<&str> = text.split("\n---\n").collect();
    let [volume, runs, finalists, report] = documents[..] else { panic!("{} documents: {text}", documents.len()) };
    let has = |document: &str, lines: &[&str]| {
        for line in lines {
            assert!(document.lines().any(|found| found.trim() == *line), "{line}: {document}");
        }
    };
    has(volume, &["kind: PersistentVolumeClaim", "name: books", "storage: 9Gi"]);
    let data = r#""books.toml","--data","my \"texts\"","--device","cuda:0"]"#;
    let args = |action: &str| format!("args: [\"compare\",{action},{data}");
    has(
        runs,
        &["name: books-runs", "completionMode: Indexed", "completions: 4", "parallelism: 2", "- action: FailIndex"],
    );
    has(
        runs,
        &["image: lab/percept:1", "nvidia.com/gpu: 1", "memory: 16Gi", "cpu: 8", "claimName: books", "value: \"8\""],
    );
    has(runs, &[&args(r#""run","--stage","runs""#), "values: [130]", "restartPolicy: Never"]);
    has(
        finalists,
        &["name: books-finalists", "completions: 1", "parallelism: 1", &args(r#""run","--stage","finalists""#)],
    );
    has(report, &["name: books-report", "backoffLimit: 3", "- action: FailJob", &args(r#""assemble""#)]);
    assert!(!report.contains("Indexed") && !text.contains('@'), "{report}");
    let json = work.run(&["cluster", "slurm", "--json", "compare", "books.toml"]).succeeds().json();
    assert_eq!((&json["name"], &json["stages"][1]["tasks"]), (&"books".into(), &1.into()));
}

#[test]
fn what_cannot_be_submitted_is_refused() {
    let work = Work::new();
    work.write("books.toml", SPEC);
    let refusal = |arguments: &[&str]| work.run(&[&["cluster", "slurm"], arguments].concat()).refusal();
    insta::assert_snapshot!(refusal(&["train", "llp-tiny"]), @r"
    exit 2
    error: `train` has no tasks that machines could share
    hint: `percept cluster slurm compare ...` or `percept cluster slurm suite ...`
    ");
    insta::assert_snapshot!(refusal(&["compare", "books.toml", "--bugdet", "3m"]), @r"
    exit 2
    error: unexpected argument '--bugdet' found
    hint: did you mean `--budget`?
    ");
    insta::assert_snapshot!(refusal(&["compare", "books.toml", "--dry-run"]), @r"
    exit 2
    error: unexpected argument '--dry-run' found
    hint: `percept compare assemble --help` shows what is accepted
    ");
    let budget = refusal(&["compare", "--models", "llp"]);
    assert!(budget.starts_with("exit 2\nerror: no budget given\n"), "{budget}");
    let line = refusal(&["compare", "books.toml", "--data", "a\nb"]);
    assert!(line.starts_with("exit 2\nerror: \"a\\nb\" would not survive a script\nhint: "), "{line}");
    let time = refusal(&["--time", "1:00\n#SBATCH", "compare", "books.toml"]);
    assert!(time.starts_with("exit 2\nerror: invalid value '1:00") && time.contains("alone"), "{time}");
}
