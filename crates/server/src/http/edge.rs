//! What every request passes before it is answered, and every answer on its way out.
//!
//! ```text
//! address ▶ headers ▶ CORS ▶ names and errors ▶ limits ▶ routes
//! ```

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router, extract::connect_info::IntoMakeServiceWithConnectInfo, middleware::from_fn,
    middleware::from_fn_with_state,
};

use super::{
    App,
    address::{self, Proxies},
    error, headers,
    headers::PagePolicy,
    limits,
    origins::{self, Origins},
};
use crate::config::Config;

/// A router that is told of each connection from where it comes.
pub(crate) type Service = IntoMakeServiceWithConnectInfo<Router, SocketAddr>;

/// What stands between the network and the routes.
pub(crate) struct Edge {
    proxies: Arc<Proxies>,
    origins: Arc<Origins>,
    pub(super) pages: Arc<PagePolicy>,
}

impl Edge {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            proxies: Arc::new(Proxies {
                trusted: config.trusted_proxies.clone(),
                headers: config.proxy_headers,
            }),
            origins: Origins::new(&config.allowed_origins),
            pages: PagePolicy::new(&config.image_sources),
        }
    }

    /// Sockets, for pages that may open them.
    pub(super) fn sockets(&self, router: Router) -> Router {
        let origins = Arc::clone(&self.origins);
        router.layer(from_fn_with_state(origins, origins::check))
    }

    /// Everything.
    pub(super) fn wrap(&self, router: Router, app: Arc<App>) -> Service {
        let door = (Arc::clone(&self.proxies), Arc::clone(&app));
        router
            .layer(from_fn_with_state(app, limits::limit))
            .layer(from_fn(error::finish))
            .layer(self.origins.cors())
            .layer(from_fn(headers::complete))
            .layer(from_fn_with_state(door, address::find))
            .into_make_service_with_connect_info()
    }
}
