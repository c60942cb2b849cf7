//! The process: its main loop, the command `check`, and its HTTP server.

pub mod check;
pub mod run;
pub mod server;
