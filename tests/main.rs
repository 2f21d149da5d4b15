//! All tests that need more than one crate, in one binary: `api` has the tests of each route, `flows` the
//! paths across routes with races and faults, `contract` the files of the project that must agree with
//! each other, `previous_version` the rows that an earlier version wrote.

mod api;
mod contract;
mod flows;
mod previous_version;
