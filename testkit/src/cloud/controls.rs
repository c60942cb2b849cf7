//! The methods by which a test changes and reads the simulated cloud, by subject.

mod access_keys;
mod catalogue;
mod clouds_yaml;
mod engines;
mod faults;
mod identity;
mod log;
mod projects;
mod services;
