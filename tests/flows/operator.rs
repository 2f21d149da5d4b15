//! What the operator does to users with the command of their own, on the tables alone, and what the
//! endpoints make of it; and what that command finds wrong with a deployment.

mod doctor;
mod import;
mod resets;
mod users;
