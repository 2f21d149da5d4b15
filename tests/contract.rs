//! The files of the project held against each other.
