//! `GET /_matrix/key/v2/server`.
