//! The admin CLI: operations on users through the tables alone, their effect on the endpoints, and
//! the checks of a deployment.

mod doctor;
mod import;
mod resets;
mod users;
