//! The admin CLI: operations on users that use only the tables, the effect of these operations on the
//! endpoints, and the checks of a deployment. `admin/tests/` runs the program itself.

mod appservices;
mod doctor;
mod homeserver;
mod import;
mod import_formats;
mod import_synapse;
mod resets;
mod restore;
mod users;
