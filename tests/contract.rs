//! The files of the project held against each other, and an independent reader of every answer.

mod files;
mod incidents;
mod readme;
mod requirements;
mod rooms;
mod template;
