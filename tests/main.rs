//! All tests that need more than one room, in one binary: `api` follows the routes, `flows` the paths
//! across them with races and faults, `contract` holds the files of the project against each other.

mod api;
mod contract;
mod flows;
mod previous_version;
