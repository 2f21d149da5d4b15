//! All tests that need more than one crate, in one binary. `api` tests each route. `flows` tests scenarios
//! across routes, with races and faults. `contract` checks that files of the project agree with each other.
//! `previous_version` tests rows that an earlier version wrote.

mod api;
mod contract;
mod flows;
mod previous_version;
