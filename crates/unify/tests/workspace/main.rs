//! What holds for the workspace as a whole.

mod cargo;
mod circles;
mod default_build;
mod lengths;
mod one_feature_set;
mod sources;
