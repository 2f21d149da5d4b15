//! Endpoint by endpoint.

mod register;
