//! registration_token
