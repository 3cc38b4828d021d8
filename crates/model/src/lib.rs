//! percept-model
