//! What the local program runs on: listeners, the HTTP server, the embedded services, the clock, the event
//! poller and the defaults of the settings.

pub mod clock;
pub mod console;
pub mod defaults;
pub mod event_poller;
pub(crate) mod host_check;
pub(crate) mod local_listener;
pub mod server;
pub mod services;
#[cfg(test)]
pub(crate) mod temp_dir;
