//! `POST /account/deactivate`.
