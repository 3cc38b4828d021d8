//! What a run keeps on the disk: its folder, checkpoints, metrics, lock. Nothing here trains.

pub(crate) mod checkpoint;
pub(crate) mod claim;
pub(crate) mod copies;
pub(crate) mod environment;
pub(crate) mod load;
pub(crate) mod lock;
pub(crate) mod metrics;
pub(crate) mod metrics_file;
pub(crate) mod overview;
pub(crate) mod progress;
pub(crate) mod run_files;
pub(crate) mod run_folder;
pub(crate) mod run_model;
pub(crate) mod same_model;
pub(crate) mod tail;
pub(crate) mod tensorboard;
pub(crate) mod vocabulary;
