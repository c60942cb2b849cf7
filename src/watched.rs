//! The objects of the API server that the operator reads or watches.

pub mod object;
pub mod roster;
