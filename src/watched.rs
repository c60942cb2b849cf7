//! The objects of the API server that the operator reads or watches.

pub mod kept;
pub mod object;
pub mod roster;
pub mod store;
