//! What a pass over a CloudTenantSet concludes, as tables.

mod documents;
mod filters;
mod machine;
mod plans;
mod pruning;
mod statuses;
mod unobserved;
mod waits;
mod world;
