//! What needs no model: help, presets, doctor, completions, and usage errors.

use crate::support::Work;

#[test]
fn every_command_has_help_and_none_mentions_a_missing_one() {
    let work = Work::new();
    let help = work.run(&["--help"]).succeeds();
    let commands: Vec<&str> = help
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        assert!(work.run(&[command, "--help"]).succeeds().stdout.contains("Usage: percept "), "{command}");
    }
}

#[test]
fn usage_errors_look_like_all_errors() {
    let work = Work::new();
    insta::assert_snapshot!(work.run(&["trian"]).refusal(), @r"
    exit 2
    error: unrecognized subcommand 'trian'
    hint: did you mean `train`?
    ");
    insta::assert_snapshot!(work.run(&["generate", "run", "--temprature", "1"]).refusal(), @r"
    exit 2
    error: unexpected argument '--temprature' found
    hint: did you mean `--temperature`?
    ");
    insta::assert_snapshot!(work.run(&["generate"]).refusal(), @r"
    exit 2
    error: the following required arguments were not provided: <RUN>
    hint: `percept generate --help` shows what is accepted
    ");
    insta::assert_snapshot!(work.run(&["generate", "run", "--top-k", "many"]).refusal(), @r"
    exit 2
    error: invalid value 'many' for '--top-k <K>': invalid digit found in string
    hint: `percept generate --help` shows what is accepted
    ");
    insta::assert_snapshot!(work.run(&[]).refusal(), @r"
    exit 2
    error: no command given
    hint: `percept --help` lists them; `percept quickstart` is a good start
    ");
}

#[test]
fn presets_are_listed_and_shown() {
    let work = Work::new();
    let list = work.run(&["presets", "--json"]).succeeds().json();
    let names: Vec<&str> = list["presets"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"llp-tiny") && names.contains(&"llp-paper"), "{names:?}");
    let shown = work.run(&["presets", "llp-tiny", "--full"]).succeeds().stdout;
    let config = work.write("again.toml", &shown);
    let again = work.run(&["presets", "llp-tiny", "--json"]).succeeds().json();
    assert!(config.exists() && again["model"]["dim"].is_u64());
    assert!(work.run(&["presets", "--schema"]).succeeds().stdout.contains("\"properties\""));
    insta::assert_snapshot!(work.run(&["presets", "lp-tiny"]).refusal(), @r"
    exit 2
    error: unknown preset `lp-tiny`
    hint: did you mean `llp-tiny`?
    ");
}

#[test]
fn doctor_tells_what_is_there() {
    let report = Work::new().run(&["doctor", "--json"]).succeeds().json();
    assert!(report["cores"].as_u64().unwrap() >= 1);
    let simd = report["simd"].as_array().unwrap();
    assert_eq!(report["bf16"].as_bool(), Some(simd.iter().any(|set| set == "avx512bf16")));
    let products = report["products"].as_array().unwrap();
    assert_eq!(products.len(), if report["bf16"] == true { 3 } else { 0 });
    for products in products {
        assert!(products["width"].is_u64() && products["threads"] == 1 && products["auto"].is_string(), "{products}");
        let precisions =
            products["formats"].as_array().unwrap().iter().map(|format| format["precision"].as_str().unwrap());
        assert_eq!(precisions.collect::<Vec<_>>(), ["f32", "bf16"]);
        assert!(products["formats"][1]["gflop_per_s"].as_f64().unwrap() > 0.0, "{products}");
    }
    let cpu = report["devices"].as_array().unwrap().iter().find(|devices| devices["kind"] == "cpu").unwrap();
    assert_eq!((cpu["compiled_in"].as_bool(), cpu["present"].as_u64()), (Some(true), Some(1)));
}

#[test]
fn completions_know_the_commands() {
    let work = Work::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(work.run(&["completions", shell]).succeeds().stdout.contains("quickstart"), "{shell}");
    }
}

#[test]
fn there_is_no_colour_in_a_pipe() {
    let work = Work::new();
    let doctor = work.run(&["doctor"]).succeeds();
    let refusal = work.run(&["presets", "nothing"]);
    assert!(!doctor.stdout.contains('\x1b') && !refusal.stderr.contains('\x1b'));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Work::new().command(&["presets"]).stdout(full).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(message.starts_with("error: cannot write to the standard output: No space left"), "{message}");
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let mut child = Work::new()
        .command(&["presets", "--schema"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
