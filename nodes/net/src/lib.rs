//! How nodes speak: QUIC endpoints, the mesh between nodes, the doors to browsers.
