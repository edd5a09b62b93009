//! The mesh and the door over real sockets on loopback addresses.

mod calls;
mod certificates;
mod door;
mod mesh;

use std::{net::SocketAddr, sync::Arc};

use guitai_crypto::{
    sm2,
    x509::{Authority, Identity, Subject, Usage},
};
use guitai_host::{Clock, SystemClock};
use guitai_net::{Mesh, Target};
use guitai_types::Zone;

/// A root and the nodes it vouches for.
struct Cluster {
    authority: Authority,
    clock: Arc<dyn Clock>,
}

impl Cluster {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let now = clock.wall().0 / 1000;
        let authority = Authority::create("test root", "test", 30, now).unwrap();
        Self { authority, clock }
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        vec![self.authority.certificate_der().to_vec()]
    }

    fn identity(&self, name: &str, zone: &str) -> Identity {
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: name.to_owned(),
            organization: "test".to_owned(),
            dns_names: vec![format!("{name}.{zone}.guitai.internal")],
        };
        let now = self.clock.wall().0 / 1000;
        let leaf = self
            .authority
            .issue(&subject, &key.public(), Usage::Tls, 30, now)
            .unwrap();
        Identity {
            chain: vec![leaf],
            key,
        }
    }

    fn node(&self, name: &str, ip: &str) -> Mesh {
        self.node_in(name, "inner", &format!("{ip}:0"))
    }

    fn node_in(&self, name: &str, zone: &str, addr: &str) -> Mesh {
        let identity = self.identity(name, zone);
        let clock = self.clock.clone();
        Mesh::bind(addr.parse().unwrap(), &identity, &self.roots(), clock).unwrap()
    }
}

fn target(mesh: &Mesh) -> Target {
    Target {
        addr: mesh.local_addr().unwrap(),
        name: mesh.me().name.clone(),
        zone: mesh.me().zone,
    }
}

fn unknown(addr: SocketAddr, name: &str) -> Target {
    Target {
        addr,
        name: name.parse().unwrap(),
        zone: Zone::Inner,
    }
}
