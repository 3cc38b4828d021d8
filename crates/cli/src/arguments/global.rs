//! The flags that every command takes.

use std::num::NonZero;

use clap::Args;

use crate::terminal::{Format, Talk, Terminal};

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print one JSON object on stdout instead of text (streams: one object per line)
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing on stderr but warnings and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Where to compute: auto, cpu, cuda:0, vulkan, metal [default: auto, or what the configuration says]
    #[arg(long, global = true, value_name = "DEVICE", env = "PERCEPT_DEVICE", hide_env = true)]
    pub(crate) device: Option<String>,
    /// CPU threads; by default one per core
    #[arg(long, global = true, value_name = "N", env = "PERCEPT_THREADS", hide_env = true)]
    pub(crate) threads: Option<NonZero<usize>>,
}

impl Global {
    pub(crate) fn terminal(&self) -> Terminal {
        Terminal {
            format: if self.json { Format::Json } else { Format::Text },
            talk: if self.quiet { Talk::Quiet } else { Talk::Normal },
        }
    }
}
