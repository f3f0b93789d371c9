//! A Salvo server behind the layer: what the hoop does is in [`bridge`], what a server has in
//! [`app`].

pub mod app;
pub mod bridge;
