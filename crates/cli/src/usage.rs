//! Usage errors in the house format.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use percept::Fault;

/// Clap's report, reduced to what went wrong and what to do.
pub(crate) fn fault(error: &clap::Error, tree: &Command, arguments: impl Iterator<Item = String>) -> Fault {
    let no_command = [ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, ErrorKind::MissingSubcommand];
    let command = command_path(tree, arguments);
    if no_command.contains(&error.kind()) {
        return Fault::usage("no command given").hint(match command.as_str() {
            "percept" => "`percept --help` lists them; `percept quickstart` is a good start".to_string(),
            command => format!("`{command} --help` lists them"),
        });
    }
    let rendered = error.render().to_string();
    let first = rendered.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = first.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let message = lines.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_string();
    let misplaced = error.kind() == ErrorKind::ArgumentConflict && error.get(ContextKind::InvalidSubcommand).is_some();
    Fault::usage(message).hint(match suggestion(error) {
        Some(suggestion) => format!("did you mean `{suggestion}`?"),
        None if misplaced => "all arguments stand behind the name of the action".to_owned(),
        None => format!("`{command} --help` shows what is accepted"),
    })
}

fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    kinds.iter().find_map(|kind| match error.get(*kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    })
}

/// `percept tokenizer train` for arguments that begin with these commands.
fn command_path(mut tree: &Command, arguments: impl Iterator<Item = String>) -> String {
    let mut path = tree.get_name().to_string();
    for argument in arguments {
        if let Some(command) = tree.find_subcommand(&argument) {
            path = format!("{path} {argument}");
            tree = command;
        }
    }
    path
}
