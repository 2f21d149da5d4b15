//! Paths through several endpoints, races and faults included.

mod address_budgets;
mod address_canaries;
mod address_faults;
mod address_pages;
mod address_races;
mod addresses;
mod budgets;
mod canaries;
mod captcha;
mod chaos;
mod counted;
mod credentials;
mod email;
mod fallback;
mod faults;
mod incidents;
mod msisdn;
mod privileges;
mod protocol;
mod races;
mod registration_token;
mod replay;
mod sessions;
mod support;
mod terms;
mod twins;
