//! Paths through several endpoints.

mod flows;
