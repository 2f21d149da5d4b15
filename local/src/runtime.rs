//! The parts that start and run the local program: HTTP server, embedded services, clock, event poller, console
//! log and the defaults of settings.

pub mod clock;
pub mod console;
pub mod data_lock;
pub mod defaults;
pub mod event_poller;
pub(crate) mod host_check;
pub(crate) mod local_listener;
pub mod server;
pub mod services;
#[cfg(test)]
pub(crate) mod temp_dir;
