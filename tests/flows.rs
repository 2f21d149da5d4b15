//! Paths through several endpoints, races and faults included.

mod addresses;
mod budgets;
mod canaries;
mod captcha;
mod chaos;
mod counted;
mod credentials;
mod deliver;
mod delivery;
mod email;
mod fallback;
mod faults;
mod incidents;
mod mailbox;
mod msisdn;
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
