//! User-Interactive Authentication: the protocol, the sessions, the fallback pages and each stage.

mod captcha;
mod email;
mod ended_logins;
mod expensive_requests;
mod fallback;
mod msisdn;
mod protocol;
mod registration_token;
mod replay;
mod sequences;
mod session_binding;
mod sessions;
mod terms;
mod threepid_creds;
mod threepid_pages;
mod waiting_pages;
