//! The objects of the API server as the operator reads them, and those that it watches.

pub mod object;
pub mod roster;
