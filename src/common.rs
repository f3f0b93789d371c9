//! Settings and accessors that both layers have, written once.

/// The settings of [`Common`](crate::settings::Common). The layer has a method
/// `with(self, change: impl FnOnce(&mut Settings)) -> Self`.
macro_rules! common_settings {
    ([$($generics:ident),*], $layer:ident, body: $body:literal, store: $store:literal) => {
        /// # The request's path
        impl<$($generics,)* Req, Res> $layer<$($generics,)* Req, Res> {
            /// Where the layer finds the path that the client asked for. Default:
            /// [`RequestPath::as_sent`](crate::request::request_path::RequestPath::as_sent).
            ///
            /// Needed only inside a nested router, which strips its prefix, or if the whole server
            /// is below a prefix.
            pub fn with_request_path(self, path: crate::request::request_path::RequestPath) -> Self {
                self.with(|settings| settings.path = path)
            }
        }

        /// # Limits
        impl<$($generics,)* Req, Res> $layer<$($generics,)* Req, Res> {
            #[doc = concat!("How many bytes ", $body, " may have. Default: 65,536. A larger one is answered 413 `M_TOO_LARGE`.")]
            pub fn with_body_limit(self, bytes: usize) -> Self {
                self.with(|settings| settings.body_limit = bytes)
            }

            #[doc = concat!("How long ", $body, " may take to arrive. Default: 30 seconds. A slower one is answered 408.")]
            pub fn with_body_timeout(self, timeout: std::time::Duration) -> Self {
                self.with(|settings| settings.body_timeout = timeout)
            }

            #[doc = $store]
            pub fn with_store_timeout(self, timeout: std::time::Duration) -> Self {
                self.with(|settings| settings.store_timeout = timeout)
            }
        }

        /// # The layer's own answers
        impl<$($generics,)* Req, Res> $layer<$($generics,)* Req, Res> {
            /// Leaves the CORS headers off the layer's own answers.
            ///
            /// By default they admit any origin, as the specification recommends for every response.
            /// If a CORS layer outside this one admits only some origins and does not overwrite these
            /// headers (tower-http's does), they would admit too many.
            pub fn without_cors_headers(self) -> Self {
                self.with(|settings| settings.cors_headers = false)
            }
        }

        /// # For tests
        impl<$($generics,)* Req, Res> $layer<$($generics,)* Req, Res> {
            /// The clock that decides whether a restriction has ended. Default:
            /// [`SystemTime::now`](std::time::SystemTime::now). A panic of the clock counts as a
            /// failure of the store.
            pub fn with_clock(
                self,
                now: impl Fn() -> std::time::SystemTime + Send + Sync + 'static,
            ) -> Self {
                self.with(|settings| settings.clock = Some(std::sync::Arc::new(now)))
            }
        }
    };
}

/// The three ways to wrap bodies. The layer has a field `shared` and a function `from_shared`.
macro_rules! wrapped_bodies {
    ([$($generics:ident),*], $layer:ident) => {
        /// # Bodies
        impl<$($generics,)* Req, Res> $layer<$($generics,)* Req, Res> {
            /// Wraps request and response bodies. Use it for services whose bodies cannot be made
            /// from bytes: hyper's `Incoming`, `BoxBody`, the bodies of other layers.
            ///
            /// The inner service receives [`RequestBody`](crate::RequestBody), the client
            /// [`ResponseBody`](crate::ResponseBody). Both bodies have to be
            /// `http_body::Body<Data = Bytes>`.
            pub fn with_wrapped_bodies(
                self,
            ) -> $layer<$($generics,)* crate::body::WrappedBodies, crate::body::WrappedBodies> {
                $layer::from_shared(self.shared)
            }

            /// Makes request and response bodies axum's, around an axum router: right at every
            /// place among the layers of a `ServiceBuilder`, under `from_fn` and
            /// `axum::serve` included.
            ///
            /// A body that some layer has changed is boxed once more, as `Router::layer` does; one
            /// that is axum's stays what it is. Both have to be
            /// `http_body::Body<Data = Bytes>`.
            #[cfg(feature = "axum")]
            #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
            pub fn with_axum_bodies(
                self,
            ) -> $layer<$($generics,)* crate::body::AxumBodies, crate::body::AxumBodies> {
                $layer::from_shared(self.shared)
            }

            /// Wraps request bodies only. Use it around a service that answers with axum's body and
            /// reads any body.
            pub fn with_wrapped_request_body(
                self,
            ) -> $layer<$($generics,)* crate::body::WrappedBodies, Res> {
                $layer::from_shared(self.shared)
            }

            /// Wraps response bodies only. Use it around a layer that changes the response body, such
            /// as tower-http's timeouts and body limits, and a service that reads only axum's body.
            pub fn with_wrapped_response_body(
                self,
            ) -> $layer<$($generics,)* Req, crate::body::WrappedBodies> {
                $layer::from_shared(self.shared)
            }
        }
    };
}

/// Accessors of the inner service. The service has a field `inner`.
macro_rules! inner_service {
    ([$($generics:ident),*], $service:ident) => {
        impl<$($generics,)* Req, Res> $service<$($generics,)* Req, Res> {
            /// The inner service.
            #[must_use]
            pub fn get_ref(&self) -> &S {
                &self.inner
            }

            /// The inner service.
            #[must_use]
            pub fn get_mut(&mut self) -> &mut S {
                &mut self.inner
            }

            /// The inner service.
            #[must_use]
            pub fn into_inner(self) -> S {
                self.inner
            }
        }
    };
}

pub(crate) use {common_settings, inner_service, wrapped_bodies};
