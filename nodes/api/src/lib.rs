//! HTTP: routes, login, events, OpenAPI.
