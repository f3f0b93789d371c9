//! The server on a port of its own, with databases that last as long as the system keeps its folder
//! for temporary files.
//!
//! ```sh
//! cargo run -p example-global-services
//! ```

use std::{collections::HashMap, error::Error};

use global_services::{Config, Registration, router, start};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = format!("example-global-services-{}", std::process::id());
    let folder = std::env::temp_dir().join(folder);
    std::fs::create_dir_all(&folder)?;
    let bridge = Registration {
        sender_localpart: "bridge".to_owned(),
        namespace: "@bridge_".to_owned(),
    };
    start(Config {
        server_name: "localhost".to_owned(),
        jwt_secret: "a secret".to_owned(),
        admin: "@admin:localhost".to_owned(),
        registrations: HashMap::from([("bridge-token".to_owned(), bridge)]),
        folder,
    })?;
    let address = std::env::args().nth(1);
    let address = address.unwrap_or_else(|| "127.0.0.1:8011".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router()).await?;
    Ok(())
}
