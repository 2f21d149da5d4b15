//! Endpoint by endpoint.

mod account_whoami;
mod auth_fallback_web;
mod http;
mod incidents;
mod limits;
mod properties;
mod register;
mod register_available;
mod register_email_request_token;
mod register_m_login_registration_token_validity;
mod register_msisdn_request_token;
mod request_token;
mod support;
mod threepids;
mod tokens;
mod unrecognized;
mod validate_confirm;
mod validate_submit_token;
mod versions;
