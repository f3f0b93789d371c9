//! ```sh
//! cargo run -p example-global-services
//! ```

use std::{collections::HashMap, error::Error};

use global_services::{Config, Registration, router, start};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join("example-global-services");
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
    let listener = TcpListener::bind("127.0.0.1:8011").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router()).await?;
    Ok(())
}
