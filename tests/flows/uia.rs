//! User-Interactive Authentication: the protocol, the sessions, the fallback pages and each stage.

pub(crate) mod captcha;
mod email;
mod fallback;
mod msisdn;
mod protocol;
mod registration_token;
mod replay;
mod session_binding;
mod sessions;
mod terms;
mod threepid_creds;
mod threepid_pages;
mod waiting_pages;
