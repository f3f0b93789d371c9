//! A Salvo server with the layer. [`bridge`] is the hoop, and [`app`] the server.

pub mod app;
pub mod bridge;
