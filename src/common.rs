//! Settings and accessors that both layers have, written once.

/// The settings of [`Common`](crate::settings::Common), for a layer with a method
/// `with(self, change: impl FnOnce(&mut Settings)) -> Self`.
macro_rules! common_settings {
    ([$($generics:ident),*], $layer:ident, body: $body:literal, store: $store:literal) => {
        /// # Where the path is
        impl<$($generics,)* Req, Res> $layer<$($generics,)* Req, Res> {
            /// Where the path is that the client asked for. Default:
            /// [`RequestPath::as_sent`](crate::request::request_path::RequestPath::as_sent).
            ///
            /// Needed only inside a nested router, which strips its own prefix, or where the
            /// whole server lives below a prefix.
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
            /// They say what the specification recommends for every response: any origin. A CORS
            /// layer that admits only some origins belongs outside this one; where it does not
            /// overwrite these headers (tower-http's does), they would admit too many.
            pub fn without_cors_headers(self) -> Self {
                self.with(|settings| settings.cors_headers = false)
            }
        }

        /// # For tests
        impl<$($generics,)* Req, Res> $layer<$($generics,)* Req, Res> {
            /// The clock that says whether a restriction's end has come. Default:
            /// [`SystemTime::now`](std::time::SystemTime::now). A clock that panics counts as a
            /// store that fails.
            pub fn with_clock(
                self,
                now: impl Fn() -> std::time::SystemTime + Send + Sync + 'static,
            ) -> Self {
                self.with(|settings| settings.clock = Some(std::sync::Arc::new(now)))
            }
        }
    };
}

/// The three ways to wrap bodies, for a layer with a field `shared` and a function `from_shared`.
macro_rules! wrapped_bodies {
    ([$($generics:ident),*], $layer:ident) => {
        /// # Bodies
        impl<$($generics,)* Req, Res> $layer<$($generics,)* Req, Res> {
            /// Wraps request and response bodies, for services whose bodies cannot be made from
            /// bytes: hyper's `Incoming`, `BoxBody`, those of other layers.
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

            /// Wraps request bodies only: over a service that answers with axum's body but reads
            /// any.
            pub fn with_wrapped_request_body(
                self,
            ) -> $layer<$($generics,)* crate::body::WrappedBodies, Res> {
                $layer::from_shared(self.shared)
            }

            /// Wraps response bodies only: over a layer that changes the response body, such as
            /// tower-http's timeouts and body limits, and a service that reads only axum's body.
            pub fn with_wrapped_response_body(
                self,
            ) -> $layer<$($generics,)* Req, crate::body::WrappedBodies> {
                $layer::from_shared(self.shared)
            }
        }
    };
}

/// The way to the inner service, for a service with a field `inner`.
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
