//! `percept presets`: the configurations that ship with the program.

use clap::Args;
use percept::Result;
use percept::train::{RunConfig, preset, presets, resolve_preset};
use serde::Serialize;

use crate::arguments::Global;
use crate::terminal::Style;

/// Arguments of `percept presets`.
#[derive(Debug, Args)]
pub(crate) struct Presets {
    /// Show this preset's file
    name: Option<String>,
    /// Print the JSON schema of configuration files
    #[arg(long, conflicts_with = "name")]
    schema: bool,
    /// With a name: print every key with its value, not only what the preset sets
    #[arg(long, requires = "name")]
    full: bool,
}

/// One line of the list.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    description: &'static str,
}

impl Presets {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        if self.schema {
            let schema = RunConfig::schema();
            terminal.text(format!("{schema:#}"))?;
            return terminal.json(&schema);
        }
        match &self.name {
            Some(name) => self.show(name, global),
            None => {
                let lines: Vec<Line> = presets()
                    .iter()
                    .map(|preset| Line { name: preset.name, description: preset.description() })
                    .collect();
                for line in &lines {
                    terminal.text(format!(
                        "{} {}",
                        Style::Bold.out(&format!("{:<20}", line.name)),
                        line.description
                    ))?;
                }
                terminal.json(&serde_json::json!({ "presets": lines }))
            }
        }
    }

    fn show(&self, name: &str, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let preset = preset(name)?;
        let config = resolve_preset(name)?;
        match self.full {
            true => terminal.text(config.to_toml()?.trim_end())?,
            false => terminal.text(preset.text.trim_end())?,
        }
        terminal.json(&config)
    }
}
