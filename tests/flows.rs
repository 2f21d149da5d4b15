//! Paths through several endpoints, races and faults included.
