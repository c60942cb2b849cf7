//! Finds the Go programs that the operator's tests and demo run, and builds them where there are none.

pub mod assets;
mod found;
pub mod go;
pub mod progress;
