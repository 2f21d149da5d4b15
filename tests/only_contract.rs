//! Files against each other.

mod contract;
