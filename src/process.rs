//! The process: its run, the command `check`, and its HTTP server.

pub mod check;
pub mod run;
pub mod server;
