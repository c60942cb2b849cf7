//! What the operator's tests, demo and benchmarks stand on: a real control plane and a simulated cloud.

pub mod certificates;
pub mod cloud;
pub mod control_plane;
pub mod eventually;
pub mod gateway;
pub mod machine;
pub mod operator;
pub mod recorded;
pub mod router;
pub mod signature;
pub mod tools;

pub use programs::assets;
