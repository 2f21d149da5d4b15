//! Endpoint by endpoint.

mod account_whoami;
mod auth_fallback_web;
mod http;
mod incidents;
mod limits;
mod properties;
mod register;
mod register_available;
mod register_m_login_registration_token_validity;
mod support;
mod tokens;
mod unrecognized;
mod versions;
