//! Paths through several endpoints, races and faults included.

mod budgets;
mod canaries;
mod captcha;
mod chaos;
mod counted;
mod delivery;
mod fallback;
mod faults;
mod incidents;
mod mailbox;
mod message_limits;
mod privileges;
mod protocol;
mod quiet;
mod races;
mod registration_token;
mod replay;
mod sessions;
mod support;
mod terms;
mod twins;
