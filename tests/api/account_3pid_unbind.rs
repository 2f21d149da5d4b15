//! `POST /account/3pid/unbind`.
