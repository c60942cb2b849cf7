//! What hostile tenants and clouds can do to the others. docs/attacks.md has the figures.
//!
//! Each attack runs against the operator's program with the chart's own memory limit, beside ten honest tenants in
//! other namespaces. `ATTACKS_PROGRAM` names another build of the program, `ATTACKS_CREDENTIALS` another number of
//! credentials for the last one. With `ATTACKS_MINUTE` each test measures memory a whole minute after its attack.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod addresses;
mod all;
mod bodies;
mod cage;
mod credentials;
mod fairness;
mod figures;
mod floods;
mod health;
mod honest;
mod hostile;
mod metadata;
mod policies;
mod process;
mod scene;
mod scrapes;
mod secrets;
mod sessions;
mod texts;
