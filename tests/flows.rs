//! Paths through several endpoints, races and faults included.

mod budgets;
mod canaries;
mod captcha;
mod chaos;
mod counted;
mod deliver;
mod fallback;
mod faults;
mod incidents;
mod privileges;
mod protocol;
mod races;
mod registration_token;
mod replay;
mod sessions;
mod support;
mod terms;
mod twins;
